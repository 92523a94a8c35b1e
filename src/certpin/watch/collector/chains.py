"""Chains and certificates: each stored once by its digest, and so many new ones in an hour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from certpin.watch.collector.grouping import HOUR, NO_CHAIN, Chain, Room, chain_of
from certpin.watch.collector.statements import existing
from certpin.watch.store.keeping import hold_chains, put
from certpin.watch.store.tables.chains import CERTIFICATES, CHAINS

if TYPE_CHECKING:
    from collections import defaultdict
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from certpin.watch.collector.counting import New
    from certpin.watch.collector.known import Hour, Known

    # The digest for each list of certificates; ``None`` where there was no room for the chain.
    Digests = dict[tuple[bytes, ...], bytes | None]


def store_chains(
    connection: Connection,
    failures: Sequence[New],
    room: Room,
    known: Known,
    found: defaultdict[int, Hour],
) -> Digests:
    """Store what is not there yet; ``found`` is told of all that is there then."""
    chains: dict[tuple[bytes, ...], Chain] = {(): NO_CHAIN}
    strange: dict[bytes, tuple[Chain, New]] = {}
    for new in failures:
        for certificates in (new.failure.served, new.failure.verified):
            if certificates in chains:
                continue
            chain = chains[certificates] = chain_of(certificates)
            if chain.digest not in known.of(new.hour).chains:
                strange.setdefault(chain.digest, (chain, new))
    refused = _store(connection, strange, room) if strange else set()
    for digest in strange.keys() - refused:
        found[strange[digest][1].hour].chains.add(digest)
    return {
        certificates: None if chain.digest in refused else chain.digest
        for certificates, chain in chains.items()
    }


def _store(
    connection: Connection, strange: dict[bytes, tuple[Chain, New]], room: Room
) -> set[bytes]:
    """Store those that are not there, as far as there is room; returns the others."""
    hold_chains(connection)
    there = existing(connection, CHAINS.c.digest, strange)
    absent = [strange[digest] for digest in sorted(strange.keys() - there)]
    if not absent:
        return set()
    since = max(new.body.at for _, new in absent) - HOUR
    lately = select(func.count()).where(CHAINS.c.first_at > since)
    count = connection.execute(lately).scalar_one()
    kept: list[tuple[Chain, New]] = []
    for chain, new in absent:
        if count + len(kept) < room.of(room.chains, new.failure.host):
            kept.append((chain, new))
    if kept:
        _insert(connection, kept)
    return {chain.digest for chain, _ in absent} - {chain.digest for chain, _ in kept}


def _insert(connection: Connection, kept: Sequence[tuple[Chain, New]]) -> None:
    ders = dict(pair for chain, _ in kept for pair in _members(chain))
    certificates = [{"sha256": digest, "der": der} for digest, der in ders.items()]
    put(connection, CERTIFICATES, certificates)
    rows = [
        {"digest": chain.digest, "members": chain.members, "first_at": new.body.at}
        for chain, new in kept
    ]
    put(connection, CHAINS, rows)


def _members(chain: Chain) -> Iterable[tuple[bytes, bytes]]:
    """Each certificate with its digest."""
    places = range(0, len(chain.members), 32)
    return zip(
        (chain.members[place : place + 32] for place in places), chain.certificates, strict=True
    )
