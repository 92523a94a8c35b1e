"""Which chain a host is expected to show: what a vantage verified, and pins allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from certpin.pins import verify
from certpin_watch.queries.chains import chains, ders
from certpin_watch.queries.hosts import policies_of
from certpin_watch.store.tables.sightings import LATEST, SIGHTINGS

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from certpin_watch.watched import Glance

_MOST = 50  # vantages and addresses that are looked at


def expected(connection: Connection, glance: Glance, now: datetime, host: str) -> tuple[bytes, ...]:
    """The path that a vantage verified last, leaf to root; nothing where none did.

    One that has a pin goes before one that has none, however new that is: a vantage may be shown
    what clients are shown.
    """
    columns = SIGHTINGS.c
    statement = select(columns.verified).where(LATEST, columns.host == host)
    statement = statement.where(columns.verified != b"").order_by(columns.last_at.desc())
    rows = connection.execute(statement.limit(_MOST)).scalars()
    digests = list(dict.fromkeys(map(bytes, rows)))
    if len(digests) > 1:
        pinned = _pinned(connection, glance, now, host, digests)
        digests.sort(key=lambda each: each not in pinned)
    return ders(connection, digests[0]) or () if digests else ()


def _pinned(
    connection: Connection, glance: Glance, now: datetime, host: str, digests: list[bytes]
) -> set[bytes]:
    """Those of the paths that a pin file allows."""
    policies = [policy for _, policy in policies_of(glance, host)]
    kept = chains(connection, digests)
    return {
        digest
        for digest, path in kept.items()
        if any(path and verify(path, policy, now).reason == "match" for policy in policies)
    }
