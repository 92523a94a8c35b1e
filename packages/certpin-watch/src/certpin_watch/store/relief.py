"""Room for what reports bring: whoever took most of it gives first.

A budget that was filled once would otherwise stay full until its rows are past their time, and
nothing new could be kept. So where more than three quarters are used, the network that brought most
loses what is oldest of it, again and again. Somebody who floods loses his own; what a few clients
told of an attack is small, and stays.

Samples have a number of their own, beside the bytes. There a part of what is watched gives in the
same way as a network does, so that a flood from very many networks gives, too: of whichever brought
more than any other, and within such a part the networks that brought most of it.

What is younger than ``SETTLED`` stays in any case: alerts have looked at it by then many times.
What came while the clock ran ahead, by more than that, is not young. A report of a chain that is
gone brings it back.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from sqlalchemy import and_, func, or_, select

from certpin_watch.store import budget
from certpin_watch.store.sweeping import BATCH, delete_chains, delete_samples, lock_chains
from certpin_watch.store.tables.chains import CHAINS
from certpin_watch.store.tables.reports import REPORT_SAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import ColumnElement, Connection

SETTLED = 6 * 3600  # seconds
_MOST_SOURCES = 100  # that are looked at, of many: those that brought most


def relieve(connection: Connection, most: int, now: int, batch: int = BATCH) -> int:
    """Where little is left of ``most`` bytes, delete a batch. How many rows; 0: that will do."""
    enough = most * 3 // 4
    if budget.used_of(connection) <= enough:
        return 0
    lock_chains(connection)
    if budget.hold(connection) <= enough:
        return 0
    for source in _greediest(connection):
        if gone := _give(connection, source, now, batch):
            return gone
    return 0


def thin(connection: Connection, most: int, now: int, batch: int = BATCH) -> int:
    """Where little is left of ``most`` samples, delete some. How many; 0: that will do."""
    samples = REPORT_SAMPLES.c
    by = (samples.share, samples.source)
    rows = connection.execute(select(*by, func.count()).group_by(*by))
    brought = Counter({(share, source): int(number) for share, source, number in rows})
    too_many = brought.total() - most * 3 // 4
    for chosen in _givers(brought) if too_many > 0 else ():
        if gone := _give_samples(connection, chosen, now, min(too_many, batch)):
            return gone
    return 0


def _givers(brought: Counter[tuple[str, str]]) -> Iterator[ColumnElement[bool]]:
    """Whose samples go, one after the other: of a part where it has more than any network."""
    samples = REPORT_SAMPLES.c
    sources: Counter[str] = Counter()
    shares: dict[str, Counter[str]] = defaultdict(Counter)
    for (share, source), number in brought.items():
        sources[source] += number
        shares[share][source] += number
    largest = max(shares, key=lambda each: shares[each].total())
    if shares[largest].total() > max(sources.values()):
        within = shares[largest]
        most = [each for each, number in within.items() if number == max(within.values())]
        for chosen in (most, _greedy(within)):
            few = chosen[:_MOST_SOURCES]
            yield and_(samples.share == largest, samples.source.in_(few))
        return  # where all of these are young, the others do not give in their place
    for source in _greedy(sources):
        yield samples.source == source


def _greediest(connection: Connection) -> list[str]:
    """The network that brought most, and those that brought half as much, or more."""
    took: Counter[str] = Counter()
    samples = REPORT_SAMPLES.c
    for source, size in (
        (CHAINS.c.source, func.sum(CHAINS.c.told)),
        (samples.source, func.sum(func.length(samples.body) + budget.ROW)),
    ):
        # Of chains that the watch saw itself, nothing is told.
        rows = select(source, size).group_by(source).order_by(size.desc()).limit(_MOST_SOURCES)
        for name, amount in connection.execute(rows):
            took[name] += int(amount)
    return _greedy(took)


def _greedy(brought: Counter[str]) -> list[str]:
    return [name for name, amount in brought.most_common() if 2 * amount >= max(brought.values())]


def _give(connection: Connection, source: str, now: int, batch: int) -> int:
    chains = CHAINS.c
    found = connection.execute(
        select(chains.digest, chains.members, chains.told)
        .where(chains.told > 0, chains.source == source, _settled(chains.first_at, now))
        .order_by(chains.first_at)
        .limit(batch)
    ).all()
    delete_chains(connection, found)
    return len(found) + _give_samples(connection, REPORT_SAMPLES.c.source == source, now, batch)


def _give_samples(connection: Connection, chosen: ColumnElement[bool], now: int, most: int) -> int:
    samples = REPORT_SAMPLES.c
    numbers = connection.execute(
        select(samples.id)
        .where(chosen, _settled(samples.received_at, now))
        .order_by(samples.received_at)
        .limit(most)
    )
    return delete_samples(connection, numbers.scalars().all())


def _settled(moment: ColumnElement[int], now: int) -> ColumnElement[bool]:
    return or_(moment < now - SETTLED, moment > now + SETTLED)
