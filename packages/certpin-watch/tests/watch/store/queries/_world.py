"""Test data for the queries: a pin set, two locations that probe its hosts, reports, and alerts.

``api.bank.example`` serves its pinned key, but one location gets a key that isn't pinned.
``pay.bank.example`` is fine. ``new.bank.example`` was never probed.
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
from certpin.rotation import AdoptionDelays, Event, History
from certpin_watch.context import Watch
from certpin_watch.settings import ServiceSettings
from certpin_watch.snapshot import MonitoredPinSet, PinFiles, Snapshot
from certpin_watch.store.chains import insert_observed_chains
from certpin_watch.store.tables.observations import (
    PRESENCES,
    REPORT_GROUPS,
    REPORT_IDENTITIES,
    REPORT_SAMPLES,
    SIGHTINGS,
    VANTAGES,
)
from certpin_watch.store.tables.service import ALERT_EVENTS, ALERTS, SILENCES
from tests import kit
from tests.watch._sums import add_up

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from certpin.lab import Identity
    from certpin_watch.store import Store

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
API, PAY, NEW = "api.bank.example", "pay.bank.example", "new.bank.example"
HOSTILE_TEXT = "<script>alert(1)</script>\u202e"


@cache
def authority() -> Authority:
    return Authority("Bank Root", now=NOW)


@cache
def identity(name: str) -> Identity:
    return authority().issue(name, days=40)


@cache
def other_identity() -> Identity:
    return Authority("Other Root", now=NOW).issue(API, days=3)


def der_chain(found: Identity) -> tuple[bytes, ...]:
    from cryptography.hazmat.primitives.serialization import Encoding

    return tuple(certificate.public_bytes(Encoding.DER) for certificate in found.chain)


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
    """Return the journal of the pin set: version 11 was published a year ago, 12 three days ago."""
    timing = AdoptionDelays()
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
    return Snapshot((MonitoredPinSet(Path("pins.toml"), pins(12), journal()),), problems)


@dataclass
class FixedPinSets(PinFiles):
    """A substitute for the pin files that returns the snapshot ``found`` and reads no file."""

    found: Snapshot

    def snapshot(self) -> Snapshot:
        return self.found


def watch(store: Store, **fields: Any) -> Watch:
    return Watch(ServiceSettings(**fields), store, FixedPinSets(snapshot()), lambda: NOW)


def seconds(time: datetime) -> int:
    return int(time.timestamp())


def insert_sighting(connection: Connection, host: str, vantage: str, **fields: Any) -> None:
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
        "first_at": seconds(NOW - 2 * DAY),
        "last_at": seconds(NOW - timedelta(minutes=5)),
        "count": 7,
        "latest": True,
    }
    connection.execute(SIGHTINGS.insert(), values | fields)


def insert_group(connection: Connection, number: int, **fields: Any) -> None:
    hour = seconds(NOW.replace(minute=0)) - 3600
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


def insert_presence(
    connection: Connection, ago: int, version: int, count: int, app: str = "bank"
) -> None:
    day = seconds((NOW - ago * DAY).replace(hour=0))
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


def fill_store(store: Store) -> dict[str, bytes]:
    """Insert all test data. Return the digests of the stored chains.

    The keys are the two probed hosts, and "stranger" for the chain with a key that isn't pinned.
    """
    with store.write() as connection:
        names = [API, PAY, "stranger"]
        chains = [der_chain(identity(API)), der_chain(identity(PAY)), der_chain(other_identity())]
        found = dict(zip(names, insert_observed_chains(connection, chains, NOW), strict=True))
        _sightings(connection, found)
        _reports(connection, found["stranger"])
        add_up(connection)
        _alerts(connection)
        for ago, old, new in ((0, 40, 60), (1, 50, 50), (2, 90, 10), (9, 100, 0)):
            insert_presence(connection, ago, 11, old)
            if new:
                insert_presence(connection, ago, 12, new)
        insert_presence(connection, 1, 777, 5, HOSTILE_TEXT)
    return found


def _sightings(connection: Connection, found: dict[str, bytes]) -> None:
    good, strange = found[API], found["stranger"]
    before = {
        "first_at": seconds(NOW - 30 * DAY),
        "last_at": seconds(NOW - 2 * DAY),
        "latest": False,
    }
    insert_sighting(connection, API, "eu", served=good, verified=good, **before)
    insert_sighting(connection, API, "eu", served=strange, verified=strange)
    insert_sighting(connection, API, "local", served=good, verified=good)
    insert_sighting(connection, PAY, "local", served=found[PAY], verified=found[PAY])
    for name in ("eu", "local"):
        row = {"name": name, "since": seconds(NOW - 30 * DAY), "asked_at": seconds(NOW)}
        connection.execute(
            VANTAGES.insert(), row | {"heard_at": seconds(NOW - timedelta(minutes=5))}
        )


def _reports(connection: Connection, strange: bytes) -> None:
    insert_group(connection, 1, served=strange, count=30)
    insert_group(connection, 2, served=strange, count=10, app_version="2.0", network=HOSTILE_TEXT)
    insert_group(connection, 3, hour=seconds(NOW.replace(minute=0) - 3 * DAY), count=4, host=PAY)
    insert_group(connection, 4, host="evil.example", count=1000, pin_set=HOSTILE_TEXT, version=0)
    sent = seconds(NOW) - 3600  # two samples with a group, and one without
    for number, body in ((1, b'{"port":443}'), (2, HOSTILE_TEXT.encode() + b"\xff"), (9, b"{}")):
        sample = {"key": number.to_bytes(32, "big"), "received_at": sent, "source": "192.0.2.0/24"}
        connection.execute(REPORT_SAMPLES.insert(), sample | {"body": body})
    connection.execute(
        REPORT_IDENTITIES.insert(), {"identity": b"1", "received_at": seconds(NOW - 2 * HOUR)}
    )


def _alerts(connection: Connection) -> None:
    values = {
        "key": "mismatch\nbank\napi",
        "rule": "mismatch",
        "severity": "critical",
        "host": API,
        "pin_set": "bank",
        "summary": f"eu sees {HOSTILE_TEXT}",
        "command": "certpin check",
        "details": "{}",
        "clients": 40,
        "opened_at": seconds(NOW - HOUR),
        "last_at": seconds(NOW),
        "resolved_at": None,
        "told_at": None,
        "repeats": 3,
    }
    connection.execute(ALERTS.insert(), values)
    gone = {"rule": "gone", "resolved_at": seconds(NOW), "severity": "info"}
    connection.execute(ALERTS.insert(), values | gone)
    event = {"alert": 1, "at": seconds(NOW - HOUR), "what": "opened", "who": "", "note": ""}
    connection.execute(ALERT_EVENTS.insert(), event)
    silence = {"rule": "", "host": API, "since": seconds(NOW - DAY), "until": seconds(NOW + DAY)}
    silence |= {"who": "me", "why": "work", "ended_at": None}
    connection.execute(SILENCES.insert(), silence)
    connection.execute(SILENCES.insert(), silence | {"until": seconds(NOW - HOUR)})
