"""Check the limits on stored data of unauthenticated senders.

The limits are exact, and no sender can displace the data of other senders.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from certpin_watch.collector.counting import MAX_ORIGINS
from certpin_watch.collector.decode import CountedFailure, ReceivedBody
from certpin_watch.collector.grouping import (
    CHAINS_LEFT_OUT,
    RESERVED,
    CountingLimits,
    ReportLimits,
    RowCache,
)
from certpin_watch.settings import Thresholds
from certpin_watch.store.chains import (
    chain_record,
    compute_usage,
    insert_observed_chains,
    lock_usage,
    read_usage,
)
from certpin_watch.store.identities import DAY, HOUR
from certpin_watch.store.queries.capacity import capacity
from certpin_watch.store.quota import MIN_AGE, evict_bytes, evict_samples
from certpin_watch.store.tables.observations import (
    CHAINS,
    REPORT_GROUPS,
    REPORT_NETWORKS,
    REPORT_SAMPLES,
)
from tests.watch.collector.test_counting import AT, SERVED, counted, failure, rows, total

if TYPE_CHECKING:
    from certpin_watch.store import Store


def chain_report(
    number: int, host: str, source: str = "192.0.2.0/24", at: int = AT
) -> ReceivedBody:
    """Return a body with a report of a chain that no other report has."""
    served = (b"%s %d" % (host.encode(), number) + bytes(1000),)
    key = abs(hash((host, number, source, at)))
    return ReceivedBody(at, source, (failure(key, host=host, served=served),), b"{}")


def served_of(body: ReceivedBody) -> tuple[bytes, ...]:
    (failure,) = body.records
    assert isinstance(failure, CountedFailure)
    return failure.served


def kept(store: Store, host: str) -> int:
    """Return how many different chains of a host are kept."""
    with store.read() as connection:
        query = select(func.count()).where(CHAINS.c.share == host)
        return connection.execute(query).scalar_one()


def used(store: Store) -> int:
    """Return the recorded usage of the storage budget, in bytes.

    Also check that the record equals the usage that is computed from the rows.
    """
    with store.write() as connection:
        assert lock_usage(connection) == compute_usage(connection)
        return read_usage(connection)


@pytest.mark.medium
def test_invented_chains_of_one_host_do_not_hide_a_chain_of_another(
    sqlite_store: Store,
) -> None:
    limits = CountingLimits(ReportLimits(1000, 100, share_of=str))
    many = [f"198.{n}.0.0/24" for n in range(20)]
    counted(
        sqlite_store, [chain_report(n, "flooded.example", many[n % 20]) for n in range(500)], limits
    )
    counted(sqlite_store, [chain_report(n, "a.example") for n in range(500)], limits)
    assert kept(sqlite_store, "flooded.example") == 100
    assert kept(sqlite_store, "a.example") == RESERVED
    assert total(sqlite_store) == 1000


def test_one_network_does_not_hide_chains_that_others_report(sqlite_store: Store) -> None:
    limits = CountingLimits(ReportLimits(1000, 100, share_of=str))
    counted(
        sqlite_store, [chain_report(n, "a.example", "198.51.100.0/24") for n in range(500)], limits
    )
    assert kept(sqlite_store, "a.example") == 100 // 10
    counted(sqlite_store, [chain_report(n, "a.example") for n in range(1000, 1003)], limits)
    assert kept(sqlite_store, "a.example") == 100 // 10 + 3


def test_chains_from_a_clock_that_ran_ahead_fill_no_hour(sqlite_store: Store) -> None:
    limits = CountingLimits(ReportLimits(1000, 100, share_of=str))
    ahead = [chain_report(n, "a.example", f"198.{n}.0.0/24", AT + 40 * DAY) for n in range(100)]
    counted(sqlite_store, ahead, limits)
    now = [chain_report(100 + n, "a.example", f"198.{n}.0.0/24") for n in range(50)]
    counted(sqlite_store, now, limits)
    assert kept(sqlite_store, "a.example") == 150
    with sqlite_store.read() as connection:
        assert capacity(connection, datetime.fromtimestamp(AT, UTC), Thresholds()).chains.used == 50


def test_budget_is_exact_and_its_last_part_is_for_hosts_with_a_policy(
    store: Store,
) -> None:
    budget = 40_000
    watched = {"a.example", "flooded.example"}
    reports = ReportLimits(
        10**6, 10**6, lambda host: host if host in watched else "", budget=budget
    )
    limits, known = CountingLimits(reports), RowCache()
    parts = {"stranger.example": budget // 4, "flooded.example": budget - budget // 16}
    for host, limit in parts.items():
        counted(store, [chain_report(n, host) for n in range(50)], limits, known)
        assert limit - 2000 < used(store) <= limit
    counted(store, [chain_report(n, "a.example") for n in range(50)], limits, known)
    assert budget - 2000 < used(store) <= budget
    assert kept(store, "a.example") >= 2
    assert total(store) == 150
    assert any(row.folded & CHAINS_LEFT_OUT for row in rows(store, REPORT_GROUPS))


def test_samples_count_for_the_budget(sqlite_store: Store) -> None:
    limits = CountingLimits(ReportLimits(1000, 1000, share_of=str, budget=20_000), samples=3)
    batch = [
        ReceivedBody(AT, "192.0.2.0/24", (failure(n, network=f"net {n}"),), bytes(1000))
        for n in range(50)
    ]
    counted(sqlite_store, batch, limits)
    assert 15_000 < used(sqlite_store) <= 20_000 - 20_000 // 16
    assert total(sqlite_store) == 50


def test_chains_that_the_monitor_sees_do_not_count_for_the_budget(store: Store) -> None:
    limits = CountingLimits(ReportLimits(1000, 1000, share_of=str))
    counted(store, [chain_report(1, "a.example"), chain_report(2, "a.example")], limits)
    before, now = used(store), datetime.fromtimestamp(AT, UTC)
    seen = served_of(chain_report(1, "a.example"))
    for _ in range(2):
        with store.write() as connection:
            insert_observed_chains(connection, [seen, (*seen, b"a root")], now)
        assert 0 < used(store) < before
    again = [chain_report(2, "a.example", "203.0.113.0/24"), chain_report(1, "a.example", "::/48")]
    counted(store, again, limits)
    assert used(store) < before
    assert kept(store, "a.example") == 1


@pytest.mark.medium
@pytest.mark.parametrize("passed", [MIN_AGE + 1, -MIN_AGE - 1])  # or the clock was set back
def test_largest_source_is_evicted_first(sqlite_store: Store, passed: int) -> None:
    limits, hostile = (
        CountingLimits(ReportLimits(1000, 1000, share_of=str, budget=100_000)),
        "198.51.100.0/24",
    )
    counted(sqlite_store, [chain_report(n, "a.example", at=AT) for n in range(3)], limits)
    late = AT + HOUR
    counted(
        sqlite_store, [chain_report(n, "b.example", hostile, at=late) for n in range(60)], limits
    )
    full = used(sqlite_store)

    def relieved(now: int) -> int:
        with sqlite_store.write() as connection:
            return evict_bytes(connection, 100_000, now)

    assert not relieved(late + MIN_AGE)  # too young
    assert not relieved(late - MIN_AGE)
    while relieved(late + passed):
        pass
    assert used(sqlite_store) < full
    assert kept(sqlite_store, "a.example") == 3
    assert kept(sqlite_store, "b.example") == 0


def test_many_samples_of_one_network_are_evicted_for_those_of_others(
    store: Store,
) -> None:
    limits, hostile = (
        CountingLimits(ReportLimits(1000, 1000, share_of=str), max_samples=20),
        "198.51.100.0/24",
    )

    def samples_after(at: int, *bodies: ReceivedBody) -> Counter[str]:
        """Evict samples at the time ``at``, store reports, and return the number of samples by
        network.

        A sample is the stored body of a report.
        """
        with store.write() as connection:
            while evict_samples(connection, 20, at):
                pass
        counted(store, bodies, limits)
        return Counter(row.source for row in rows(store, REPORT_SAMPLES))

    few = [chain_report(n, "a.example") for n in range(3)]
    flood = [chain_report(n, "a.example", hostile, at=AT + HOUR) for n in range(60)]
    assert samples_after(AT, *few, *flood) == {"192.0.2.0/24": 3, hostile: 17}
    late = AT + HOUR + MIN_AGE
    own = [chain_report(70 + n, "a.example", at=late) for n in range(RESERVED + 1)]
    assert samples_after(late, *own) == {"192.0.2.0/24": 3 + RESERVED, hostile: 17}  # still young
    last = chain_report(90, "a.example", at=late + 1)
    assert samples_after(late + 1, last) == {
        "192.0.2.0/24": 4 + RESERVED,
        hostile: 15 - 3 - RESERVED,
    }
    used(store)


def test_flood_at_one_host_keeps_out_no_sample_of_another(store: Store) -> None:
    """A flood of reports for one host does not displace the stored samples of another host's
    reports.

    The flood comes from very many networks, and also names hosts without a policy.
    """
    watched = {"flooded.example", "a.example"}
    reports = ReportLimits(1000, 1000, lambda host: host if host in watched else "")
    limits, known = CountingLimits(reports, max_samples=20), RowCache()

    def samples(at: int, *bodies: ReceivedBody) -> Counter[str]:
        """Evict samples at the time ``at``, store reports, and return the number of samples by
        host.

        A sample is the stored body of a report.
        """
        with store.write() as connection:
            while evict_samples(connection, 20, at):
                pass
        counted(store, bodies, limits, known)
        return Counter(row.share for row in rows(store, REPORT_SAMPLES))

    flood = [chain_report(n, "flooded.example", f"198.51.{n}.0/24") for n in range(100)]
    strange = [chain_report(n, f"{n}.example", at=AT + 1) for n in range(50)]
    assert samples(AT, *flood, *strange) == {"flooded.example": 20}
    few = [chain_report(n, "a.example", at=AT + 2) for n in range(100, 100 + 2 * RESERVED)]
    assert samples(AT + 2, *few) == {"flooded.example": 20, "a.example": RESERVED}
    late = AT + MIN_AGE + 3
    assert samples(late) == {"flooded.example": 15 - RESERVED, "a.example": RESERVED}
    used(store)


def test_several_writers_keep_only_the_reserved_samples_of_a_host(
    postgres_store: Store,
) -> None:
    limits = CountingLimits(ReportLimits(1000, 1000, share_of=str), max_samples=1)

    def writer(start: int) -> None:
        for turn in range(4):
            number = start * 100 + turn * 3
            bodies = [
                chain_report(number + n, "a.example", f"198.{start}.0.0/24") for n in range(3)
            ]
            counted(postgres_store, bodies, limits)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(writer, range(4)))
    assert len(rows(postgres_store, REPORT_SAMPLES)) == RESERVED


def test_several_writers_never_keep_more_than_the_budget(postgres_store: Store) -> None:
    """Writers store some of the same chains, and a monitor stores some of them too."""
    limits = CountingLimits(ReportLimits(60, 10**6, share_of=str, budget=40_000))

    def writer(start: int) -> None:
        known = RowCache()
        for turn in range(6):
            numbers = [(start * 3 + turn * 5 + n) % 60 for n in range(10)]
            try:
                counted(
                    postgres_store,
                    [chain_report(n, "a.example", f"198.{start}.0.0/24") for n in numbers],
                    limits,
                    known,
                )
                with postgres_store.write() as connection:
                    seen = served_of(chain_report(turn, "a.example"))
                    insert_observed_chains(connection, [seen], datetime.fromtimestamp(AT, UTC))
            except SQLAlchemyError as exc:  # a deadlock would be one
                raise AssertionError(str(exc)) from exc

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(writer, range(4)))
    assert 20_000 < used(postgres_store) <= 40_000


def test_networks_that_report_a_chain_are_recorded(sqlite_store: Store) -> None:
    limits, known = CountingLimits(ReportLimits(1000, 1000, share_of=str)), RowCache()
    sources = ("192.0.2.0/24", "192.0.3.0/24", "198.51.100.0/24", "2001:db8:1::/48", "")
    for _ in range(2):
        batch = [ReceivedBody(AT, source, (failure(n),)) for n, source in enumerate(sources)]
        counted(sqlite_store, batch, limits, known)
    digest = chain_record(SERVED).digest
    found = {
        (row.network, row.share, bytes(row.met)) for row in rows(sqlite_store, REPORT_NETWORKS)
    }
    networks = ("192.0.0.0/16", "198.51.0.0/16", "2001:db8::/32")
    assert found == {(network, "a.example", digest) for network in networks}
    counted(
        sqlite_store,
        [chain_report(n, f"{n}.example") for n in range(2 * MAX_ORIGINS)],
        limits,
        known,
    )
    assert len(rows(sqlite_store, REPORT_NETWORKS)) == len(networks) + MAX_ORIGINS - 1
