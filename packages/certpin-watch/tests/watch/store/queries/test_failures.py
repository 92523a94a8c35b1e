"""Check the queries of reports.

A query has the same result whether it reads the sums by day or the groups of reports. Times in
which the service received no reports because it was stopped are shown as unknown, not as zero.
"""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import TYPE_CHECKING, Any, get_args

import pytest
from sqlalchemy import func, select

from certpin_watch.collector.intake import note_listening
from certpin_watch.store.queries import failures, report_counts, reports
from certpin_watch.store.queries.failures import breakdown, intake_gaps
from certpin_watch.store.queries.report_counts import By, Range, ReportFilter
from certpin_watch.store.reports import record_listening
from certpin_watch.store.tables.observations import LISTENED, REPORT_GROUPS
from tests.watch._sums import add_up
from tests.watch.store.queries import _world as world

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from certpin_watch.store import Store

NOW = datetime(2026, 11, 25, 19, 30, tzinfo=UTC)
SINCE = NOW - timedelta(days=40, hours=7)
HOUR, DAY = 3600, 86_400
START = 20_000 * DAY  # of the tests of gaps
CHAIN = bytes([7]) * 32
VALUES: dict[str, tuple[Any, ...]] = {
    "host": ("a.example", "b.example", "other"), "served": (b"", CHAIN, bytes([9]) * 32),
    "pin_set": ("bank",), "version": (0, 9, 12), "app": ("", "Bank"), "app_version": ("1", "2"),
    "platform": ("ios", "android"), "network": ("wifi", "", "other"), "kind": ("certpin", "nel"),
    "decision": ("refuse",), "reason": ("mismatch", "expired"),
}  # fmt: skip
FILTERS = (
    None,
    ReportFilter(network=""),
    ReportFilter(pin_set="bank"),
    ReportFilter(host="a.example"),
    ReportFilter(served=CHAIN.hex()),
    ReportFilter(version=0, platform="ios", kind="nel"),
    ReportFilter(host="b.example", served="", network="wifi"),
    ReportFilter(app="Other"),
    ReportFilter(host="nowhere.example"),
    ReportFilter(decision="refuse", reason="expired"),
)


def _fill(store: Store, days: int = 60, count: int = 900) -> None:
    chance, now = random.Random(5), int(NOW.timestamp()) // HOUR * HOUR
    rows = []
    for number in range(count):
        hour = now - chance.randrange(days * 24) * HOUR
        fields = {name: chance.choice(values) for name, values in VALUES.items()}
        rows.append({
            "key": number.to_bytes(32), "hour": hour, "verified": b"", **fields,
            "count": chance.randrange(1, 9), "first_at": hour + 1, "last_at": hour + 9,
        })  # fmt: skip
    with store.write() as connection:
        connection.execute(REPORT_GROUPS.insert(), rows)
        add_up(connection)


def _results(connection: Connection, only: ReportFilter | None) -> list[Any]:
    """Return the results of all queries of reports in one time range, with the filter ``only``."""
    within = Range(SINCE, NOW)
    found: list[Any] = [
        failures.series(connection, within, by=by, bucket="day", only=only, lines=lines)
        for by in get_args(By)
        for lines in (1, 12)
    ]
    found.append(failures.total(connection, within, only))
    found.append(failures.top_chains(connection, within, only=only))
    found.append(breakdown(connection, within, get_args(By), only, max_values=50))
    return [*found, *_pages(connection, within, only)]


def _pages(connection: Connection, within: Range, only: ReportFilter | None) -> list[Any]:
    before, pages = None, []
    while True:
        page = reports.groups(connection, within, only=only, before=before, limit=50)
        pages.append(page.items)
        if page.next is None:
            return pages
        before = (int(page.next[0]), int(page.next[1]))


@pytest.mark.slow
def test_sums_and_groups_give_the_same_results(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(store)
    with store.read() as connection:
        summed = [_results(connection, only) for only in FILTERS]
        monkeypatch.setattr(report_counts, "_MIN_DAYS", 10_000)
        counted = [_results(connection, only) for only in FILTERS]
    for only, one, other in zip(FILTERS, summed, counted, strict=True):
        for from_sums, from_groups in zip(one, other, strict=True):
            assert _sorted(from_sums) == _sorted(from_groups), only


@pytest.mark.medium
def test_the_last_day_is_read_from_its_sum_only_without_later_reports(store: Store) -> None:
    """The total of a range counts no reports after the range's end.

    The test uses ranges of more than a month and shorter ones, because they are read differently.
    """
    _fill(store, days=40, count=400)
    table = REPORT_GROUPS.c
    untils = (NOW, NOW - timedelta(hours=9), NOW - timedelta(days=3, hours=12))
    with store.read() as connection:
        for since, until in product((SINCE, NOW - timedelta(days=20)), untils):
            begin, end = int(since.timestamp()) // HOUR * HOUR, int(until.timestamp())
            expected = select(func.sum(table.count)).where(table.hour >= begin, table.hour < end)
            found = failures.total(connection, Range(since, until))
            assert found.count == connection.execute(expected).scalar_one()


def _sorted(result: Any) -> Any:
    """Sort the values in the result of a breakdown, and return other results unchanged.

    Equally frequent values have no fixed order.
    """
    if not isinstance(result, dict):
        return result
    return {name: sorted(pairs) for name, pairs in result.items()}


def test_a_range_is_split_into_full_days_and_the_remaining_hours() -> None:
    read = report_counts.plan_read(100 * DAY - 5000, 120 * DAY + 7000)
    assert read.days == (100 * DAY, 120 * DAY)
    assert read.groups == ((100 * DAY - 2 * HOUR, 100 * DAY), (120 * DAY, 120 * DAY + 7000))
    assert report_counts.plan_read(100 * DAY, 120 * DAY).groups == ()
    assert report_counts.plan_read(0, 7 * DAY).days is None


@pytest.mark.medium
def test_a_group_is_listed_although_its_daily_sum_has_less_detail(sqlite_store: Store) -> None:
    """On a day with too many different reports, the daily sum omits details that the groups still
    have.
    """
    _fill(sqlite_store, count=300)
    with sqlite_store.write() as connection:
        row = {name: values[0] for name, values in VALUES.items()} | {"network": "rare"}
        hour = int(NOW.timestamp()) // HOUR * HOUR - 30 * 24 * HOUR
        counts = {"hour": hour, "count": 1, "first_at": hour, "last_at": hour}
        connection.execute(REPORT_GROUPS.insert(), row | counts | {"key": b"rare", "verified": b""})
    with sqlite_store.read() as connection:
        (found,) = reports.groups(
            connection, Range(SINCE, NOW), only=ReportFilter(network="rare")
        ).items
    assert found.network == "rare"


def _listen(store: Store, *times: tuple[int, int]) -> None:
    with store.write() as connection:
        for since, until in times:
            for second in (*range(since, until, 120), until):
                record_listening(connection, START + second)


def _gaps(store: Store, since: int, until: int) -> list[tuple[int, int]]:
    with store.read() as connection:
        return [
            (begin - START, end - START)
            for begin, end in intake_gaps(connection, START + since, START + until)
        ]


def test_a_pause_is_a_gap_but_not_the_time_before_the_first_record(store: Store) -> None:
    assert _gaps(store, 0, DAY) == []
    _listen(store, (HOUR, 2 * HOUR), (2 * HOUR + 100, 3 * HOUR), (9 * HOUR, 10 * HOUR))
    assert _gaps(store, 0, 10 * HOUR) == [(3 * HOUR, 9 * HOUR)]
    assert _gaps(store, 4 * HOUR, 5 * HOUR) == [(4 * HOUR, 5 * HOUR)]
    assert _gaps(store, 9 * HOUR, 11 * HOUR) == [(10 * HOUR, 11 * HOUR)]
    assert _gaps(store, 12 * HOUR, 13 * HOUR) == [(12 * HOUR, 13 * HOUR)]


def test_a_pause_is_found_after_the_clock_was_set_back(store: Store) -> None:
    _listen(store, (0, HOUR), (DAY, DAY + 100), (HOUR + 60, 2 * HOUR), (5 * HOUR, 6 * HOUR))
    assert _gaps(store, 0, 6 * HOUR) == [(2 * HOUR, 5 * HOUR)]


def test_a_series_lists_its_unknown_buckets(sqlite_store: Store) -> None:
    _listen(sqlite_store, (0, 2 * HOUR + 60), (4 * HOUR + 60, 6 * HOUR))
    since = datetime.fromtimestamp(START, UTC)
    within = Range(since, since + timedelta(hours=6))
    with sqlite_store.read() as connection:
        hours = failures.series(connection, within, by="network")
        days = failures.series(connection, within, by="network", bucket="day")
    assert [begin.hour for begin in hours.unknown] == [2, 3, 4]
    assert days.unknown == (since,)


def test_the_service_records_that_it_listens_until_it_stops(sqlite_store: Store) -> None:
    stop = asyncio.Event()
    stop.set()
    watch = world.watch(sqlite_store)
    asyncio.run(
        note_listening(watch, stop, lambda: False)
    )  # NATS is unavailable: every report is refused
    with sqlite_store.read() as connection:
        assert not connection.execute(select(LISTENED)).all()
    asyncio.run(note_listening(watch, stop, lambda: True))
    with sqlite_store.read() as connection:
        (row,) = connection.execute(select(LISTENED))
    assert (row.since, row.until) == (world.seconds(world.NOW), world.seconds(world.NOW))
