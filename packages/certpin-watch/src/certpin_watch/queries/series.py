"""Reports over time, a line for each value."""

from __future__ import annotations

from collections import Counter
from datetime import datetime  # noqa: TC003  # msgspec reads the fields when it first encodes
from typing import TYPE_CHECKING, Any

import msgspec

from certpin_watch.queries import sums
from certpin_watch.queries.base import DAY, HOUR, moment, seconds
from certpin_watch.queries.gaps import silent
from certpin_watch.queries.reported import PLACES, Bucket, By, hours, parts_until, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy import Connection

    from certpin_watch.queries.reported import Only, Parts, Range

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
    only: Only | None = None,
    lines: int = 8,
) -> Series:
    """Reports over time. A range that has too many buckets is cut short."""
    size, lines = _SECONDS[bucket], max(1, min(lines, MOST_LINES))
    first = seconds(within.since) // size * size
    last = min(seconds(within.until), first + MOST_POINTS * size)
    begins = tuple(range(first, max(last, first), size))
    read = parts_until(connection, first, last) if bucket == "day" else hours(first, last)
    counts, rest = _counted(connection, read, by, size, only, lines)
    found = [_line(text_of(value), each, begins) for value, each in counts]
    if rest is not None:
        found.append(_line("", rest, begins, rest=True))
    total = sum(each.total for each in found)
    unknown = map(moment, silent(connection, begins, size, last))
    return Series(by, bucket, tuple(map(moment, begins)), tuple(found), total, tuple(unknown))


def _counted(
    connection: Connection, read: Parts, by: By, size: int, only: Only | None, lines: int
) -> tuple[list[tuple[Any, Counter[int]]], Counter[int] | None]:
    """The largest values, and all others together, if there are any."""
    if by in PLACES and read.days is not None:
        return _of_places(connection, read, by, size, only, lines)
    counts = sums.over_time(connection, read, by, size, only)
    named = _largest(counts, lambda value: counts[value].total())
    rest = _together(counts[value] for value in named[lines:])
    return [(value, counts[value]) for value in named[:lines]], rest if named[lines:] else None


def _of_places(
    connection: Connection, read: Parts, by: By, size: int, only: Only | None, lines: int
) -> tuple[list[tuple[Any, Counter[int]]], Counter[int] | None]:
    """The same, where there may be very many: the days of the largest alone are read."""
    totals = sums.ranked(connection, read, "host" if by == "host" else "served", only)
    named = _largest(totals, lambda value: totals[value])
    counts = sums.over_time(connection, read, by, size, only, named[:lines])
    shown = [(value, counts[value]) for value in named[:lines]]
    if not named[lines:]:
        return shown, None
    every = sums.by_day(connection, read, size, only)
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
