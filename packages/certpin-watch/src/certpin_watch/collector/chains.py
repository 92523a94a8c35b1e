"""Which of the chains that clients tell are kept: so many new ones in an hour, and bytes in all.

A new chain is kept where one of these holds:

1. The hour has room for it, its network brought less than a tenth of that, and an eighth of the
   budget is still free.
2. Its part of what is watched, a host or all names below a wildcard, has fewer than ``OWN`` new
   ones in this hour, and the budget has room for it.

So nobody hides a chain of one host behind chains that he invents for another, nor one network those
of others. Hosts that nobody watches have a quarter of each, and nothing of their own. Where a chain
is not kept, its reports are counted without it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from certpin_watch.collector.grouping import HOUR, OWN, Room
from certpin_watch.store import quota
from certpin_watch.store.chains import (
    ChainRecord,
    ReportedChain,
    chain_record,
    insert_reported_chains,
    lock_chain_inserts,
    missing_chains,
    new_certificate_sizes,
)
from certpin_watch.store.tables.probes import CHAINS

if TYPE_CHECKING:
    from collections import defaultdict
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from certpin_watch.collector.counting import New
    from certpin_watch.collector.known import Hour, Known

    # The digest for each list of certificates; ``None`` where there was no room for the chain.
    Digests = dict[tuple[bytes, ...], bytes | None]

_NETWORKS = 10  # that it takes to fill an hour


@dataclass
class Lately:
    """What is used of the budget, and new chains of the last hour, by part and by network."""

    used: int = 0
    shares: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)

    def add(self, share: str, source: str, number: int = 1) -> None:
        """So many more."""
        self.shares[share] += number
        self.sources[source] += number


def fits(told: ReportedChain, size: int, lately: Lately, room: Room) -> bool:
    """Whether a chain of so many bytes is kept: pure."""
    watched = bool(told.share)
    chains, most = (each if watched else each // 4 for each in (room.chains, room.budget))
    used = lately.used + size
    if watched and lately.shares[told.share] < OWN and used <= most:
        return True
    few = lately.sources[told.source] < max(OWN, room.chains // _NETWORKS)
    return few and lately.sources.total() < chains and used <= most - most // 8


def store_chains(
    connection: Connection,
    failures: Sequence[New],
    room: Room,
    known: Known,
    found: defaultdict[int, Hour],
) -> Digests:
    """Store what is not there yet; ``found`` is told of all that is there then."""
    chains: dict[tuple[bytes, ...], ChainRecord] = {(): chain_record(())}
    strange: dict[bytes, ReportedChain] = {}
    hours: dict[bytes, int] = {}
    for new in failures:
        for certificates in (new.failure.served, new.failure.verified):
            if certificates in chains:
                continue
            chain = chains[certificates] = chain_record(certificates)
            if chain.digest not in known.of(new.hour).chains:
                share = room.share(new.failure.host)
                strange[chain.digest] = ReportedChain(chain, new.body.at, new.body.source, share)
                hours[chain.digest] = new.hour
    refused = _store(connection, strange, room) if strange else set()
    for digest in strange.keys() - refused:
        found[hours[digest]].chains.add(digest)
    return {
        certificates: None if chain.digest in refused else chain.digest
        for certificates, chain in chains.items()
    }


def _store(connection: Connection, strange: dict[bytes, ReportedChain], room: Room) -> set[bytes]:
    """Store those that are not there, as far as there is room; returns the others."""
    lock_chain_inserts(connection)
    absent = missing_chains(connection, {digest: told.chain for digest, told in strange.items()})
    if not absent:
        return set()
    used = quota.lock_usage(connection)
    absent = missing_chains(connection, absent)  # another one may have brought it meanwhile
    lately = _lately(connection, max((strange[each].at for each in absent), default=0) - HOUR)
    lately.used = used
    kept: list[ReportedChain] = []
    sizes = new_certificate_sizes(connection, absent.values())
    for digest in sorted(absent):
        told = strange[digest]
        size = told.chain.row_size + sum(sizes.get(key, 0) for key, _ in told.chain.by_digest)
        if fits(told, size, lately, room):
            kept.append(told)
            lately.add(told.share, told.source)
            lately.used += size
            for key, _ in told.chain.by_digest:
                sizes.pop(key, None)
    quota.add_usage(connection, insert_reported_chains(connection, kept))
    return absent.keys() - {each.chain.digest for each in kept}


def _lately(connection: Connection, since: int) -> Lately:
    table, lately = CHAINS.c, Lately()
    rows = connection.execute(
        select(table.share, table.source, func.count())
        # What is far ahead was brought while the clock ran ahead, and would be new until then.
        .where(table.first_at.between(since + 1, since + 2 * HOUR), table.told > 0)
        .group_by(table.share, table.source)
    )
    for share, source, number in rows:
        lately.add(share, source, number)
    return lately
