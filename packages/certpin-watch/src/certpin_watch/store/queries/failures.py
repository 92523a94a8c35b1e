"""TODO: one docstring."""

from __future__ import annotations

from collections import Counter
from datetime import datetime  # noqa: TC003  # msgspec reads the fields when it first encodes
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import select

from certpin_watch.store.counting import LISTENING_PAUSE as PAUSE
from certpin_watch.store.queries import chains, report_counts
from certpin_watch.store.queries.base import (
    DAY,
    HOUR,
    clamp_limit,
    hexadecimal,
    to_datetime,
    to_seconds,
)
from certpin_watch.store.queries.chain_check import ChainJudge, Verdict  # noqa: TC001  # as above
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
from certpin_watch.store.tables.reports import LISTENED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from certpin_watch.store.queries.report_counts import ChainStats, Range, ReadPlan, ReportFilter


class ChainCount(msgspec.Struct, frozen=True):
    """A chain that clients met at a host, and how often; ``served`` is empty if none was reported.

    ``verdict`` is what alerts say of it, too (``facts.chain_check``).
    """

    host: str
    served: str
    count: int
    first_at: datetime
    last_at: datetime
    verdict: Verdict = "unknown"


class Total(msgspec.Struct, frozen=True):
    """How many reports, at how many hosts, with how many chains, and when the last one came."""

    count: int
    hosts: int
    chains: int
    last_at: datetime | None = None


def total(connection: Connection, within: Range, only: ReportFilter | None = None) -> Total:
    """How many there were."""
    found = report_counts.observed_chains(connection, _parts(connection, within), only)
    return Total(
        sum(met.number for met in found),
        len({met.host for met in found}),
        len({met.served for met in found}),
        max((to_datetime(met.last_at) for met in found), default=None),
    )


def top_chains(
    connection: Connection, within: Range, *, only: ReportFilter | None = None, limit: int = 20
) -> tuple[ChainCount, ...]:
    """The chains that clients met most often."""
    found = report_counts.observed_chains(connection, _parts(connection, within), only)[
        : clamp_limit(limit)
    ]
    return tuple(map(chain_count, found))


def with_verdicts(
    connection: Connection, judge: ChainJudge, counts: Iterable[ChainCount]
) -> tuple[ChainCount, ...]:
    """Return the same counts, each with the verdict of the pins."""
    found = []
    for each in counts:
        ders = chains.load_der(connection, bytes.fromhex(each.served)) if each.served else None
        verdict = judge.verdict(each.host, ders or (), each.first_at)
        found.append(msgspec.structs.replace(each, verdict=verdict))
    return tuple(found)


def chain_count(met: report_counts.ChainStats) -> ChainCount:
    """Return one of them as the API has it."""
    first, last = to_datetime(met.first_at), to_datetime(met.last_at)
    return ChainCount(met.host, hexadecimal(met.served), met.number, first, last)


def _parts(connection: Connection, within: Range) -> ReadPlan:
    return plan_read_until(connection, to_seconds(within.since), to_seconds(within.until))


MOST_POINTS = 750  # of a line: a month of hours, two years of days
MOST_LINES = 12
_SECONDS: dict[Bucket, int] = {"hour": HOUR, "day": DAY}


class Line(msgspec.Struct, frozen=True):
    """How many reports had this value, in each bucket; ``rest`` is all that have no line."""

    value: str
    total: int
    counts: tuple[int, ...]
    rest: bool = False


class Series(msgspec.Struct, frozen=True):
    """Reports over time. ``begins`` are the first moments of the buckets; lines by their totals.

    ``unknown`` are those of the buckets in which nobody took reports for some minutes: what is
    counted there is what came in the rest of it. The last bucket may not be over.
    """

    by: By
    bucket: Bucket
    begins: tuple[datetime, ...]
    lines: tuple[Line, ...]
    total: int
    unknown: tuple[datetime, ...] = ()


def series(
    connection: Connection,
    within: Range,
    *,
    by: By = "host",
    bucket: Bucket = "hour",
    only: ReportFilter | None = None,
    lines: int = 8,
) -> Series:
    """Reports over time. A range that has too many buckets is cut short."""
    size, lines = _SECONDS[bucket], max(1, min(lines, MOST_LINES))
    first = to_seconds(within.since) // size * size
    last = min(to_seconds(within.until), first + MOST_POINTS * size)
    begins = tuple(range(first, max(last, first), size))
    read = plan_read_until(connection, first, last) if bucket == "day" else plan_hours(first, last)
    counts, rest = _counted(connection, read, by, size, only, lines)
    found = [_line(text_of(value), each, begins) for value, each in counts]
    if rest is not None:
        found.append(_line("", rest, begins, rest=True))
    total = sum(each.total for each in found)
    unknown = map(to_datetime, unknown_buckets(connection, begins, size, last))
    return Series(by, bucket, tuple(map(to_datetime, begins)), tuple(found), total, tuple(unknown))


def _counted(
    connection: Connection, read: ReadPlan, by: By, size: int, only: ReportFilter | None, lines: int
) -> tuple[list[tuple[Any, Counter[int]]], Counter[int] | None]:
    """The largest values, and all others together, if there are any."""
    if by in PLACES and read.days is not None:
        return _of_places(connection, read, by, size, only, lines)
    counts = report_counts.counts_over_time(connection, read, by, size, only)
    named = _largest(counts, lambda value: counts[value].total())
    rest = _together(counts[value] for value in named[lines:])
    return [(value, counts[value]) for value in named[:lines]], rest if named[lines:] else None


def _of_places(
    connection: Connection, read: ReadPlan, by: By, size: int, only: ReportFilter | None, lines: int
) -> tuple[list[tuple[Any, Counter[int]]], Counter[int] | None]:
    """The same, where there may be very many: the days of the largest alone are read."""
    totals = report_counts.count_by_place(
        connection, read, "host" if by == "host" else "served", only
    )
    named = _largest(totals, lambda value: totals[value])
    counts = report_counts.counts_over_time(connection, read, by, size, only, named[:lines])
    shown = [(value, counts[value]) for value in named[:lines]]
    if not named[lines:]:
        return shown, None
    every = report_counts.totals_over_time(connection, read, size, only)
    every.subtract(_together(each for _, each in shown))
    return shown, every


def _largest(values: Iterable[Any], total: Callable[[Any], int]) -> list[Any]:
    return sorted(values, key=lambda value: (-total(value), text_of(value)))


def _together(counts: Iterable[Counter[int]]) -> Counter[int]:
    found: Counter[int] = Counter()
    for each in counts:
        found.update(each)
    return found


def _line(value: str, counts: Counter[int], begins: Sequence[int], *, rest: bool = False) -> Line:
    numbers = tuple(counts[begin] for begin in begins)
    return Line(value, sum(numbers), numbers, rest)


MOST_VALUES = 8


def breakdown(
    connection: Connection,
    within: Range,
    by: Sequence[str],
    only: ReportFilter | None = None,
    *,
    most: int = MOST_VALUES,
) -> Mapping[str, tuple[tuple[str, int], ...]]:
    """For each of these, its largest values and how many reports had them."""
    read = plan_read_until(connection, to_seconds(within.since), to_seconds(within.until))
    met = (
        report_counts.observed_chains(connection, read, only)
        if any(name in PLACES for name in by)
        else ()
    )
    return _divided(connection, read, by, only, most, met)


def breakdown_and_chains(
    connection: Connection, within: Range, by: Sequence[str], only: ReportFilter | None, limit: int
) -> tuple[Mapping[str, tuple[tuple[str, int], ...]], tuple[ChainCount, ...]]:
    """The same, and the chains that clients met most often: from one look at all hosts."""
    read = plan_read_until(connection, to_seconds(within.since), to_seconds(within.until))
    met = report_counts.observed_chains(connection, read, only)
    split = _divided(connection, read, by, only, MOST_VALUES, met)
    return split, tuple(map(chain_count, met[:limit]))


def _divided(
    connection: Connection, read: ReadPlan, by: Sequence[str], only: ReportFilter | None, most: int,
    met: Iterable[ChainStats],
) -> Mapping[str, tuple[tuple[str, int], ...]]:  # fmt: skip
    of_traits = [name for name in by if name not in PLACES]
    counts = (
        dict(report_counts.count_traits(connection, read, of_traits, only)) if of_traits else {}
    )
    of_places = [name for name in by if name in PLACES]
    counts |= {name: Counter() for name in of_places}
    for each in met:
        for name in of_places:
            counts[name][text_of(getattr(each, name))] += each.number
    return {name: tuple(counts[name].most_common(most)) for name in by}


def intake_gaps(connection: Connection, since: int, until: int) -> Iterator[tuple[int, int]]:
    """Each time in which nobody did, from its begin to its end, the first one first.

    Nothing is known, and nothing said, of the time before it was first written down.
    """
    columns = LISTENED.c
    before = select(columns.until).where(columns.until < since)
    ended = connection.execute(before.order_by(columns.until.desc()).limit(1)).scalar()
    rows = select(columns.since, columns.until).where(columns.until >= since)
    for begun, end in connection.execute(rows.order_by(columns.since)):
        if ended is not None and begun - ended > PAUSE and max(ended, since) < min(begun, until):
            yield max(ended, since), min(begun, until)
        ended = end if ended is None else max(ended, end)
    if ended is not None and until - ended > PAUSE:
        yield max(ended, since), until


def unknown_buckets(
    connection: Connection, begins: Sequence[int], size: int, until: int
) -> list[int]:
    """Those of the buckets in which nobody took reports for a while."""
    if not begins:
        return []
    found: set[int] = set()
    for begun, end in intake_gaps(connection, begins[0], min(until, begins[-1] + size)):
        found.update(range(begun // size * size, end, size))
    return [begin for begin in begins if begin in found]
