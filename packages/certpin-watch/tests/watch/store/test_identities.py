"""Check that repeated reports are recognised within the configured time, and not later.

The store recognises a report by its identity, a hash. The tests also check how old identities are
deleted, on PostgreSQL by dropping partitions of their table.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs
from sqlalchemy import func, insert, select, text

from certpin.errors import StoreError
from certpin_watch.collector.decode import identity
from certpin_watch.settings import CollectorSettings, ServiceSettings, Thresholds
from certpin_watch.store import migrate, open_store
from certpin_watch.store.identities import (
    DAY,
    HOUR,
    LATE,
    HourCount,
    drop_next_partition,
    partition_days,
    undated,
)
from certpin_watch.store.queries.capacity import repeat_window
from certpin_watch.store.quota import BATCH
from certpin_watch.store.retention import retention_steps
from certpin_watch.store.schema import upgrade
from certpin_watch.store.tables.observations import IDENTITY_HOURS, REPORT_IDENTITIES
from tests.watch.collector.test_counting import body, counted, failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin_watch.collector.decode import CountedFailure
    from certpin_watch.store import Store

NOW = int(datetime(2027, 3, 1, 9, 30, tzinfo=UTC).timestamp())
WINDOW = ServiceSettings().retention.identities * DAY


def maintain(store: Store, now: int, settings: ServiceSettings | None = None) -> None:
    """Delete old report identities and create partitions, as the hourly retention task does."""
    settings = settings or ServiceSettings()
    limits, moment = settings.collector, datetime.fromtimestamp(now, UTC)
    steps = retention_steps(
        settings.retention, limits, moment, timedelta(0), is_sqlite=store.is_sqlite
    )
    for name in ("partitions", "identity_hours", "old_partitions", "report_identities"):
        deleted = 1 if name in steps else 0
        while deleted:
            with store.write() as connection:
                deleted = steps[name](connection, BATCH)


def report(number: int, at: int) -> CountedFailure:
    """Return a report with this number, from a client with a clock at ``at`` (Unix time in
    seconds).
    """
    moment = datetime.fromtimestamp(at, UTC)
    return structs.replace(failure(1), identity=identity("certpin", f"id:{number}", "", moment))


def identities(store: Store) -> int:
    with store.read() as connection:
        return int(
            connection.execute(select(func.count(REPORT_IDENTITIES.c.identity))).scalar_one()
        )


def places(store: Store) -> dict[bytes, str]:
    """Return the partition of each identity."""
    with store.read() as connection:
        rows = connection.execute(
            text("SELECT identity, tableoid::regclass::text FROM report_identities")
        )
        return {bytes(key): name.removeprefix("report_identities_") for key, name in rows}


def put(store: Store, received: int, count: int = 1, first: int = 0) -> None:
    """Insert identities of reports that arrived in the same second."""
    rows = [
        {"identity": received.to_bytes(5) + (first + n).to_bytes(27), "received_at": received}
        for n in range(count)
    ]
    with store.write() as connection:
        connection.execute(insert(REPORT_IDENTITIES), rows)


# Ages of reports at their first arrival: punctual, late, and from wrong clocks.
AGES = [
    *(0, 60, DAY - 60, DAY + 60, 2 * DAY, 6 * DAY, 9 * DAY, 11 * DAY, 30 * DAY, NOW),
    *(-HOUR, -DAY, -2 * DAY, -5 * DAY, -20 * DAY, -4000 * DAY),
]
GAPS = [0, HOUR, *(days * DAY // 2 for days in range(1, 16)), WINDOW - 1]


@pytest.mark.medium
def test_a_repeat_is_recognised_in_the_whole_window(store: Store) -> None:
    for ago in range(12, -1, -1):  # the service has run for days, which have partitions
        maintain(store, NOW - ago * DAY)
    reports = {
        gap: [report(at * 1000 + number, NOW - age) for number, age in enumerate(AGES)]
        for at, gap in enumerate(GAPS)
    }
    first = [body(sent, at=NOW) for batch in reports.values() for sent in batch]
    assert counted(store, first).reports == len(AGES) * len(GAPS)
    for gap, batch in reports.items():
        maintain(store, NOW + gap)
        again = counted(store, [body(sent, at=NOW + gap) for sent in batch])
        assert (again.reports, again.repeats) == (0, len(batch)), gap / DAY
    last = (
        NOW + 31 * DAY
    )  # one clock was 20 days ahead: its report is dropped with that day's partition
    maintain(store, last)
    assert identities(store) == 0
    if not store.is_sqlite:
        with store.read() as connection:
            assert partition_days(connection)[0] > last - WINDOW - LATE - 2 * DAY


def test_partitions_are_created_in_advance(postgres_store: Store) -> None:
    early = report(1, NOW + 5 * DAY)
    counted(postgres_store, [body(early, at=NOW), body(report(2, NOW), at=NOW)])
    assert set(places(postgres_store).values()) == {"rest"}
    maintain(postgres_store, NOW)
    assert places(postgres_store)[early.identity] == "rest"
    for _ in range(2):
        maintain(postgres_store, NOW + 3 * DAY)
    found = places(postgres_store)
    assert sorted(found.values()) == ["20270301", "20270306"]
    with postgres_store.read() as connection:
        today = NOW - NOW % DAY
        assert partition_days(connection) == [today + n * DAY for n in range(7)]


def test_a_long_read_delays_the_collector_only_briefly(postgres_store: Store) -> None:
    """While a backup reads the table, dropping a partition fails quickly; it succeeds in a later
    attempt.
    """
    maintain(postgres_store, NOW)
    with postgres_store.read() as reader:
        reader.execute(select(REPORT_IDENTITIES)).all()
        begun = time.monotonic()
        with (
            pytest.raises(StoreError) as refused,
            postgres_store.write() as connection,
        ):
            drop_next_partition(connection, NOW + 30 * DAY)
        assert refused.value.reason == "busy"
        assert time.monotonic() - begun < 15  # PostgreSQL would wait for 20 s
        assert counted(postgres_store, [body(report(1, NOW), at=NOW)]).reports == 1
    with postgres_store.write() as connection:
        assert drop_next_partition(connection, NOW + 30 * DAY) == 1


def test_identities_of_the_first_revision_move_into_partitions(
    new_database: Callable[[], str],
) -> None:
    now = int(time.time())
    store = open_store(new_database())
    with store.write() as connection:
        upgrade(connection, "0001")
    reports = [
        report(n, now - age) for n, age in enumerate((0, DAY - 60, 3 * DAY, 40 * DAY, -40 * DAY))
    ]
    old = bytes(5) + bytes([1] * 27)  # a browser's report, which had no time
    with store.write() as connection:
        for key in (old, *(sent.identity for sent in reports)):
            connection.execute(
                text("INSERT INTO report_identities VALUES (:key, :at)"), {"key": key, "at": now}
            )
    migrate(store)
    found = places(store)
    assert len(found) == 6 + 2
    assert found[old] == "undated"
    for sent, age in zip(reports, (0, DAY - 60, 3 * DAY), strict=False):
        assert found[sent.identity] == f"{datetime.fromtimestamp(now - age, UTC):%Y%m%d}"
    assert [found[sent.identity] for sent in reports[3:]] == ["rest", "rest"]
    assert [found.get(undated(sent.identity)) for sent in reports] == [
        *(None, None, "undated", "undated", None),
    ]
    assert counted(store, [body(sent, at=now) for sent in reports]).repeats == 5
    store.close()


def test_each_hour_of_identities_is_counted_once(store: Store) -> None:
    hour = NOW - NOW % HOUR
    for number, at in enumerate((hour - 100 * HOUR, hour - HOUR, hour - HOUR + 5, hour, NOW + DAY)):
        put(store, at, number + 1, 100 * number)

    def count(since: int = 0) -> list[tuple[int, int]]:
        counting, more = HourCount(since, NOW, 0), 1
        while more:
            with store.write() as connection:
                more = counting(connection, BATCH)
        with store.read() as connection:
            rows = connection.execute(select(IDENTITY_HOURS).order_by(IDENTITY_HOURS.c.hour))
            return [((at - hour) // HOUR, number) for at, number in rows]

    assert count(hour - 99 * HOUR) == [(-1, 5), (0, 4)]
    put(store, hour - HOUR + 9, 1, 900)  # arrived after its hour was counted
    put(store, hour + 9, 2, 900)
    assert count() == [(-1, 6), (0, 6)]


def test_the_oldest_excess_identities_are_deleted(store: Store) -> None:
    hour = NOW - NOW % HOUR
    limited = ServiceSettings(collector=CollectorSettings(most_identities=10))
    for ago in range(5):
        put(store, hour - ago * HOUR, 4, 10 * ago)
    maintain(store, NOW, limited)
    assert identities(store) == 8
    with store.read() as connection:
        found = repeat_window(connection, datetime.fromtimestamp(NOW, UTC), limited.thresholds)
        assert (found.since.timestamp(), found.is_short) == (hour - HOUR, True)
        assert "would be counted twice" in found.problem
        # Deleted identities don't return if the limit is raised later.
        later = repeat_window(connection, datetime.fromtimestamp(NOW, UTC), Thresholds())
        assert later.since.timestamp() == hour - HOUR
    put(store, NOW, 100, 1000)
    maintain(store, NOW, limited)
    assert identities(store) == 4 + 100, "identities of the last hour are kept"


@pytest.mark.parametrize(
    ("an_hour", "collector", "days", "problem"),
    [
        (100, {}, 8, ""),
        (100, {"client_days": 9}, 8, "set identities = 10 in [retention]"),
        (100, {"most_identities": 17_000}, 8, ""),
        (100, {"most_identities": 16_000}, 8, "set most_identities = 20160 in [collector]"),
        (0, {"most_identities": 1000}, 8, ""),
    ],
)
def test_a_short_window_is_predicted_from_the_rate(
    sqlite_store: Store, an_hour: int, collector: dict[str, Any], days: int, problem: str
) -> None:
    hour = NOW - NOW % HOUR
    rows = [{"hour": hour - ago * HOUR, "count": an_hour} for ago in range(30)]
    with sqlite_store.write() as connection:
        if an_hour:
            connection.execute(insert(IDENTITY_HOURS), rows)
    thresholds = Thresholds(collector=CollectorSettings(**collector))
    with sqlite_store.read() as connection:
        found = repeat_window(connection, datetime.fromtimestamp(NOW, UTC), thresholds)
    assert found.days == days, "nothing is lost yet"
    assert found.a_day == 24 * an_hour
    assert found.kept == 30 * an_hour
    assert problem in found.problem
    assert bool(found.problem) == bool(problem) == found.is_short


def test_the_rate_of_a_new_service_uses_its_few_hours(sqlite_store: Store) -> None:
    hour = NOW - NOW % HOUR
    for ago, number in ((0, 5), (1, 7), (2, 9)):
        with sqlite_store.write() as connection:
            connection.execute(insert(IDENTITY_HOURS).values(hour=hour - ago * HOUR, count=number))
        with sqlite_store.read() as connection:
            found = repeat_window(connection, datetime.fromtimestamp(NOW, UTC), Thresholds())
        assert found.a_day == {0: 5 * 24, 1: 7 * 24, 2: 8 * 24}[ago]


def test_a_partition_is_dropped_when_its_last_punctual_report_expires(
    postgres_store: Store,
) -> None:
    """A report may arrive a day after its date. Its partition is kept until the report expires."""
    day = NOW - NOW % DAY
    maintain(postgres_store, NOW)
    last = report(1, day + DAY - 1)
    arrival = day + DAY - 1 + LATE
    counted(postgres_store, [body(last, at=arrival)])
    maintain(postgres_store, arrival + WINDOW)
    assert last.identity in places(postgres_store)
    maintain(postgres_store, arrival + WINDOW + 1)
    assert last.identity not in places(postgres_store)
