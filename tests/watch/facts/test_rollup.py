"""Reports by day: what was added up says the same as the groups, and late reports are in it."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete, func, select

from certpin.watch.facts import failures, rollup
from certpin.watch.facts.breakdown import breakdown
from certpin.watch.facts.rollup import Rollup
from certpin.watch.settings import Settings
from certpin.watch.store.tables.days import REPORT_DAYS
from certpin.watch.store.tables.reports import REPORT_GROUPS
from certpin.watch.watch import Watch
from certpin.watch.watched import Watched

if TYPE_CHECKING:
    from certpin.watch.store import Store

NOW = datetime(2026, 11, 25, 19, 30, tzinfo=UTC)
MONTH = failures.Range(NOW - timedelta(days=30), NOW)
HOUR = 3600


def add(store: Store, key: int, days: float, network: str, count: int = 1) -> None:
    """A group of so many days ago."""
    hour = (int(NOW.timestamp()) - int(days * 24 * HOUR)) // HOUR * HOUR
    with store.write() as connection:
        connection.execute(
            REPORT_GROUPS.insert().values(
                key=key.to_bytes(32, "big"), hour=hour, host="a.example", served=b"", verified=b"",
                pin_set="p", version=1, app="", app_version="", platform="", network=network,
                kind="certpin", decision="refuse", reason="mismatch", count=count, first_at=hour,
                last_at=hour,
            )
        )  # fmt: skip


def both(store: Store, lines: int = 5) -> tuple[failures.Series, failures.Series]:
    """The same question to the days and to the groups."""
    with store.read() as connection:
        return (
            rollup.series(connection, MONTH, "network", lines=lines),
            failures.series(connection, MONTH, by="network", bucket="day", lines=lines),
        )


def told(found: failures.Series) -> dict[str, int]:
    """The totals by value."""
    return {("*" if each.rest else each.value): each.total for each in found.lines}


def test_the_days_say_what_the_groups_say(store: Store) -> None:
    for key, (days, network) in enumerate([(0, "wifi"), (1, ""), (3, "wifi"), (9, "x"), (9, "")]):
        add(store, key, days, network, count=key + 1)
    Rollup(store).add_up(NOW)
    added, groups = both(store)
    assert added.begins == groups.begins
    assert {each.value: each.counts for each in added.lines} == {
        each.value: each.counts for each in groups.lines
    }
    with store.read() as connection:
        assert dict(rollup.divided(connection, MONTH, ("network",))["network"]) == dict(
            breakdown(connection, MONTH, ("network",))["network"]
        )


def test_a_late_report_is_added_to_its_day(sqlite_store: Store) -> None:
    add(sqlite_store, 1, 0, "wifi")
    work = Rollup(sqlite_store)
    work.add_up(NOW)
    add(sqlite_store, 2, 20, "late", count=7)
    assert "late" not in told(both(sqlite_store)[0])
    work.add_up(NOW)
    assert told(both(sqlite_store)[0]) == {"late": 7, "wifi": 1}


def test_before_anything_was_added_up_the_groups_are_asked(sqlite_store: Store) -> None:
    add(sqlite_store, 1, 9, "wifi", count=3)
    assert told(both(sqlite_store)[0]) == {"wifi": 3}


def test_what_has_no_line_is_in_the_rest(sqlite_store: Store) -> None:
    for key in range(8):
        add(sqlite_store, key, 5, f"net{key}", count=key + 1)
    Rollup(sqlite_store).add_up(NOW)
    days, groups = both(sqlite_store, lines=2)
    assert told(days) == told(groups) == {"net7": 8, "net6": 7, "*": 21}


def test_what_retention_deleted_is_gone_the_next_day(sqlite_store: Store) -> None:
    add(sqlite_store, 1, 20, "old")
    add(sqlite_store, 2, 2, "new")
    work = Rollup(sqlite_store)
    work.add_up(NOW)
    with sqlite_store.write() as connection:
        connection.execute(delete(REPORT_GROUPS).where(REPORT_GROUPS.c.network == "old"))
    work.add_up(NOW + timedelta(days=1))
    with sqlite_store.read() as connection:
        assert connection.execute(
            select(func.count()).where(REPORT_DAYS.c.value == "old")
        ).scalar() == 0  # fmt: skip


@pytest.mark.timeout(20)
def test_it_is_done_in_the_background_until_it_is_stopped(sqlite_store: Store) -> None:
    add(sqlite_store, 1, 4, "wifi")
    watch = Watch(Settings(), sqlite_store, Watched(()), lambda: NOW)

    async def work() -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(rollup.run(watch, stop))
        await asyncio.to_thread(_wait_for, sqlite_store)
        stop.set()
        await task

    asyncio.run(work())


def _wait_for(store: Store) -> None:
    while True:  # until the time of the test is over
        with store.read() as connection:
            if rollup.added_up(connection, NOW):
                return
        time.sleep(0.01)
