"""What strangers make the store keep: bounded to the byte, and not at the cost of anybody else."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from certpin_watch.collector.counting import MAX_ORIGINS, RowCache
from certpin_watch.collector.decode import Failure, ReceivedBody
from certpin_watch.collector.grouping import (
    CHAINS_LEFT_OUT,
    HOUR,
    OWN,
    CountingLimits,
    ReportCapacity,
)
from certpin_watch.store import quota
from certpin_watch.store.chains import chain_record, insert_observed_chains
from certpin_watch.store.counting import DAY
from certpin_watch.store.queries.base import IntakeBounds
from certpin_watch.store.queries.capacity import capacity
from certpin_watch.store.quota import MIN_AGE, evict_bytes, evict_samples
from certpin_watch.store.tables.probes import CHAINS
from certpin_watch.store.tables.reports import REPORT_GROUPS, REPORT_NETWORKS, REPORT_SAMPLES
from tests.watch.collector.test_counting import AT, SERVED, counted, failure, rows, total

if TYPE_CHECKING:
    from certpin_watch.store import Store


def told(number: int, host: str, source: str = "192.0.2.0/24", at: int = AT) -> ReceivedBody:
    """A report of a chain that nobody else told."""
    served = (b"%s %d" % (host.encode(), number) + bytes(1000),)
    key = abs(hash((host, number, source, at)))
    return ReceivedBody(at, source, (failure(key, host=host, served=served),), b"{}")


def served_of(body: ReceivedBody) -> tuple[bytes, ...]:
    (failure,) = body.records
    assert isinstance(failure, Failure)
    return failure.served


def kept(store: Store, host: str) -> int:
    """How many different chains of a host are kept."""
    with store.read() as connection:
        query = select(func.count()).where(CHAINS.c.share == host)
        return connection.execute(query).scalar_one()


def used(store: Store) -> int:
    """What the budget says, which has to be what the rows say."""
    with store.write() as connection:
        assert quota.lock_usage(connection) == quota.compute_usage(connection)
        return quota.read_usage(connection)


def test_nobody_hides_a_chain_of_one_host_behind_those_that_he_invents_for_another(
    sqlite_store: Store,
) -> None:
    rules = CountingLimits(ReportCapacity(1000, 100, share=str))
    many = [f"198.{n}.0.0/24" for n in range(20)]
    counted(sqlite_store, [told(n, "flooded.example", many[n % 20]) for n in range(500)], rules)
    counted(sqlite_store, [told(n, "a.example") for n in range(500)], rules)
    assert kept(sqlite_store, "flooded.example") == 100
    assert kept(sqlite_store, "a.example") == OWN
    assert total(sqlite_store) == 1000


def test_one_network_hides_no_chain_that_others_tell_of_the_same_host(sqlite_store: Store) -> None:
    rules = CountingLimits(ReportCapacity(1000, 100, share=str))
    counted(sqlite_store, [told(n, "a.example", "198.51.100.0/24") for n in range(500)], rules)
    assert kept(sqlite_store, "a.example") == 100 // 10
    counted(sqlite_store, [told(n, "a.example") for n in range(1000, 1003)], rules)
    assert kept(sqlite_store, "a.example") == 100 // 10 + 3


def test_what_came_while_the_clock_ran_ahead_fills_no_hour(sqlite_store: Store) -> None:
    rules = CountingLimits(ReportCapacity(1000, 100, share=str))
    ahead = [told(n, "a.example", f"198.{n}.0.0/24", AT + 40 * DAY) for n in range(100)]
    counted(sqlite_store, ahead, rules)
    now = [told(100 + n, "a.example", f"198.{n}.0.0/24") for n in range(50)]
    counted(sqlite_store, now, rules)
    assert kept(sqlite_store, "a.example") == 150
    with sqlite_store.read() as connection:
        assert (
            capacity(connection, datetime.fromtimestamp(AT, UTC), IntakeBounds()).chains.used == 50
        )


def test_the_budget_holds_to_the_byte_and_its_last_part_is_for_what_is_watched(
    store: Store,
) -> None:
    most = 40_000
    watched = {"a.example", "flooded.example"}
    room = ReportCapacity(10**6, 10**6, lambda host: host if host in watched else "", budget=most)
    rules, known = CountingLimits(room), RowCache()
    limits = {"stranger.example": most // 4, "flooded.example": most - most // 16}
    for host, limit in limits.items():
        counted(store, [told(n, host) for n in range(50)], rules, known)
        assert limit - 2000 < used(store) <= limit
    counted(store, [told(n, "a.example") for n in range(50)], rules, known)
    assert most - 2000 < used(store) <= most
    assert kept(store, "a.example") >= 2
    assert total(store) == 150
    assert any(row.folded & CHAINS_LEFT_OUT for row in rows(store, REPORT_GROUPS))


def test_samples_are_in_the_budget(sqlite_store: Store) -> None:
    rules = CountingLimits(ReportCapacity(1000, 1000, share=str, budget=20_000), samples=3)
    batch = [
        ReceivedBody(AT, "192.0.2.0/24", (failure(n, network=f"net {n}"),), bytes(1000))
        for n in range(50)
    ]
    counted(sqlite_store, batch, rules)
    assert 15_000 < used(sqlite_store) <= 20_000 - 20_000 // 16
    assert total(sqlite_store) == 50


def test_what_the_watch_sees_itself_counts_for_no_budget(store: Store) -> None:
    rules = CountingLimits(ReportCapacity(1000, 1000, share=str))
    counted(store, [told(1, "a.example"), told(2, "a.example")], rules)
    before, now = used(store), datetime.fromtimestamp(AT, UTC)
    seen = served_of(told(1, "a.example"))
    for _ in range(2):
        with store.write() as connection:
            insert_observed_chains(connection, [seen, (*seen, b"a root")], now)
        assert 0 < used(store) < before
    again = [told(2, "a.example", "203.0.113.0/24"), told(1, "a.example", "::/48")]
    counted(store, again, rules)
    assert used(store) < before
    assert kept(store, "a.example") == 1


@pytest.mark.parametrize("passed", [MIN_AGE + 1, -MIN_AGE - 1])  # or the clock was set back
def test_whoever_took_most_gives_first(sqlite_store: Store, passed: int) -> None:
    rules, hostile = (
        CountingLimits(ReportCapacity(1000, 1000, share=str, budget=100_000)),
        "198.51.100.0/24",
    )
    counted(sqlite_store, [told(n, "a.example", at=AT) for n in range(3)], rules)
    late = AT + HOUR
    counted(sqlite_store, [told(n, "b.example", hostile, at=late) for n in range(60)], rules)
    full = used(sqlite_store)

    def relieved(now: int) -> int:
        with sqlite_store.write() as connection:
            return evict_bytes(connection, 100_000, now)

    assert not relieved(late + MIN_AGE)  # what is young stays
    assert not relieved(late - MIN_AGE)
    while relieved(late + passed):
        pass
    assert used(sqlite_store) < full
    assert kept(sqlite_store, "a.example") == 3
    assert kept(sqlite_store, "b.example") == 0


def test_many_samples_of_one_network_make_room_for_those_of_others(
    store: Store,
) -> None:
    rules, hostile = (
        CountingLimits(ReportCapacity(1000, 1000, share=str), max_samples=20),
        "198.51.100.0/24",
    )

    def keeps(at: int, *bodies: ReceivedBody) -> Counter[str]:
        """How many are kept of each network, after a round and what comes then."""
        with store.write() as connection:
            while evict_samples(connection, 20, at):
                pass
        counted(store, bodies, rules)
        return Counter(row.source for row in rows(store, REPORT_SAMPLES))

    few = [told(n, "a.example") for n in range(3)]
    flood = [told(n, "a.example", hostile, at=AT + HOUR) for n in range(60)]
    assert keeps(AT, *few, *flood) == {"192.0.2.0/24": 3, hostile: 17}
    late = AT + HOUR + MIN_AGE
    own = [told(70 + n, "a.example", at=late) for n in range(OWN + 1)]
    assert keeps(late, *own) == {"192.0.2.0/24": 3 + OWN, hostile: 17}  # still young
    last = told(90, "a.example", at=late + 1)
    assert keeps(late + 1, last) == {"192.0.2.0/24": 4 + OWN, hostile: 15 - 3 - OWN}
    used(store)


def test_a_flood_at_one_host_keeps_no_sample_of_another_out(store: Store) -> None:
    """Whoever floods has very many networks, and hosts that nobody watches beside them."""
    watched = {"flooded.example", "a.example"}
    room = ReportCapacity(1000, 1000, lambda host: host if host in watched else "")
    rules, known = CountingLimits(room, max_samples=20), RowCache()

    def samples(at: int, *bodies: ReceivedBody) -> Counter[str]:
        """How many are kept of each part, after a round and what comes then."""
        with store.write() as connection:
            while evict_samples(connection, 20, at):
                pass
        counted(store, bodies, rules, known)
        return Counter(row.share for row in rows(store, REPORT_SAMPLES))

    flood = [told(n, "flooded.example", f"198.51.{n}.0/24") for n in range(100)]
    strange = [told(n, f"{n}.example", at=AT + 1) for n in range(50)]
    assert samples(AT, *flood, *strange) == {"flooded.example": 20}
    few = [told(n, "a.example", at=AT + 2) for n in range(100, 100 + 2 * OWN)]
    assert samples(AT + 2, *few) == {"flooded.example": 20, "a.example": OWN}
    late = AT + MIN_AGE + 3
    assert samples(late) == {"flooded.example": 15 - OWN, "a.example": OWN}
    used(store)


def test_several_writers_keep_what_a_host_has_for_itself_and_no_more(
    postgres_store: Store,
) -> None:
    rules = CountingLimits(ReportCapacity(1000, 1000, share=str), max_samples=1)

    def writer(start: int) -> None:
        for turn in range(4):
            number = start * 100 + turn * 3
            bodies = [told(number + n, "a.example", f"198.{start}.0.0/24") for n in range(3)]
            counted(postgres_store, bodies, rules)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(writer, range(4)))
    assert len(rows(postgres_store, REPORT_SAMPLES)) == OWN


def test_several_writers_never_keep_more_than_the_budget(postgres_store: Store) -> None:
    """Each with chains of its own and of the others, beside a monitor that sees some of them."""
    rules = CountingLimits(ReportCapacity(60, 10**6, share=str, budget=40_000))

    def writer(start: int) -> None:
        known = RowCache()
        for turn in range(6):
            numbers = [(start * 3 + turn * 5 + n) % 60 for n in range(10)]
            try:
                counted(
                    postgres_store,
                    [told(n, "a.example", f"198.{start}.0.0/24") for n in numbers],
                    rules,
                    known,
                )
                with postgres_store.write() as connection:
                    seen = served_of(told(turn, "a.example"))
                    insert_observed_chains(connection, [seen], datetime.fromtimestamp(AT, UTC))
            except SQLAlchemyError as exc:  # a deadlock would be one
                raise AssertionError(str(exc)) from exc

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(writer, range(4)))
    assert 20_000 < used(postgres_store) <= 40_000


def test_it_is_noted_from_how_many_networks_a_chain_is_told(sqlite_store: Store) -> None:
    rules, known = CountingLimits(ReportCapacity(1000, 1000, share=str)), RowCache()
    sources = ("192.0.2.0/24", "192.0.3.0/24", "198.51.100.0/24", "2001:db8:1::/48", "")
    for _ in range(2):
        batch = [ReceivedBody(AT, each, (failure(n),)) for n, each in enumerate(sources)]
        counted(sqlite_store, batch, rules, known)
    digest = chain_record(SERVED).digest
    found = {
        (row.network, row.share, bytes(row.met)) for row in rows(sqlite_store, REPORT_NETWORKS)
    }
    networks = ("192.0.0.0/16", "198.51.0.0/16", "2001:db8::/32")
    assert found == {(each, "a.example", digest) for each in networks}
    counted(sqlite_store, [told(n, f"{n}.example") for n in range(2 * MAX_ORIGINS)], rules, known)
    assert len(rows(sqlite_store, REPORT_NETWORKS)) == len(networks) + MAX_ORIGINS - 1
