"""A small world for the tests of what can be asked: a pin set, two vantages, reports, alerts.

``api.bank.example`` is as it should be, but one vantage meets a key that nobody pinned;
``pay.bank.example`` is fine; nobody has looked at ``new.bank.example``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certpin.lab import Authority
from certpin.pinfile import PinSet
from certpin.pins import HostPattern, HostPin, HostPolicy, Pin
from certpin.rotation import Event, History, Timing
from certpin_watch.settings import ServiceSettings
from certpin_watch.snapshot import Snapshot, Watch, Watched, WatchedSet
from certpin_watch.store.chains import insert_observed_chains
from certpin_watch.store.tables.alerts import ALERT_EVENTS, ALERTS, SILENCES
from certpin_watch.store.tables.probes import SIGHTINGS, VANTAGES
from certpin_watch.store.tables.reports import (
    PRESENCES,
    REPORT_GROUPS,
    REPORT_IDENTITIES,
    REPORT_SAMPLES,
)
from tests import kit
from tests.watch._sums import add_up

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from certpin.lab import Identity
    from certpin_watch.store import Store

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
API, PAY, NEW = "api.bank.example", "pay.bank.example", "new.bank.example"
STRANGE = "<script>alert(1)</script>\u202e"


@cache
def authority() -> Authority:
    return Authority("Bank Root", now=NOW)


@cache
def identity(name: str) -> Identity:
    return authority().issue(name, days=40)


@cache
def stranger() -> Identity:
    return Authority("Somebody Else", now=NOW).issue(API, days=3)


def ders(found: Identity) -> tuple[bytes, ...]:
    from cryptography.hazmat.primitives.serialization import Encoding

    return tuple(each.public_bytes(Encoding.DER) for each in found.chain)


def pins(number: int, **names: Pin) -> PinSet:
    leaf = {name: identity(name).pin for name in (API, PAY, NEW)}
    policies = tuple(
        HostPolicy(
            HostPattern.parse(name),
            (HostPin(names.get("leaf", pin)), HostPin(kit.NOBODY, "backup", "published")),
            expires=NOW + 200 * DAY,
        )
        for name, pin in leaf.items()
    )
    return PinSet("bank", number, policies)


def journal() -> History:
    """Version 11 has been out for a year, 12, which has all pins, for three days."""
    timing = Timing()
    return History(
        (
            Event(
                NOW - 365 * DAY, "me", "publish", version=11, timing=timing, clients=900,
                pins=pins(11, leaf=kit.NOBODY_ELSE),
            ),
            Event(NOW - 3 * DAY, "me", "publish", version=12, timing=timing, pins=pins(12)),
        )
    )  # fmt: skip


def snapshot(*problems: str) -> Snapshot:
    return Snapshot((WatchedSet(Path("pins.toml"), pins(12), journal()),), problems)


@dataclass
class Fixed(Watched):
    """Pin sets that are not on any disk."""

    found: Snapshot

    def snapshot(self) -> Snapshot:
        return self.found


def watch(store: Store, **fields: Any) -> Watch:
    return Watch(ServiceSettings(**fields), store, Fixed(snapshot()), lambda: NOW)


def at(moment: datetime) -> int:
    return int(moment.timestamp())


def sighted(connection: Connection, host: str, vantage: str, **fields: Any) -> None:
    values = {
        "host": host,
        "port": 443,
        "vantage": vantage,
        "address": "192.0.2.7",
        "outcome": "verified",
        "served": b"",
        "verified": b"",
        "tls": "TLSv1.3",
        "problem": "",
        "code": 0,
        "took": 120_000,
        "first_at": at(NOW - 2 * DAY),
        "last_at": at(NOW - timedelta(minutes=5)),
        "count": 7,
        "latest": True,
    }
    connection.execute(SIGHTINGS.insert(), values | fields)


def reported(connection: Connection, number: int, **fields: Any) -> None:
    hour = at(NOW.replace(minute=0)) - 3600
    values = {
        "key": number.to_bytes(32, "big"),
        "hour": hour,
        "host": API,
        "served": b"",
        "verified": b"",
        "pin_set": "bank",
        "version": 12,
        "app": "bank",
        "app_version": "1.0",
        "platform": "android",
        "network": "wifi",
        "kind": "certpin",
        "decision": "refuse",
        "reason": "mismatch",
        "count": 1,
        "first_at": hour,
        "last_at": hour + 60,
    }
    connection.execute(REPORT_GROUPS.insert(), values | fields)


def present(connection: Connection, ago: int, version: int, count: int, app: str = "bank") -> None:
    day = at((NOW - ago * DAY).replace(hour=0))
    connection.execute(
        PRESENCES.insert(),
        {
            "day": day,
            "pin_set": "bank",
            "version": version,
            "app": app,
            "app_version": "1",
            "platform": "ios",
            "count": count,
        },
    )


def fill(store: Store) -> dict[str, bytes]:
    """All of it; the digests of the chains, by name."""
    with store.write() as connection:
        names = [API, PAY, "stranger"]
        chains = [ders(identity(API)), ders(identity(PAY)), ders(stranger())]
        found = dict(zip(names, insert_observed_chains(connection, chains, NOW), strict=True))
        _sightings(connection, found)
        _reports(connection, found["stranger"])
        add_up(connection)
        _alerts(connection)
        for ago, old, new in ((0, 40, 60), (1, 50, 50), (2, 90, 10), (9, 100, 0)):
            present(connection, ago, 11, old)
            if new:
                present(connection, ago, 12, new)
        present(connection, 1, 777, 5, STRANGE)
    return found


def _sightings(connection: Connection, found: dict[str, bytes]) -> None:
    good, strange = found[API], found["stranger"]
    before = {"first_at": at(NOW - 30 * DAY), "last_at": at(NOW - 2 * DAY), "latest": False}
    sighted(connection, API, "eu", served=good, verified=good, **before)
    sighted(connection, API, "eu", served=strange, verified=strange)
    sighted(connection, API, "local", served=good, verified=good)
    sighted(connection, PAY, "local", served=found[PAY], verified=found[PAY])
    for name in ("eu", "local"):
        row = {"name": name, "since": at(NOW - 30 * DAY), "asked_at": at(NOW)}
        connection.execute(VANTAGES.insert(), row | {"heard_at": at(NOW - timedelta(minutes=5))})


def _reports(connection: Connection, strange: bytes) -> None:
    reported(connection, 1, served=strange, count=30)
    reported(connection, 2, served=strange, count=10, app_version="2.0", network=STRANGE)
    reported(connection, 3, hour=at(NOW.replace(minute=0) - 3 * DAY), count=4, host=PAY)
    reported(connection, 4, host="evil.example", count=1000, pin_set=STRANGE, version=0)
    sent = at(NOW) - 3600  # one of a group each, and one whose group is gone
    for number, body in ((1, b'{"port":443}'), (2, STRANGE.encode() + b"\xff"), (9, b"{}")):
        sample = {"key": number.to_bytes(32, "big"), "received_at": sent, "source": "192.0.2.0/24"}
        connection.execute(REPORT_SAMPLES.insert(), sample | {"body": body})
    connection.execute(
        REPORT_IDENTITIES.insert(), {"identity": b"1", "received_at": at(NOW - 2 * HOUR)}
    )


def _alerts(connection: Connection) -> None:
    values = {
        "key": "mismatch\nbank\napi",
        "rule": "mismatch",
        "severity": "critical",
        "host": API,
        "pin_set": "bank",
        "summary": f"eu meets {STRANGE}",
        "command": "certpin check",
        "details": "{}",
        "clients": 40,
        "opened_at": at(NOW - HOUR),
        "last_at": at(NOW),
        "resolved_at": None,
        "told_at": None,
        "repeats": 3,
    }
    connection.execute(ALERTS.insert(), values)
    gone = {"rule": "gone", "resolved_at": at(NOW), "severity": "info"}
    connection.execute(ALERTS.insert(), values | gone)
    event = {"alert": 1, "at": at(NOW - HOUR), "what": "opened", "who": "", "note": ""}
    connection.execute(ALERT_EVENTS.insert(), event)
    silence = {"rule": "", "host": API, "since": at(NOW - DAY), "until": at(NOW + DAY)}
    silence |= {"who": "me", "why": "work", "ended_at": None}
    connection.execute(SILENCES.insert(), silence)
    connection.execute(SILENCES.insert(), silence | {"until": at(NOW - HOUR)})
