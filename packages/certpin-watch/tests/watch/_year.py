"""Generate a year of data: hosts with renewals, reports, pin set versions in use, and alerts.

The benchmark of the pages, their browser tests and the screenshots use the data. In the last hours
of the year one network inspects TLS, one host serves a key that is not pinned, and one host was
never probed.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.serialization import Encoding

from certpin.lab import Authority
from certpin_watch.store.chains import insert_observed_chains
from certpin_watch.store.tables.observations import (
    PRESENCES,
    REPORT_GROUPS,
    REPORT_IDENTITIES,
    REPORT_SAMPLES,
    SIGHTINGS,
)
from certpin_watch.store.tables.service import ALERT_EVENTS, ALERTS, SILENCES
from tests.watch._sums import add_up
from tests.watch._year_pins import FIRST, SETS, World, renewals, world, write_sets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from certpin_watch.store import Store

HOUR, DAY = 3600, 86400
VANTAGES = ("frankfurt", "singapore")
_APPS = (
    ("Bank", "5.4.0", "android"), ("Bank", "5.4.0", "ios"), ("Bank", "5.3.2", "android"),
    ("Bank", "5.3.2", "ios"), ("Bank", "5.1.0", "android"), ("Kiosk", "2.0", "python"),
)  # fmt: skip
_NETWORKS = ("wifi", "wifi", "cellular", "cellular", "corp-guest", "")
_REASONS = ("mismatch", "mismatch", "mismatch", "expired", "no-chain")


@dataclass(frozen=True)
class Year:
    """Data of a year: the pin files, the hosts, the time at which the year ends, and notable
    chains.
    """

    pins: tuple[Path, ...]
    hosts: tuple[str, ...]
    now: datetime
    inspected: bytes  # the digest of the chain that the inspecting network showed
    misissued: bytes  # the digest of a chain that the usual authority issued for a stranger's key


def write_year(
    store: Store,
    folder: Path,
    *,
    hosts: int = 500,
    groups: int = 300_000,
    now: datetime | None = None,
) -> Year:
    """Fill an empty store with data of a year, and write its pin files to ``folder``.

    The data contain about ``groups`` groups of reports, and end at ``now``.
    """
    now = now or datetime.now(UTC).replace(microsecond=0)
    made = world(now, hosts)
    paths = write_sets(made, folder)
    strange = _strange(made)
    with store.write() as connection:
        digests = insert_observed_chains(connection, strange, now)
        _sightings(connection, made)
        _reports(connection, made, groups, digests)
        add_up(connection)
        _presences(connection, made)
        _alerts(connection, made, digests[0])
    return Year(paths, made.hosts, now, digests[0], digests[3])


def _strange(made: World) -> list[tuple[bytes, ...]]:
    """Return four chains, as DER certificates, that clients report and no probe of the service
    gets.

    They are of an inspecting proxy, of a debugger, of another authority, and of the hosts' own
    authority for a key that is not pinned.
    """
    root = Authority("Zscaler Root CA", now=made.now)
    proxy = root.intermediate("Zscaler Intermediate Root CA (zscalerthree.net)")
    debugger = Authority("mitmproxy", now=made.now)
    other = Authority("Honest Ernie's Root", now=made.now).intermediate("Ernie DV TLS CA 7")
    issued = [
        proxy.issue(FIRST[0], days=14),
        debugger.issue(FIRST[1]),
        other.issue(FIRST[0]),
        made.issuer.issue(FIRST[0]),
    ]
    return [tuple(each.public_bytes(Encoding.DER) for each in one.chain) for one in issued]


def _sightings(connection: Connection, made: World) -> None:
    now = int(made.now.timestamp())
    flat = [(host, chain) for host in made.hosts for chain in made.chains[host]]
    digests = iter(insert_observed_chains(connection, [chain for _, chain in flat], made.now))
    paths = iter(
        insert_observed_chains(
            connection, [(*c, made.root.certificate.der) for _, c in flat], made.now
        )
    )
    rows = []
    for host in made.hosts:
        moments = [int(each.timestamp()) for each in renewals(host, made.now)]
        pairs = [(next(digests), next(paths)) for _ in moments]
        if host == "new.bank.example":
            continue
        for number, (since, (served, verified)) in enumerate(zip(moments, pairs, strict=True)):
            last = number == len(moments) - 1
            until = now - 120 if last else moments[number + 1] - 600
            rows += [
                _sighting(host, vantage, served, verified, since, until, latest=last)
                for vantage in VANTAGES
            ]
        if host == "legacy.bank.example":
            for row in rows[-2:]:
                row |= {"outcome": "unreachable", "served": b"", "verified": b"", "tls": ""}
                row |= {"problem": "connection refused", "first_at": now - 5400}
        if host == "push.bank.example":
            rows[-1]["last_at"] = now - 3 * DAY  # singapore is silent
    connection.execute(SIGHTINGS.insert(), rows)


def _sighting(
    host: str, vantage: str, served: bytes, verified: bytes, since: int, until: int, *, latest: bool
) -> dict[str, Any]:
    return {
        "host": host, "port": 443, "vantage": vantage, "address": "192.0.2.17",
        "outcome": "verified", "served": served, "verified": verified, "tls": "TLSv1.3",
        "problem": "", "code": 0, "first_at": since, "last_at": until,
        "count": max(1, (until - since) // 900), "latest": latest,
    }  # fmt: skip


def _reports(connection: Connection, made: World, groups: int, strange: list[bytes]) -> None:
    now = int(made.now.timestamp())
    rows = list(_groups(made, groups, strange))
    for row in rows:
        row["last_at"] = min(row["last_at"], now - 5)
    for at in range(0, len(rows), 50_000):
        connection.execute(REPORT_GROUPS.insert(), rows[at : at + 50_000])
    samples = [
        {"key": row["key"], "received_at": row["last_at"], "source": "198.51.100.0/24",
         "body": json.dumps({"hostname": row["host"], "port": 443}).encode()}
        for row in rows[-200:]
    ]  # fmt: skip
    connection.execute(REPORT_SAMPLES.insert(), samples)
    chance = random.Random(4)
    moments = [now - int(3600 * chance.random() ** 1.7) for _ in range(900)]
    connection.execute(
        REPORT_IDENTITIES.insert(),
        [{"identity": chance.randbytes(32), "received_at": each} for each in moments],
    )


def _groups(made: World, groups: int, strange: list[bytes]) -> Iterator[dict[str, Any]]:
    """Yield rows for the groups of reports, at random hours of the year.

    There are few failures in most of the year, many in one week, and an incident in the last six
    hours.
    """
    chance = random.Random(2)
    now = int(made.now.timestamp()) // HOUR * HOUR
    for number in range(groups):
        hours = chance.randrange(365 * 24)
        if number % 9 == 0:
            hours = 190 * 24 + chance.randrange(7 * 24)
        app, network = chance.choice(_APPS), chance.choice(_NETWORKS)
        served = strange[1 + (number % 2)] if number % 3 else b""
        host = chance.choice(made.hosts)
        count = 1 + int(chance.expovariate(0.8))
        yield _group(number, now - hours * HOUR, host, served, app, network, count, chance)
    yield _group(groups + 99, now, FIRST[0], strange[3], _APPS[0], _NETWORKS[0], 9, chance)
    for hours in range(6):
        for at, app in enumerate(_APPS[:5]):
            count = int(40 * math.exp(1.1 - hours * 0.55) / (at + 1))
            number = groups + hours * 10 + at
            yield _group(
                number, now - hours * HOUR, FIRST[0], strange[0], app, "corp-guest", count, chance
            )


def _group(  # noqa: PLR0917
    number: int, hour: int, host: str, served: bytes, app: tuple[str, str, str], network: str,
    count: int, chance: random.Random,
) -> dict[str, Any]:  # fmt: skip
    return {
        "key": hashlib.sha256(str(number).encode()).digest(), "hour": hour, "host": host,
        "served": served, "verified": b"", "pin_set": SETS[0],
        "version": chance.choice((9, 11, 12, 12)),
        "app": app[0], "app_version": app[1], "platform": app[2], "network": network,
        "kind": "certpin", "decision": "refuse",
        "reason": chance.choice(_REASONS) if number % 5 else "mismatch",
        "count": count, "first_at": hour + 1, "last_at": hour + chance.randrange(2, HOUR),
    }  # fmt: skip


def _presences(connection: Connection, made: World) -> None:
    """Insert the number of clients that use each version of each pin set, for every day.

    Each version replaces the previous one within two weeks. The version that is bundled with an old
    app declines slowly.
    """
    today = int(made.now.timestamp()) // DAY * DAY
    chance = random.Random(3)
    rows = []
    for name in made.names:
        for back in range(364):
            for version, share in _shares(back).items():
                for app, app_version, platform in _APPS[:5]:
                    count = int(
                        share * 4000 * chance.uniform(0.92, 1.08) / (1 + len(app_version) % 3)
                    )
                    if count:
                        rows.append({
                            "day": today - back * DAY, "pin_set": name, "version": version,
                            "app": app, "app_version": app_version, "platform": platform,
                            "count": count,
                        })  # fmt: skip
    connection.execute(PRESENCES.insert(), rows)


def _shares(back: int) -> dict[int, float]:
    """Return the share of clients (0 to 1) that use each pin set version, ``back`` days before the
    end.
    """
    bundled = 0.02 + 0.1 * math.exp((back - 340) / 60)
    grown = {
        version: 1 / (1 + math.exp((back - out) / 2.2 + 3)) for version, out in ((11, 110), (12, 9))
    }
    eleven = grown[11] * (1 - grown[12])
    return {9: bundled, 10: (1 - grown[11]) * (1 - bundled), 11: eleven, 12: grown[12]}


def _alerts(connection: Connection, made: World, strange: bytes) -> None:
    now = int(made.now.timestamp())
    for number, (rule, severity, host, summary, command, clients, age) in enumerate(_ALERTS, 1):
        resolved = now - age + 7200 if number > 5 else None
        details, chains = {"vantage": "singapore"}, {"chains": [[strange.hex(), 613]]}
        connection.execute(ALERTS.insert().values(
            key=f"{rule}\n{SETS[0]}\n{host}\n{number}", rule=rule, severity=severity, host=host,
            pin_set=SETS[0], summary=summary, command=command,
            details=json.dumps(details | (chains if number == 1 else {})), clients=clients,
            opened_at=now - age,
            last_at=now - 60, resolved_at=resolved, told_at=now - age + 20, repeats=3,
        ))  # fmt: skip
        events = [("opened", "", ""), ("told", "slack", ""), ("repeated", "", "")]
        events += [("resolved", "", "")] if resolved else []
        for at, (what, who, note) in enumerate(events):
            moment = now - age + at * 1800
            connection.execute(
                ALERT_EVENTS.insert().values(alert=number, at=moment, what=what, who=who, note=note)
            )
    connection.execute(SILENCES.insert().values(
        rule="certificate-expires", host="cdn.bank.example", since=now - 7200, until=now + 9 * HOUR,
        who="anna", why="renewed tonight, ticket 4711", ended_at=None,
    ))  # fmt: skip


_ALERTS = (
    ("strange-chain", "critical", FIRST[0],
     "Clients of api.bank.example in the network corp-guest receive a chain that no location sees.",
     "certpin check pins.toml --host api.bank.example", 412, 5 * HOUR),
    ("pin-mismatch", "critical", FIRST[1],
     "Every location is served a key for login.bank.example that version 12 does not pin.",
     "certpin check pins.toml --host login.bank.example:443", None, 3 * HOUR),
    ("host-unreachable", "warning", FIRST[4], "legacy.bank.example refuses connections.",
     "certpin check pins.toml --host legacy.bank.example:443", None, 5400),
    ("certificate-expires", "warning", FIRST[2],
     "The certificate of cdn.bank.example expires in 6 days.",
     "certpin check pins.toml --host cdn.bank.example:443", None, 2 * DAY),
    ("vantage-silent", "warning", "",
     "The location singapore has not probed push.bank.example for 3 days.",
     "certpin check pins.toml", None, 3 * DAY),
    *(("certificate-expires", "warning", host, f"The certificate of {host} expires in 13 days.",
       f"certpin check pins.toml --host {host}:443", None, age * DAY)
      for age, host in enumerate(FIRST * 6, 8)),
)  # fmt: skip
