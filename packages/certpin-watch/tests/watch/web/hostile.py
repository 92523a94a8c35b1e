"""Hostile text for every field of a client, a server or a certificate."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.serialization import Encoding

from certpin.lab import Authority
from certpin_watch.store.chains import insert_observed_chains
from certpin_watch.store.tables.observations import (
    PRESENCES,
    REPORT_GROUPS,
    REPORT_SAMPLES,
    SIGHTINGS,
)
from certpin_watch.store.tables.service import ALERT_EVENTS, ALERTS, AUDIT, SILENCES
from tests.watch._year_pins import FIRST

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from certpin_watch.store import Store

SCRIPT = "<script>window.hacked=1</script>"
BREAKING = "\"'><img src=x onerror=window.hacked=1>{{7*7}}{%raw%}"
TURNED = "abc\u202egpj.exe\u0000\u200b"
ALL = f"{SCRIPT}{BREAKING}{TURNED}{'W' * 200}"
ALERT = 9000
# Bodies of reports, also of kinds that the collector refuses: not JSON, not UTF-8, deep, huge.
SENT = (
    json.dumps({ALL: ALL, "app": "\u05d0\u05d1\u05d2"}, ensure_ascii=False).encode(),
    f"</pre></details>{SCRIPT}\u202e\0\u2028{BREAKING}".encode() + b"\xff\xed\xa0\x80",
    b"[" * 9000,
    json.dumps({"hostname": SCRIPT * 4000}).encode(),
)


def write_hostile(store: Store, now: datetime) -> bytes:
    """Write hostile text into every column that pages show. Return the digest of the chain."""
    at = int(now.timestamp())
    text = ALL if store.is_sqlite else ALL.replace("\0", "")  # PostgreSQL can't store NUL
    with store.write() as connection:
        digest = insert_observed_chains(connection, [chain(now)], now)[0]
        _reports(connection, at // 3600 * 3600, digest)
        connection.execute(
            SIGHTINGS.update()
            .where(SIGHTINGS.c.host == FIRST[3], SIGHTINGS.c.latest)
            .values(problem=text, address=text, tls=text, outcome=text)
        )
        _alert(connection, at)
        connection.execute(
            AUDIT.insert().values(
                at=at, who=text, what="login", subject=text, source="", outcome=text
            )
        )
    return digest


def chain(now: datetime) -> tuple[bytes, ...]:
    """Return a chain with a hostile issuer name."""
    authority = Authority(f"{SCRIPT}\u202e", now=now)
    identity = authority.issue(FIRST[0])
    return tuple(certificate.public_bytes(Encoding.DER) for certificate in identity.chain)


def _reports(connection: Connection, hour: int, digest: bytes) -> None:
    said: dict[str, Any] = dict.fromkeys(
        ("pin_set", "app", "app_version", "platform", "network", "kind", "decision", "reason"),
        ALL.replace("\0", ""),
    )
    for number, host in enumerate((FIRST[0], ALL.replace("\0", ""))):
        connection.execute(
            REPORT_GROUPS.insert().values(
                **said, key=bytes([200 + number]) * 32, hour=hour, host=host, served=digest,
                verified=b"", version=2**62, count=5000, first_at=hour, last_at=hour + 1,
            )
        )  # fmt: skip
    for body in SENT:
        connection.execute(
            REPORT_SAMPLES.insert().values(
                key=bytes([200]) * 32, received_at=hour + 1, source=ALL.replace("\0", ""), body=body
            )
        )
    texts = {name: said[name] for name in ("app", "app_version", "platform")}
    day = hour // 86400 * 86400
    connection.execute(
        PRESENCES.insert().values(**texts, day=day, pin_set="bank-app", version=2**62, count=9000)
    )


def _alert(connection: Connection, at: int) -> None:
    text = ALL.replace("\0", "")
    connection.execute(
        ALERTS.insert().values(
            id=ALERT, key=text, rule=text, severity=text, host=text, pin_set=text, summary=text,
            command=text, details=f'{{"chains": ["{text}"], "x": ["{SCRIPT}"]}}', clients=1,
            opened_at=at, last_at=at, repeats=0,
        )
    )  # fmt: skip
    connection.execute(
        ALERT_EVENTS.insert().values(alert=ALERT, at=at, what=text, who=text, note=text)
    )
    connection.execute(
        SILENCES.insert().values(
            rule=text, host=text, since=at - 60, until=at + 3600, who=text, why=text
        )
    )
