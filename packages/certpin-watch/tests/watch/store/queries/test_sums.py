"""A long time is read from sums by day: they say what the groups say, whatever is asked."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import TYPE_CHECKING, Any, get_args

import pytest
from sqlalchemy import func, select

from certpin_watch.store.queries import failures, report_counts, reports
from certpin_watch.store.queries.failures import breakdown
from certpin_watch.store.queries.report_counts import By, Range, ReportFilter
from certpin_watch.store.tables.reports import REPORT_GROUPS
from tests.watch._sums import add_up

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from certpin_watch.store import Store

NOW = datetime(2026, 11, 25, 19, 30, tzinfo=UTC)
SINCE = NOW - timedelta(days=40, hours=7)
HOUR = 3600
CHAIN = bytes([7]) * 32
VALUES: dict[str, tuple[Any, ...]] = {
    "host": ("a.example", "b.example", "other"), "served": (b"", CHAIN, bytes([9]) * 32),
    "pin_set": ("bank",), "version": (0, 9, 12), "app": ("", "Bank"), "app_version": ("1", "2"),
    "platform": ("ios", "android"), "network": ("wifi", "", "other"), "kind": ("certpin", "nel"),
    "decision": ("refuse",), "reason": ("mismatch", "expired"),
}  # fmt: skip
ONLY = (
    None,
    ReportFilter(network=""),
    ReportFilter(pin_set="bank"),
    ReportFilter(host="a.example"),
    ReportFilter(served=CHAIN.hex()),
    ReportFilter(version=0, platform="ios", kind="nel"),
    ReportFilter(host="b.example", served="", network="wifi"),
    ReportFilter(app="nobody"),
    ReportFilter(host="nowhere.example"),
    ReportFilter(decision="refuse", reason="expired"),
)


def _fill(store: Store, days: int = 60, count: int = 900) -> None:
    chance, now = random.Random(5), int(NOW.timestamp()) // HOUR * HOUR
    rows = []
    for number in range(count):
        hour = now - chance.randrange(days * 24) * HOUR
        said = {name: chance.choice(values) for name, values in VALUES.items()}
        rows.append({
            "key": number.to_bytes(32), "hour": hour, "verified": b"", **said,
            "count": chance.randrange(1, 9), "first_at": hour + 1, "last_at": hour + 9,
        })  # fmt: skip
    with store.write() as connection:
        connection.execute(REPORT_GROUPS.insert(), rows)
        add_up(connection)


def _answers(connection: Connection, only: ReportFilter | None) -> list[Any]:
    """Everything that there is to ask."""
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
def test_sums_say_what_the_groups_say(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    _fill(store)
    with store.read() as connection:
        summed = [_answers(connection, only) for only in ONLY]
        monkeypatch.setattr(report_counts, "_LEAST_DAYS", 10_000)
        counted = [_answers(connection, only) for only in ONLY]
    for only, one, other in zip(ONLY, summed, counted, strict=True):
        for mine, theirs in zip(one, other, strict=True):
            assert _sorted(mine) == _sorted(theirs), only


def test_a_day_is_read_from_its_sums_only_where_nothing_came_later_on_it(store: Store) -> None:
    """Of a time of more than a month, and of a shorter one, which is read in another way."""
    _fill(store, days=40, count=400)
    table = REPORT_GROUPS.c
    untils = (NOW, NOW - timedelta(hours=9), NOW - timedelta(days=3, hours=12))
    with store.read() as connection:
        for since, until in product((SINCE, NOW - timedelta(days=20)), untils):
            least, most = int(since.timestamp()) // HOUR * HOUR, int(until.timestamp())
            told = select(func.sum(table.count)).where(table.hour >= least, table.hour < most)
            found = failures.total(connection, Range(since, until))
            assert found.count == connection.execute(told).scalar_one()


def _sorted(answer: Any) -> Any:
    """Values that are as frequent come in any order."""
    if not isinstance(answer, dict):
        return answer
    return {name: sorted(pairs) for name, pairs in answer.items()}


def test_a_time_is_divided_into_whole_days_and_what_is_left_of_it() -> None:
    day = 86_400
    read = report_counts.plan_read(100 * day - 5000, 120 * day + 7000)
    assert read.days == (100 * day, 120 * day)
    assert read.groups == ((100 * day - 2 * HOUR, 100 * day), (120 * day, 120 * day + 7000))
    assert report_counts.plan_read(100 * day, 120 * day).groups == ()
    assert report_counts.plan_read(0, 7 * day).days is None


def test_what_a_full_day_folded_is_still_listed(sqlite_store: Store) -> None:
    """Its sums say less than its groups, which are kept as they were."""
    _fill(sqlite_store, count=300)
    with sqlite_store.write() as connection:
        row = {name: values[0] for name, values in VALUES.items()} | {"network": "rare"}
        hour = int(NOW.timestamp()) // HOUR * HOUR - 30 * 24 * HOUR
        told = {"hour": hour, "count": 1, "first_at": hour, "last_at": hour}
        connection.execute(REPORT_GROUPS.insert(), row | told | {"key": b"rare", "verified": b""})
    with sqlite_store.read() as connection:
        (found,) = reports.groups(
            connection, Range(SINCE, NOW), only=ReportFilter(network="rare")
        ).items
    assert found.network == "rare"
