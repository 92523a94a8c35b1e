"""Count reports of clients: in total, by chain, over time and by field.

All values in reports are unverified claims of clients.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime  # noqa: TC003  # msgspec reads the fields when it first encodes
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import select

from certpin_watch.chain_check import ChainJudge, ChainVerdict  # noqa: TC001  # as above
from certpin_watch.store.identities import DAY, HOUR
from certpin_watch.store.queries import (
    chains,
    clamp_limit,
    hexadecimal,
    report_counts,
    to_datetime,
    to_seconds,
)
from certpin_watch.store.queries.report_counts import (
    PLACES,
    Bucket,
    By,
    Range,
    ReportFilter,
    plan_hours,
    plan_read_until,
    text_of,
)
from certpin_watch.store.reports import LISTENING_PAUSE
from certpin_watch.store.tables.observations import LISTENED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from certpin_watch.store.queries.report_counts import ChainStats, ReadPlan

MAX_LINES = 12  # of a series
MAX_POINTS = 750  # of a line: a month of hours, two years of days
_MAX_VALUES = 8  # of a field in a breakdown
_SECONDS: dict[Bucket, int] = {"hour": HOUR, "day": DAY}


class ChainCount(msgspec.Struct, frozen=True):
    """How often clients reported a chain at a host.

    ``served`` is the digest of the chain; empty if the reports had none. ``count`` is the number of
    reports; the first of them arrived at ``first_at``, the last at ``last_at``. ``verdict`` is the
    verdict of the pins on the chain (``ChainJudge.verdict``), such as "accepted" or "refused".
    """

    host: str
    served: str
    count: int
    first_at: datetime
    last_at: datetime
    verdict: ChainVerdict = "unknown"


class Total(msgspec.Struct, frozen=True):
    """Totals of the selected reports.

    ``count`` is the number of reports. ``hosts`` and ``chains`` are the numbers of different hosts
    and chains in the reports. ``last_at`` is when the last report arrived; null if there is none.
    """

    count: int
    hosts: int
    chains: int
    last_at: datetime | None = None


class Line(msgspec.Struct, frozen=True):
    """A line of a chart: how many reports with one value of a field there were in each hour or day.

    ``value`` is the value as text, ``counts`` has the number for each hour or day, and ``total`` is
    their sum. ``rest`` is true for the line that counts all values without a separate line.
    """

    value: str
    total: int
    counts: tuple[int, ...]
    rest: bool = False


class Series(msgspec.Struct, frozen=True):
    """Numbers of reports over time, by hour or day (a *bucket*), for a chart.

    Each frequent value of one field of the reports has its own line of numbers.

    Attributes:
        by: the name of the field, such as "app".
        bucket: "hour" or "day".
        begins: the start of each bucket. The last bucket is possibly still in progress.
        lines: the lines, the one with most reports first.
        total: the number of reports.
        unknown: the starts of buckets with incomplete numbers, because the collector was down for
            some minutes.
    """

    by: By
    bucket: Bucket
    begins: tuple[datetime, ...]
    lines: tuple[Line, ...]
    total: int
    unknown: tuple[datetime, ...] = ()


def total(connection: Connection, within: Range, only: ReportFilter | None = None) -> Total:
    """Count the reports in a time range, and the different hosts and chains in them.

    ``within`` is the range. ``only`` is a filter for the reports; None counts all.
    """
    found = report_counts.reported_chains(connection, _read_plan(connection, within), only)
    return Total(
        sum(chain.number for chain in found),
        len({chain.host for chain in found}),
        len({chain.served for chain in found}),
        max((to_datetime(chain.last_at) for chain in found), default=None),
    )


def top_chains(
    connection: Connection, within: Range, *, only: ReportFilter | None = None, limit: int = 20
) -> tuple[ChainCount, ...]:
    """Return the chains that clients reported most often in a time range.

    ``within`` is the range. ``only`` is a filter for the reports; None counts all. ``limit`` is the
    maximum number of chains. The field ``verdict`` is "unknown": ``with_verdicts`` compares each
    chain with the current pins, and sets it.
    """
    found = report_counts.reported_chains(connection, _read_plan(connection, within), only)
    return tuple(map(_chain_count, found[: clamp_limit(limit)]))


def with_verdicts(
    connection: Connection, judge: ChainJudge, counts: Iterable[ChainCount]
) -> tuple[ChainCount, ...]:
    """Return ``counts``, with the field ``verdict`` of each set to the verdict of the pins.

    The chains are read from the database, and ``judge`` computes the verdicts.
    """
    found = []
    for count in counts:
        ders = chains.load_der(connection, bytes.fromhex(count.served)) if count.served else None
        verdict = judge.verdict(count.host, ders or (), count.first_at)
        found.append(msgspec.structs.replace(count, verdict=verdict))
    return tuple(found)


def series(
    connection: Connection,
    within: Range,
    *,
    by: By = "host",
    bucket: Bucket = "hour",
    only: ReportFilter | None = None,
    lines: int = 8,
) -> Series:
    """Count reports by hour or day, with a line for each of the most frequent values of a field.

    Only the first ``MAX_POINTS`` hours or days of the range are counted.

    Args:
        connection: a connection that may read.
        within: the time range.
        by: the field.
        bucket: "hour" or "day".
        only: the filter; None counts all reports.
        lines: how many values get a separate line, at most ``MAX_LINES``. If there are more values,
            one more line counts all others together.
    """
    size, lines = _SECONDS[bucket], max(1, min(lines, MAX_LINES))
    first = to_seconds(within.since) // size * size
    last = min(to_seconds(within.until), first + MAX_POINTS * size)
    begins = tuple(range(first, max(last, first), size))
    by_day = bucket == "day"
    read = plan_read_until(connection, first, last) if by_day else plan_hours(first, last)
    counts, rest = _largest_lines(connection, read, by, size, only, lines)
    found = [_line(text_of(value), buckets, begins) for value, buckets in counts]
    if rest is not None:
        found.append(_line("", rest, begins, rest=True))
    return Series(
        by,
        bucket,
        tuple(map(to_datetime, begins)),
        tuple(found),
        sum(line.total for line in found),
        tuple(map(to_datetime, _unknown_buckets(connection, begins, size, last))),
    )


def count_buckets(within: Range, bucket: Bucket) -> int:
    """Return the number of hours or days that a time range contains or touches.

    ``within`` is the range; ``bucket`` is "hour" or "day". If the number is greater than
    ``MAX_POINTS``, ``series`` counts only the first ``MAX_POINTS`` of them.
    """
    size = _SECONDS[bucket]
    return -(-to_seconds(within.until) // size) - to_seconds(within.since) // size


def breakdown(
    connection: Connection,
    within: Range,
    by: Sequence[str],
    only: ReportFilter | None = None,
    *,
    max_values: int = _MAX_VALUES,
) -> Mapping[str, tuple[tuple[str, int], ...]]:
    """Return the most frequent values of several fields, each with its number of reports.

    The result has an entry for each field in ``by``: pairs of a value and its number of reports,
    the most frequent first.

    Args:
        connection: a connection that may read.
        within: the time range.
        by: the names of the fields.
        only: the filter; None counts all reports.
        max_values: how many values of each field are returned at most.
    """
    read = _read_plan(connection, within)
    needs_places = any(name in PLACES for name in by)
    found = report_counts.reported_chains(connection, read, only) if needs_places else ()
    return _breakdown(connection, read, by, only, max_values, found)


def breakdown_and_chains(
    connection: Connection,
    within: Range,
    by: Sequence[str],
    only: ReportFilter | None,
    limit: int,
) -> tuple[Mapping[str, tuple[tuple[str, int], ...]], tuple[ChainCount, ...]]:
    """Return the most frequent values of several fields, and the most reported chains.

    These are the results of ``breakdown`` and ``top_chains``, but the chains are read only once.
    ``limit`` is the maximum number of chains. The other arguments are those of ``breakdown``.
    """
    read = _read_plan(connection, within)
    found = report_counts.reported_chains(connection, read, only)
    values = _breakdown(connection, read, by, only, _MAX_VALUES, found)
    return values, tuple(map(_chain_count, found[:limit]))


def intake_gaps(connection: Connection, since: int, until: int) -> Iterator[tuple[int, int]]:
    """Yield the begin and the end of each period in which no process accepted reports.

    Periods from ``since`` to ``until`` are yielded, the earliest first. The number of reports in
    such a period is unknown, and not 0. The time before the first record of a running collector is
    not a gap. All times are in seconds since 1970.
    """
    columns = LISTENED.c
    before = select(columns.until).where(columns.until < since)
    ended = connection.execute(before.order_by(columns.until.desc()).limit(1)).scalar()
    rows = select(columns.since, columns.until).where(columns.until >= since)
    for begun, end in connection.execute(rows.order_by(columns.since)):
        if (
            ended is not None
            and begun - ended > LISTENING_PAUSE
            and max(ended, since) < min(begun, until)
        ):
            yield max(ended, since), min(begun, until)
        ended = end if ended is None else max(ended, end)
    if ended is not None and until - ended > LISTENING_PAUSE:
        yield max(ended, since), until


def _unknown_buckets(
    connection: Connection, begins: Sequence[int], size: int, until: int
) -> list[int]:
    if not begins:
        return []
    found: set[int] = set()
    for begun, end in intake_gaps(connection, begins[0], min(until, begins[-1] + size)):
        found.update(range(begun // size * size, end, size))
    return [begin for begin in begins if begin in found]


def _largest_lines(
    connection: Connection, read: ReadPlan, by: By, size: int, only: ReportFilter | None, lines: int
) -> tuple[list[tuple[Any, Counter[int]]], Counter[int] | None]:
    """Count reports by bucket (hour or day), for each of the most frequent values of a field.

    Args:
        connection: a connection that may read.
        read: the time range.
        by: the field.
        size: the length of a bucket in seconds.
        only: the filter; None counts all reports.
        lines: how many values are counted separately.

    Returns:
        Each of these values with its counts, and the counts of all other values together. The
        latter are None if there are no other values.
    """
    if by in PLACES and read.days is not None:
        return _largest_places(connection, read, by, size, only, lines)
    counts = report_counts.counts_over_time(connection, read, by, size, only)
    values = _largest_first(counts, lambda value: counts[value].total())
    rest = _sum(counts[value] for value in values[lines:])
    return [(value, counts[value]) for value in values[:lines]], rest if values[lines:] else None


def _largest_places(
    connection: Connection, read: ReadPlan, by: By, size: int, only: ReportFilter | None, lines: int
) -> tuple[list[tuple[Any, Counter[int]]], Counter[int] | None]:
    """Count reports by bucket (hour or day), for each of the most frequent hosts or chains.

    There can be very many hosts and chains. So this function first adds up all reports of each, and
    then counts by bucket only for the most frequent ones. The arguments and the result are those of
    ``_largest_lines``; ``by`` is "host", or "served" for chains.
    """
    totals = report_counts.count_by_place(
        connection, read, "host" if by == "host" else "served", only
    )
    values = _largest_first(totals, lambda value: totals[value])
    counts = report_counts.counts_over_time(connection, read, by, size, only, values[:lines])
    shown = [(value, counts[value]) for value in values[:lines]]
    if not values[lines:]:
        return shown, None
    rest = report_counts.totals_over_time(connection, read, size, only)
    rest.subtract(_sum(buckets for _, buckets in shown))
    return shown, rest


def _largest_first(values: Iterable[Any], total: Callable[[Any], int]) -> list[Any]:
    return sorted(values, key=lambda value: (-total(value), text_of(value)))


def _sum(counts: Iterable[Counter[int]]) -> Counter[int]:
    found: Counter[int] = Counter()
    for buckets in counts:
        found.update(buckets)
    return found


def _line(value: str, counts: Counter[int], begins: Sequence[int], *, rest: bool = False) -> Line:
    numbers = tuple(counts[begin] for begin in begins)
    return Line(value, sum(numbers), numbers, rest)


def _breakdown(
    connection: Connection,
    read: ReadPlan,
    by: Sequence[str],
    only: ReportFilter | None,
    max_values: int,
    found: Iterable[ChainStats],
) -> Mapping[str, tuple[tuple[str, int], ...]]:
    traits = [name for name in by if name not in PLACES]
    counts = dict(report_counts.count_traits(connection, read, traits, only)) if traits else {}
    places = [name for name in by if name in PLACES]
    counts |= {name: Counter() for name in places}
    for chain in found:
        for name in places:
            counts[name][text_of(getattr(chain, name))] += chain.number
    return {name: tuple(counts[name].most_common(max_values)) for name in by}


def _chain_count(chain: ChainStats) -> ChainCount:
    first, last = to_datetime(chain.first_at), to_datetime(chain.last_at)
    return ChainCount(chain.host, hexadecimal(chain.served), chain.number, first, last)


def _read_plan(connection: Connection, within: Range) -> ReadPlan:
    return plan_read_until(connection, to_seconds(within.since), to_seconds(within.until))
