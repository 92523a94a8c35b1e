"""What probes saw of a host over time, and what changed from one sighting to the next."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # msgspec reads the fields when it first encodes
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import exists, select, tuple_

from certpin_watch.queries.base import Page, bounded, page_of
from certpin_watch.queries.chains import chains
from certpin_watch.queries.seen import Seen, seen_of
from certpin_watch.queries.vantages import issuer_of
from certpin_watch.store.tables.sightings import SIGHTINGS

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from certpin.x509 import Chain

# What may differ between two sightings of one vantage, as `Change.what` names it.
_COLUMNS = ("outcome", "served", "verified", "address", "tls", "problem")


class Sighting(Seen, frozen=True, kw_only=True):
    """What a vantage saw of a host for a while; ``latest`` where it goes on."""

    id: int
    host: str
    latest: bool


class Change(msgspec.Struct, frozen=True):
    """A vantage saw something else than before. ``what`` names it, the weightiest first.

    ``key`` and ``issuer`` are those of the leaf; ``outcome``, ``served``, ``verified``,
    ``address``, ``tls`` and ``problem`` are what a sighting has.
    """

    at: datetime
    vantage: str
    port: int
    what: tuple[str, ...]
    before: Sighting
    after: Sighting


def any_exists(connection: Connection) -> bool:
    """Whether any probe was ever made."""
    return bool(connection.execute(select(exists().select_from(SIGHTINGS))).scalar())


def history(
    connection: Connection,
    host: str,
    *,
    before: tuple[int, int] | None = None,
    limit: int = 100,
) -> Page[Sighting]:
    """What was seen of a host, the last first; ``before`` is the ``next`` of the page before."""
    limit, columns = bounded(limit), SIGHTINGS.c
    key = (columns.last_at, columns.id)
    statement = select(SIGHTINGS).where(columns.host == host)
    if before is not None:
        statement = statement.where(tuple_(*key) < before)
    order = (each.desc() for each in key)
    rows = connection.execute(statement.order_by(*order).limit(limit + 1)).all()
    keys = [(row.last_at, row.id) for row in rows]
    return page_of([_sighting(row) for row in rows], limit, keys)


def changes(connection: Connection, host: str, *, limit: int = 50) -> tuple[Change, ...]:
    """What changed at a host, the last first. Of each sighting, to the one before it in a page."""
    found = history(connection, host, limit=bounded(limit)).items
    digests = {bytes.fromhex(each) for row in found for each in (row.served, row.verified) if each}
    kept = chains(connection, digests)
    changed: list[Change] = []
    newer: dict[tuple[str, int, str, str], Sighting] = {}
    for row in found:
        place = (row.vantage, row.port, row.way, row.edge)
        if place in newer:
            changed.append(_change(row, newer[place], kept))
        newer[place] = row
    return tuple(sorted(changed, key=lambda each: each.at, reverse=True))


def _change(before: Sighting, after: Sighting, kept: dict[bytes, Chain | None]) -> Change:
    old, new = (_shown(each, kept) for each in (before, after))
    weighty = []
    if old and new and old.leaf.spki_sha256 != new.leaf.spki_sha256:
        weighty.append("key")
    if old and new and issuer_of(old) != issuer_of(new):
        weighty.append("issuer")
    plain = [name for name in _COLUMNS if getattr(before, name) != getattr(after, name)]
    return Change(after.first_at, after.vantage, after.port, (*weighty, *plain), before, after)


def _shown(sighting: Sighting, kept: dict[bytes, Chain | None]) -> Chain | None:
    """The path that verified, or what was served without one."""
    return kept.get(bytes.fromhex(sighting.verified or sighting.served))


def _sighting(row: Row[Any]) -> Sighting:
    return Sighting(id=row.id, host=row.host, latest=bool(row.latest), **seen_of(row))
