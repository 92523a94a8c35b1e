"""From how many networks something is told: one that says it often is told from many that say it.

Networks are cut until they are those of whole providers: addresses within one are had by the
thousand. A network has room for so many things a day, and then nothing more of it is noted.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import func, select

from certpin_watch.addresses import provider_network
from certpin_watch.collector.grouping import DAY
from certpin_watch.store import insert
from certpin_watch.store.tables.reports import REPORT_NETWORKS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

MOST = 64  # things that a network tells in a day

_network = lru_cache(4096)(provider_network)


class Origin(NamedTuple):
    """A row of the table, in its order."""

    day: int
    network: str
    share: str
    met: bytes


def origin(at: int, source: str, share: str, met: bytes) -> Origin:
    """From where a chain was told of a host or pattern; empty where there was no chain."""
    return Origin(at - at % DAY, _network(source), share, met)


def note_networks(connection: Connection, origins: Iterable[Origin]) -> None:
    """Note those that are not known, as far as each network has room."""
    strange = sorted(each for each in origins if each.share and each.network)
    if not strange:
        return
    table = REPORT_NETWORKS.c
    days, networks = ({each[place] for each in strange} for place in (0, 1))
    rows = connection.execute(
        select(table.day, table.network, func.count())
        .where(table.day.in_(sorted(days)), table.network.in_(sorted(networks)))
        .group_by(table.day, table.network)
    )
    counts = {(day, network): number for day, network, number in rows}
    kept = []
    for each in strange:
        number = counts.get(each[:2], 0)
        if number < MOST:
            counts[each[:2]] = number + 1
            kept.append(each._asdict())
    if kept:
        connection.execute(insert(connection, REPORT_NETWORKS).on_conflict_do_nothing(), kept)
