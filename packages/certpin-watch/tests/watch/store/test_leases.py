"""Leases on both databases: one holder at a time, with any clocks and threads."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from sqlalchemy import delete

from certpin_watch.store import leases, open_store
from certpin_watch.store.leases import MARGIN, HeldLease
from certpin_watch.store.tables import METADATA
from certpin_watch.store.tables.service import LEASES

if TYPE_CHECKING:
    from pathlib import Path

    from certpin_watch.store import Store

LONG = 60  # seconds
ME, YOU = "host-1:100", "host-2:100"


def _take(store: Store, holder: str, now: int) -> HeldLease | None:
    with store.write() as connection:
        return leases.take(connection, "sweep", holder, now, LONG)


def _taken(store: Store, holder: str, now: int) -> HeldLease:
    lease = _take(store, holder, now)
    assert lease is not None
    return lease


def test_a_held_lease_is_refused(store: Store) -> None:
    lease = _taken(store, ME, 1000)
    assert _take(store, YOU, 1000 + LONG - 1) is None
    assert lease == HeldLease("sweep", ME, 1000 + LONG, 1)


def test_an_expired_lease_can_be_taken_and_not_renewed(
    store: Store,
) -> None:
    mine = _taken(store, ME, 1000)
    assert not mine.is_valid_at(1000 + LONG - MARGIN)  # I stop before you may begin
    yours = _taken(store, YOU, 1000 + LONG)
    with store.write() as connection:
        assert leases.renew(connection, mine, 1001, LONG) is None
        assert not leases.confirm(connection, mine)
        leases.release(connection, mine)  # changes nothing
        assert leases.confirm(connection, yours)


def test_a_released_lease_is_free_and_not_confirmed(store: Store) -> None:
    mine = _taken(store, ME, 1000)
    with store.write() as connection:
        leases.release(connection, mine)
    assert _taken(store, YOU, 1001).term == 2


def test_taking_an_expired_lease_again_raises_the_term(store: Store) -> None:
    first = _taken(store, ME, 1000)
    assert _taken(store, ME, 1030).term == first.term
    again = _taken(store, ME, 2000)
    with store.write() as connection:
        assert not leases.confirm(connection, first)
        assert leases.renew(connection, again, 2001, LONG) == HeldLease(
            "sweep", ME, 2061, again.term
        )


def test_a_lease_from_a_clock_that_ran_ahead_is_free(store: Store) -> None:
    """A lease that ends too far in the future is free: its holder died, or it would have renewed
    it.
    """
    _taken(store, ME, 1000 + 3600)
    assert _take(store, YOU, 1000 + 3600 - 30) is None  # clocks may differ
    assert _taken(store, YOU, 1000).until == 1000 + LONG


def test_only_one_of_many_threads_gets_the_lease(store: Store) -> None:
    got: list[HeldLease] = []
    start = threading.Barrier(8)

    def ask(number: int) -> None:
        start.wait()
        if lease := _take(store, f"thread-{number}", 1000):
            got.append(lease)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1


def test_a_confirmed_lease_is_locked_until_the_transaction_ends(postgres_store: Store) -> None:
    mine = _taken(postgres_store, ME, 1000)
    asked = threading.Event()
    got: list[HeldLease | None] = []

    def ask() -> None:
        asked.set()
        got.append(_take(postgres_store, YOU, 9000))

    other = threading.Thread(target=ask)
    with postgres_store.write() as connection:
        assert leases.confirm(connection, mine)
        other.start()
        asked.wait()
        other.join(0.2)
        assert got == []  # it waits, although the lease has expired
    other.join()
    assert got[0] is not None


class Holders(RuleBasedStateMachine):
    """A Hypothesis state machine: three processes with one clock take and use one lease.

    It checks that two processes never have a valid lease at once.
    """

    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000
        self.held: dict[str, HeldLease] = {}
        with self.store.write() as connection:
            connection.execute(delete(LEASES))

    @rule(who=st.sampled_from("abc"), seconds=st.integers(MARGIN + 1, 90))
    def take(self, who: str, seconds: int) -> None:
        with self.store.write() as connection:
            lease = leases.take(connection, "sweep", who, self.now, seconds)
        if lease:
            self.held[who] = lease
        self.check()

    @rule(who=st.sampled_from("abc"), seconds=st.integers(MARGIN + 1, 90))
    def renew(self, who: str, seconds: int) -> None:
        if who in self.held:
            with self.store.write() as connection:
                lease = leases.renew(connection, self.held[who], self.now, seconds)
            if lease is None:
                del self.held[who]
            else:
                self.held[who] = lease
        self.check()

    @rule(who=st.sampled_from("abc"))
    def release(self, who: str) -> None:
        if who in self.held:
            with self.store.write() as connection:
                leases.release(connection, self.held.pop(who))

    @rule(seconds=st.integers(0, 100))
    def wait(self, seconds: int) -> None:
        self.now += seconds
        self.check()

    def check(self) -> None:
        valid = {who for who, lease in self.held.items() if lease.is_valid_at(self.now)}
        assert len(valid) <= 1
        with self.store.write() as connection:
            confirmed = {
                who for who, lease in self.held.items() if leases.confirm(connection, lease)
            }
        assert len(confirmed) <= 1
        assert valid <= confirmed


@pytest.mark.medium
def test_two_holders_never_have_a_valid_lease(tmp_path: Path) -> None:
    Holders.store = open_store(f"sqlite:///{tmp_path / 'watch.db'}")
    METADATA.create_all(Holders.store.engine)
    try:
        run_state_machine_as_test(
            Holders, settings=settings(max_examples=15, stateful_step_count=20, deadline=None)
        )
    finally:
        Holders.store.close()
