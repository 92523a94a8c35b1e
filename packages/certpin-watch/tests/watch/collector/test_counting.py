"""Check how reports are stored: each is counted once, each chain is stored once, all is limited."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from certpin_watch.collector.counting import BatchResult, count
from certpin_watch.collector.decode import (
    CountedFailure,
    CountedPresence,
    CountedRecord,
    ReceivedBody,
)
from certpin_watch.collector.grouping import (
    CHAINS_LEFT_OUT,
    CountingLimits,
    PresenceLimits,
    ReportLimits,
    RowCache,
)
from certpin_watch.store.chains import chain_record
from certpin_watch.store.identities import DAY, HOUR
from certpin_watch.store.reports import OTHER
from certpin_watch.store.tables.observations import (
    CERTIFICATES,
    CHAINS,
    DAY_PLACES,
    PRESENCES,
    REPORT_GROUPS,
    REPORT_IDENTITIES,
    REPORT_SAMPLES,
    REPORT_TRAITS,
)
from tests.watch._sums import assert_sums_are_right

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Table

    from certpin_watch.store import Store

AT = 100 * DAY + 5 * HOUR + 7
LIMITS = CountingLimits(ReportLimits(1000, 100))
SERVED = (b"leaf", b"intermediate")


def failure(number: int, **fields: Any) -> CountedFailure:
    defaults: dict[str, Any] = {
        "kind": "certpin",
        "decision": "refuse",
        "reason": "mismatch",
        "host": "a.example",
        "served": SERVED,
        "verified": (),
        "pin_set": "bank-app",
        "version": 12,
        "app": "app",
        "app_version": "4.2.0",
        "platform": "android",
        "network": "wifi",
    }
    return CountedFailure(identity=number.to_bytes(32, "big"), **(defaults | fields))


def body(*records: CountedRecord, at: int = AT, sample: bytes = b"") -> ReceivedBody:
    return ReceivedBody(at, "192.0.2.0/24", records, sample)


def counted(
    store: Store,
    batch: Sequence[ReceivedBody],
    limits: CountingLimits = LIMITS,
    known: RowCache | None = None,
) -> BatchResult:
    known = known or RowCache()
    with store.write() as connection:
        found = count(connection, batch, limits, known)
    known.learn(found.hours)
    return found


def rows(store: Store, table: Table) -> list[Any]:
    with store.read() as connection:
        return list(connection.execute(select(table)))


def total(store: Store) -> int:
    with store.read() as connection:
        return connection.execute(select(func.sum(REPORT_GROUPS.c.count))).scalar() or 0


def test_reports_with_the_same_fields_are_one_group(store: Store) -> None:
    batch = [body(failure(n), at=AT + n) for n in range(3)] + [body(failure(9, network="lte"))]
    assert counted(store, batch).reports == 4
    counted(store, [body(failure(4), at=AT - 5)])
    groups = {row.network: row for row in rows(store, REPORT_GROUPS)}
    wifi = groups["wifi"]
    assert (wifi.count, wifi.first_at, wifi.last_at) == (4, AT - 5, AT + 2)
    assert (wifi.hour, wifi.host, wifi.version) == (AT - 7, "a.example", 12)
    assert groups["lte"].count == 1


def test_repeat_is_not_counted_again(store: Store) -> None:
    known = RowCache()
    first = counted(store, [body(failure(1), failure(2)), body(failure(1))], known=known)
    assert (first.reports, first.repeats) == (2, 1)
    again = counted(store, [body(failure(2)), body(failure(3), at=AT + 9 * DAY)], known=known)
    assert (again.reports, again.repeats) == (1, 1)
    assert total(store) == 3
    assert len(rows(store, REPORT_IDENTITIES)) == 3


def test_report_with_two_identities_is_recognised_by_either(store: Store) -> None:
    one, two, three, four = (with_second(failure(n), n + 1) for n in range(1, 5))
    first = counted(store, [body(one), body(two)])  # they share the second identity
    assert (first.reports, first.repeats) == (1, 1)
    again = counted(store, [body(three), body(failure(2))])  # the second is stored already
    assert (again.reports, again.repeats) == (0, 2)
    assert counted(store, [body(with_second(failure(8), 9)), body(four)]).reports == 1
    assert total(store) == 2


def with_second(known: CountedFailure, also: int) -> CountedFailure:
    return msgspec.structs.replace(known, also=also.to_bytes(32, "big"))


def test_day_sums_change_together_with_the_groups(store: Store) -> None:
    """Two processes with separate caches count reports, some of them late ones of earlier days.

    Afterwards the daily sums equal the sums of the groups of reports.
    """
    one, other = RowCache(), RowCache()
    counted(store, [body(failure(1)), body(failure(2, network="lte", host="b.example"))], known=one)
    counted(store, [body(failure(3), at=AT + DAY), body(failure(3)), body(failure(4))], known=other)
    counted(store, [body(failure(5), at=AT - 9 * DAY), body(failure(1))], known=one)
    counted(store, [body(failure(6, served=())), body(failure(7))], known=other)
    with store.write() as connection:
        count(connection, [body(failure(8)), body(failure(9, app="new"))], LIMITS, one)
        connection.rollback()
    assert total(store) == 7
    assert_sums_are_right(store)
    seen = {row.network: row.seen for row in rows(store, REPORT_TRAITS)}
    assert seen == {"wifi": 101 * DAY, "lte": 100 * DAY}


@pytest.mark.medium
def test_hostile_reports_can_only_fill_the_sums_of_a_day(store: Store) -> None:
    limits, known = CountingLimits(ReportLimits(16, 4)), RowCache()
    for hour in range(12):
        at = AT // DAY * DAY + hour * HOUR
        batch = [
            body(failure(hour * 50 + n, network=f"{hour} {n}", app=f"{n}"), at=at)
            for n in range(14)
        ]
        counted(store, batch, limits, known)
    sums = rows(store, DAY_PLACES)
    assert sum(row._mapping["count"] for row in sums) == total(store) == 12 * 14
    assert len(rows(store, REPORT_GROUPS)) == 12 * 14
    assert 4 * 16 <= len(sums) < 2 * 4 * 16


def test_chains_are_stored_once_by_digest(store: Store) -> None:
    counted(store, [body(failure(1), failure(2, verified=(b"other", b"intermediate")))])
    counted(store, [body(failure(3))])
    stored = {bytes(row.digest): bytes(row.members) for row in rows(store, CHAINS)}
    assert len(stored) == 2
    assert stored[chain_record(SERVED).digest] == chain_record(SERVED).members
    assert {bytes(row.der) for row in rows(store, CERTIFICATES)} == {*SERVED, b"other"}
    digests = {bytes(row.served) for row in rows(store, REPORT_GROUPS)}
    assert digests == {chain_record(SERVED).digest}


def test_clients_with_a_version_are_counted_by_day(store: Store) -> None:
    records = [
        CountedPresence(n.to_bytes(32, "big"), "bank-app", 12, "app", "4.2.0", "ios")
        for n in range(4)
    ]
    counted(store, [body(record) for record in records[:3]] + [body(records[0])])
    counted(store, [body(records[1]), body(records[3], at=AT + DAY)])
    found = {row.day: row.count for row in rows(store, PRESENCES)}
    assert found == {100 * DAY: 3, 101 * DAY: 1}


def test_hostile_presences_can_only_fill_a_day(store: Store) -> None:
    limits = CountingLimits(LIMITS.reports, presences=PresenceLimits(20, frozenset({"bank-app"})))

    def presence(
        number: int, pin_set: str = "bank-app", version: int = 12, app: str = ""
    ) -> ReceivedBody:
        key = number.to_bytes(32, "big")
        return body(CountedPresence(key, pin_set, version, app or f"app {number}", "1", "ios"))

    counted(store, [presence(0, app="app")], limits)
    counted(store, [presence(n, f"unknown {n}", n) for n in range(1, 101)], limits)
    counted(store, [presence(n) for n in range(101, 201)], limits)
    counted(store, [presence(n, version=n) for n in range(201, 301)], limits)
    counted(store, [presence(301, app="app")], limits)
    old = limits.presences._replace(versions=frozenset({("bank-app", 999)}))
    counted(store, [presence(302, version=999)], replace(limits, presences=old))
    found = rows(store, PRESENCES)
    assert sum(row.count for row in found if row.version == 999) == 1  # the old version is counted
    assert len(found) <= 2 * 20 + 4
    assert sum(row.count for row in found) == 303
    assert sum(row.count for row in found if (row.pin_set, row.version) == ("bank-app", 12)) == 102
    assert [row.count for row in found if row.app == "app"] == [2]


def test_few_samples_of_each_group_are_kept(store: Store) -> None:
    limits = CountingLimits(
        ReportLimits(1000, 100, share_of=lambda _: ""), samples=2, max_samples=20
    )
    for turn in range(3):
        batch = [
            body(failure(turn * 100 + n, network=f"net {n}"), sample=b"{%d}" % n) for n in range(4)
        ]
        counted(store, batch, limits)
    kept = rows(store, REPORT_SAMPLES)
    assert len(kept) == 5
    assert {row.source for row in kept} == {"192.0.2.0/24"}
    keys = {bytes(row.key) for row in rows(store, REPORT_GROUPS)}
    assert {bytes(row.key) for row in kept} <= keys


def test_hostile_reports_can_only_fill_an_hour(store: Store) -> None:
    limits, known = CountingLimits(ReportLimits(20, 8)), RowCache()
    for turn in range(10):
        batch = [
            body(
                failure(
                    turn * 100 + n,
                    **dict.fromkeys(("host", "app", "network", "reason"), f"{turn} {n}"),
                    served=(b"%d %d" % (turn, n),),
                ),
                sample=b"{}",
            )
            for n in range(30)
        ]
        assert counted(store, batch, limits, known).reports == 30
    groups = rows(store, REPORT_GROUPS)
    assert total(store) == 300
    assert len(groups) <= 2 * 20 + 2
    assert len(rows(store, CHAINS)) == 8
    assert any(row.folded & CHAINS_LEFT_OUT and not row.served for row in groups)
    assert any(row.host == OTHER and row.folded for row in groups)
    later = counted(store, [body(failure(999), at=AT + HOUR)], limits, known)
    assert later.folded == 0


def test_rolled_back_rows_are_not_cached(sqlite_store: Store) -> None:
    known = RowCache()
    with sqlite_store.write() as connection:
        count(connection, [body(failure(1))], LIMITS, known)
        connection.rollback()
    assert counted(sqlite_store, [body(failure(1))], known=known).reports == 1
    assert len(rows(sqlite_store, CHAINS)) == len(rows(sqlite_store, REPORT_GROUPS)) == 1


def test_empty_batch_changes_nothing(sqlite_store: Store) -> None:
    assert counted(sqlite_store, []) == BatchResult()
    assert counted(sqlite_store, [body()]) == BatchResult()


def test_many_processes_count_together_on_postgresql(postgres_store: Store) -> None:
    """The processes count overlapping reports in different orders, and each report once."""
    from concurrent.futures import ThreadPoolExecutor

    def writer(start: int) -> None:
        known = RowCache()
        for turn in range(6):
            numbers = [(start * 7 + turn * 5 + n) % 40 for n in range(20)]
            batch = [body(failure(n, network=f"net {n % 5}")) for n in numbers]
            try:
                counted(postgres_store, batch, known=known)
            except SQLAlchemyError as exc:  # a deadlock would be one
                raise AssertionError(str(exc)) from exc

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(writer, range(4)))
    assert total(postgres_store) == len(rows(postgres_store, REPORT_IDENTITIES)) == 40
    assert_sums_are_right(postgres_store)
