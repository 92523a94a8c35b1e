"""Reports by day: added up in the background, and read where a long time is asked for.

What is read is today and yesterday from the groups themselves, and the days before as they were
added up last. A report that comes later than that is added within a minute where it makes a group
of its own, and within a day where it does not.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import Counter, defaultdict
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select
from sqlalchemy.exc import SQLAlchemyError

from certpin.errors import CertpinError
from certpin.watch.facts import failures
from certpin.watch.facts.base import DAY, moment, seconds
from certpin.watch.facts.breakdown import MOST_VALUES, breakdown
from certpin.watch.store import leases
from certpin.watch.store.tables.days import REPORT_DAYS
from certpin.watch.store.tables.reports import REPORT_GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from sqlalchemy import Connection

    from certpin.watch.store import Store
    from certpin.watch.watch import Watch

DIMENSIONS = (
    "host", "app", "app_version", "platform", "network", "version", "kind", "reason", "decision",
    "pin_set",
)  # fmt: skip
MOST = 50  # values of a day that are kept by name; whoever reports chooses their number

_PAUSE = 60.0  # seconds
_LEASE = 180  # seconds: two looks may fail before another process takes over
_FRESH = 2  # days that are read from the groups, and added up each time
_AT_ONCE = 14  # days in a transaction
_log = logging.getLogger(__name__)


async def run(watch: Watch, stop: asyncio.Event) -> None:
    """Add up what is new each minute, until ``stop``. One process at a time does it."""
    work = Rollup(watch.store)
    holder = f"{socket.gethostname()}:{os.getpid()}:{id(work)}"
    while not stop.is_set():
        try:
            await asyncio.to_thread(_turn, work, watch, holder)
        except (CertpinError, SQLAlchemyError) as exc:
            _log.warning("reports are not added up: %s", type(exc).__name__)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _PAUSE)


def _turn(work: Rollup, watch: Watch, holder: str) -> None:
    now = watch.clock()
    with watch.store.write() as connection:
        mine = leases.take(connection, "rollup", holder, seconds(now), _LEASE)
    if mine is not None:
        work.add_up(now)


class Rollup:
    """Adds up, and knows up to where it has looked."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen = 0  # the last group that was looked at
        self._whole: int | None = None  # the day on which everything was looked at

    def add_up(self, now: datetime) -> int:
        """Add up the days that may have changed; everything once a day. How many days it were."""
        today = _day(now)
        with self._store.read() as connection:
            last, oldest = connection.execute(
                select(func.max(REPORT_GROUPS.c.id), func.min(REPORT_GROUPS.c.hour))
            ).one()
            if last is None:
                return 0
            if self._whole != today:
                days: Sequence[int] = range(
                    max(oldest // DAY * DAY, today - failures.MOST_POINTS * DAY), today + 1, DAY
                )
            else:
                days = self._touched(connection, today)
        self._write(list(days))
        if self._whole != today:
            self._forget(oldest // DAY * DAY)
        self._seen, self._whole = last, today
        return len(days)

    def _touched(self, connection: Connection, today: int) -> Sequence[int]:
        column = REPORT_GROUPS.c.hour
        new = select(column - column % DAY).where(REPORT_GROUPS.c.id > self._seen).distinct()
        late = {int(each) for each in connection.execute(new).scalars() if each <= today}
        return sorted(late | {today - number * DAY for number in range(_FRESH + 1)})

    def _write(self, days: list[int]) -> None:
        """Read first and write then: whoever counts reports does not wait for the adding up."""
        for at in range(0, len(days), _AT_ONCE):
            part = days[at : at + _AT_ONCE]
            with self._store.read() as connection:
                rows = [row for day in part for row in _rows(connection, day)]
            with self._store.write() as connection:
                connection.execute(delete(REPORT_DAYS).where(REPORT_DAYS.c.day.in_(part)))
                connection.execute(REPORT_DAYS.insert(), rows)

    def _forget(self, before: int) -> None:
        with self._store.write() as connection:
            connection.execute(delete(REPORT_DAYS).where(REPORT_DAYS.c.day < before))


def added_up(connection: Connection, now: datetime) -> bool:
    """Whether the days before yesterday can be read; they cannot before the first adding up."""
    last = connection.execute(select(func.max(REPORT_DAYS.c.day)).where(REPORT_DAYS.c.by == ""))
    newest = last.scalar()
    return newest is not None and newest >= _day(now) - _FRESH * DAY


def series(
    connection: Connection, within: failures.Range, by: failures.By, *, lines: int = 8
) -> failures.Series:
    """Reports by day, a line for each value, the largest first."""
    if not added_up(connection, within.until):
        return failures.series(connection, within, by=by, bucket="day", lines=lines)
    begins = tuple(range(_day(within.since), _day(within.until) + 1, DAY))[-failures.MOST_POINTS :]
    counts = _read(connection, by, begins)
    _add_fresh(connection, counts, by, begins)
    totals = counts.pop("", Counter())
    chosen = sorted(counts, key=lambda each: (-counts[each].total(), each))[:lines]
    found = [_line(value[1:], counts[value], begins) for value in chosen]
    shown = [sum(each.counts[at] for each in found) for at in range(len(begins))]
    rest = Counter({day: totals[day] - shown[at] for at, day in enumerate(begins)})
    found.append(_line("", rest, begins, rest=True))
    kept = tuple(each for each in found if each.total > 0)
    total = sum(each.total for each in kept)
    return failures.Series(by, "day", tuple(map(moment, begins)), kept, total)


def divided(
    connection: Connection, within: failures.Range, by: Sequence[str]
) -> Mapping[str, tuple[tuple[str, int], ...]]:
    """As ``breakdown``, for a long time."""
    if not added_up(connection, within.until):
        return breakdown(connection, within, by)
    columns, fresh = REPORT_DAYS.c, _day(within.until) - (_FRESH - 1) * DAY
    statement = select(columns.by, columns.value, func.sum(columns.count)).where(
        columns.by.in_(by), columns.day >= _day(within.since), columns.day < fresh
    )
    counts: dict[str, Counter[str]] = {name: Counter() for name in by}
    for name, value, number in connection.execute(statement.group_by(columns.by, columns.value)):
        counts[name][value] += int(number)
    lately = breakdown(connection, failures.Range(moment(fresh), within.until), by)
    for name, pairs in lately.items():
        counts[name].update(dict(pairs))
    return {name: tuple(each.most_common(MOST_VALUES)) for name, each in counts.items()}


def _read(connection: Connection, by: str, begins: Sequence[int]) -> dict[str, Counter[int]]:
    """By value, with a mark before it, and the sums of all without one: a value may be empty."""
    columns, fresh = REPORT_DAYS.c, begins[-1] - (_FRESH - 1) * DAY
    statement = select(columns.by, columns.value, columns.day, columns.count).where(
        columns.by.in_(("", by)), columns.day >= begins[0], columns.day < fresh
    )
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for name, value, day, number in connection.execute(statement):
        counts[f"={value}" if name else ""][day] += int(number)
    return counts


def _add_fresh(
    connection: Connection, counts: dict[str, Counter[int]], by: failures.By, begins: Sequence[int]
) -> None:
    """Yesterday and today, from the groups."""
    fresh = begins[-1] - (_FRESH - 1) * DAY
    within = failures.Range(moment(fresh), moment(begins[-1] + DAY))
    found = failures.series(
        connection,
        within,
        by=by,
        bucket="day",
        lines=failures.MOST_LINES,
    )
    for line in found.lines:
        for begin, number in zip(found.begins, line.counts, strict=True):
            counts[""][seconds(begin)] += number
            if not line.rest:
                counts[f"={line.value}"][seconds(begin)] += number


def _rows(connection: Connection, day: int) -> Iterable[dict[str, Any]]:
    since = datetime.fromtimestamp(day, UTC)
    within = failures.Range(since, since + timedelta(days=1))
    found = breakdown(connection, within, DIMENSIONS, most=MOST)
    yield {"by": "", "day": day, "value": "", "count": failures.total(connection, within).count}
    for by, pairs in found.items():
        for value, number in pairs:
            yield {"by": by, "day": day, "value": value, "count": number}


def _line(
    value: str, counts: Counter[int], begins: Sequence[int], *, rest: bool = False
) -> failures.Line:
    numbers = tuple(counts[begin] for begin in begins)
    return failures.Line(value, sum(numbers), numbers, rest)


def _day(at: datetime) -> int:
    return seconds(at) // DAY * DAY
