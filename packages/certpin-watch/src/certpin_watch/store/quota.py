"""Evict data that clients reported when most of the storage quota is used.

The module ``chains`` defines the quota: a limit on the bytes of reported data. Without eviction, a
full quota would stay full until the rows expire. So when more than three quarters are used, the
oldest data of the IP network that sent the most is deleted, until less is used. A flood of reports
thus evicts mostly its own data. The reports that a few clients sent about an attack use little, and
stay.

A *sample* is a stored request body with reports. The number of samples has a limit of its own, with
the same threshold of three quarters. A *share* is a monitored host or pattern. If a share has more
samples than any network, the samples of this share are evicted, first those from the networks that
sent the most. So a flood that comes from very many networks is evicted, too.

Data younger than ``MIN_AGE`` is not evicted, so that the alert rules have enough time to evaluate
it. But data with a date more than ``MIN_AGE`` in the future can be evicted, because it was stored
while the clock ran ahead. If an evicted chain is reported again, it is stored again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from sqlalchemy import and_, delete, func, or_, select

from certpin_watch.store.chains import (
    ROW_OVERHEAD,
    add_usage,
    delete_chains,
    lock_chain_deletes,
    lock_usage,
    read_usage,
    rows_size,
)
from certpin_watch.store.tables.observations import CHAINS, REPORT_SAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import ColumnElement, Connection

MIN_AGE = 6 * 3600  # seconds
BATCH = 500  # rows of one transaction
_MAX_SOURCES = 100  # networks that one eviction considers: those that sent the most


def evict_bytes(connection: Connection, max_bytes: int, now: int, batch: int = BATCH) -> int:
    """Delete a batch of reported chains and samples if over three quarters of the quota are used.

    A sample is a request body with reports. The quota limits the bytes of all of these.

    Args:
        connection: a transaction that may write.
        max_bytes: the quota, in bytes.
        now: seconds since 1970.
        batch: the maximum number of chains, and of samples, that are deleted.

    Returns:
        The number of deleted rows; 0 if enough is free, or all data is too young to be evicted.
    """
    enough = max_bytes * 3 // 4
    if read_usage(connection) <= enough:
        return 0
    lock_chain_deletes(connection)
    if lock_usage(connection) <= enough:
        return 0
    for source in _largest_sources(connection):
        if deleted := _evict_source(connection, source, now, batch):
            return deleted
    return 0


def evict_samples(connection: Connection, max_samples: int, now: int, batch: int = BATCH) -> int:
    """Delete a batch of samples if more than three quarters of their maximum number are stored.

    A sample is a request body with reports.

    Args:
        connection: a transaction that may write.
        max_samples: the maximum number of samples.
        now: seconds since 1970.
        batch: the maximum number of samples that are deleted.

    Returns:
        The number of deleted samples; 0 if there are few enough, or all are too young to be
        evicted.
    """
    samples = REPORT_SAMPLES.c
    by = (samples.share, samples.source)
    rows = connection.execute(select(*by, func.count()).group_by(*by))
    stored = Counter({(share, source): int(number) for share, source, number in rows})
    excess = stored.total() - max_samples * 3 // 4
    for chosen in _sample_choices(stored) if excess > 0 else ():
        if deleted := _evict_chosen_samples(connection, chosen, now, min(excess, batch)):
            return deleted
    return 0


def delete_samples(connection: Connection, ids: Sequence[int]) -> int:
    """Delete the samples with these IDs, and subtract their bytes from the quota's usage.

    A sample is a request body with reports. The usage is the number of bytes of reported data.

    Returns:
        The number of ``ids``.
    """
    if ids:
        lock_usage(connection)
        chosen = REPORT_SAMPLES.c.id.in_(ids)
        freed = rows_size(connection, REPORT_SAMPLES.c.body, chosen)
        connection.execute(delete(REPORT_SAMPLES).where(chosen))
        add_usage(connection, -freed)
    return len(ids)


def _sample_choices(stored: Counter[tuple[str, str]]) -> Iterator[ColumnElement[bool]]:
    """Yield SQL conditions that select samples to evict, the best choice first.

    The caller tries one condition after another, until one selects samples that are old enough. If
    a share (a monitored host or pattern) has more samples than any network, the conditions select
    samples of this share; else samples of the networks that sent the most. ``stored`` has the
    number of samples by share and network.
    """
    samples = REPORT_SAMPLES.c
    sources: Counter[str] = Counter()
    shares: dict[str, Counter[str]] = defaultdict(Counter)
    for (share, source), number in stored.items():
        sources[source] += number
        shares[share][source] += number
    largest = max(shares, key=lambda share: shares[share].total())
    if shares[largest].total() > max(sources.values()):
        within = shares[largest]
        top = [source for source, number in within.items() if number == max(within.values())]
        for chosen in (top, _at_least_half(within)):
            limited = chosen[:_MAX_SOURCES]
            yield and_(samples.share == largest, samples.source.in_(limited))
        return  # if all of these are young, other shares are not evicted in their place
    for source in _at_least_half(sources):
        yield samples.source == source


def _largest_sources(connection: Connection) -> list[str]:
    """Return the networks with reports that use the most bytes of the quota, the largest first.

    These are the network that uses the most, and each network that uses at least half as much.
    """
    sizes: Counter[str] = Counter()
    samples = REPORT_SAMPLES.c
    for source, size in (
        (CHAINS.c.source, func.sum(CHAINS.c.told)),
        (samples.source, func.sum(func.length(samples.body) + ROW_OVERHEAD)),
    ):
        # Chains that probes observed count as 0 bytes.
        rows = connection.execute(
            select(source, size).group_by(source).order_by(size.desc()).limit(_MAX_SOURCES)
        )
        for name, amount in rows:
            sizes[name] += int(amount)
    return _at_least_half(sizes)


def _at_least_half(amounts: Counter[str]) -> list[str]:
    """Return the names that have at least half of the largest amount, the largest first.

    ``amounts`` maps each name to its amount.
    """
    largest = max(amounts.values(), default=0)
    return [name for name, amount in amounts.most_common() if 2 * amount >= largest]


def _evict_source(connection: Connection, source: str, now: int, batch: int) -> int:
    chains = CHAINS.c
    found = connection.execute(
        select(chains.digest, chains.members, chains.told)
        .where(chains.told > 0, chains.source == source, _may_go(chains.first_at, now))
        .order_by(chains.first_at)
        .limit(batch)
    ).all()
    delete_chains(connection, found)
    of_source = REPORT_SAMPLES.c.source == source
    return len(found) + _evict_chosen_samples(connection, of_source, now, batch)


def _evict_chosen_samples(
    connection: Connection, chosen: ColumnElement[bool], now: int, max_rows: int
) -> int:
    samples = REPORT_SAMPLES.c
    ids = connection.execute(
        select(samples.id)
        .where(chosen, _may_go(samples.received_at, now))
        .order_by(samples.received_at)
        .limit(max_rows)
    )
    return delete_samples(connection, ids.scalars().all())


def _may_go(stored_at: ColumnElement[int], now: int) -> ColumnElement[bool]:
    return or_(stored_at < now - MIN_AGE, stored_at > now + MIN_AGE)
