"""A time in which nobody took reports is unknown, and not one without failures."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select

from certpin_watch.collector.intake import check_in
from certpin_watch.store.queries import failures
from certpin_watch.store.queries.failures import intake_gaps
from certpin_watch.store.queries.report_counts import Range
from certpin_watch.store.reports import record_listening
from certpin_watch.store.tables.reports import LISTENED
from tests.watch.store.queries import _world as world

if TYPE_CHECKING:
    from certpin_watch.store import Store

DAY = 86_400
AT = 20_000 * DAY
HOUR = 3600


def _awake(store: Store, *times: tuple[int, int]) -> None:
    with store.write() as connection:
        for since, until in times:
            for moment in (*range(since, until, 120), until):
                record_listening(connection, AT + moment)


def _gaps(store: Store, since: int, until: int) -> list[tuple[int, int]]:
    with store.read() as connection:
        return [(a - AT, b - AT) for a, b in intake_gaps(connection, AT + since, AT + until)]


def test_a_pause_is_a_gap_and_what_was_before_is_not_said(store: Store) -> None:
    assert _gaps(store, 0, DAY) == []
    _awake(store, (HOUR, 2 * HOUR), (2 * HOUR + 100, 3 * HOUR), (9 * HOUR, 10 * HOUR))
    assert _gaps(store, 0, 10 * HOUR) == [(3 * HOUR, 9 * HOUR)]
    assert _gaps(store, 4 * HOUR, 5 * HOUR) == [(4 * HOUR, 5 * HOUR)]
    assert _gaps(store, 9 * HOUR, 11 * HOUR) == [(10 * HOUR, 11 * HOUR)]
    assert _gaps(store, 12 * HOUR, 13 * HOUR) == [(12 * HOUR, 13 * HOUR)]


def test_a_clock_that_was_set_back_hides_no_pause(store: Store) -> None:
    _awake(store, (0, HOUR), (DAY, DAY + 100), (HOUR + 60, 2 * HOUR), (5 * HOUR, 6 * HOUR))
    assert _gaps(store, 0, 6 * HOUR) == [(2 * HOUR, 5 * HOUR)]


def test_series_say_which_buckets_are_unknown(sqlite_store: Store) -> None:
    _awake(sqlite_store, (0, 2 * HOUR + 60), (4 * HOUR + 60, 6 * HOUR))
    since = datetime.fromtimestamp(AT, UTC)
    within = Range(since, since + timedelta(hours=6))
    with sqlite_store.read() as connection:
        hours = failures.series(connection, within, by="network")
        days = failures.series(connection, within, by="network", bucket="day")
    assert [each.hour for each in hours.unknown] == [2, 3, 4]
    assert days.unknown == (since,)


def test_the_service_notes_that_it_is_awake_until_it_ends(sqlite_store: Store) -> None:
    stop = asyncio.Event()
    stop.set()
    watch = world.watch(sqlite_store)
    asyncio.run(check_in(watch, stop, lambda: False))  # NATS is away: every report is refused
    with sqlite_store.read() as connection:
        assert not connection.execute(select(LISTENED)).all()
    asyncio.run(check_in(watch, stop, lambda: True))
    with sqlite_store.read() as connection:
        (row,) = connection.execute(select(LISTENED))
    assert (row.since, row.until) == (world.at(world.NOW), world.at(world.NOW))
