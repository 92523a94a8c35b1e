"""A clock that leaps ahead is not believed for a day; one that steps back is, and at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certpin_watch.store.leap import HOLD, LEAP, Belief, believe, believed, judge

if TYPE_CHECKING:
    from certpin_watch.store import Store

AT, HOUR = 1_800_000_000, 3600
YEARS = 10 * 365 * 86_400


def test_a_clock_that_goes_on_is_believed() -> None:
    assert judge(None, AT) == Belief(AT)
    assert judge(Belief(AT), AT + HOUR) == Belief(AT + HOUR)
    assert judge(Belief(AT), AT + LEAP).held_until is None


@pytest.mark.parametrize("leap", [LEAP + 1, YEARS])
def test_a_leap_holds_for_a_day_and_is_believed_after_it(leap: int) -> None:
    found = judge(Belief(AT), AT + leap)
    assert found.held_until == AT + leap + HOLD
    for hour in range(1, 24):
        found = judge(found, AT + leap + hour * HOUR)
        assert found.held_until == AT + leap + HOLD
    assert judge(found, AT + leap + HOLD) == Belief(AT + leap + HOLD)


def test_a_clock_that_was_put_right_in_time_deletes_as_ever() -> None:
    held = judge(Belief(AT), AT + YEARS)
    assert judge(held, AT + HOUR) == Belief(AT + HOUR)


def test_a_leap_from_a_leap_begins_anew_and_so_does_a_step_back_in_it() -> None:
    held = judge(Belief(AT), AT + 10 * LEAP)
    for now in (AT + 30 * LEAP, AT + 5 * LEAP):
        assert judge(held, now).held_until == now + HOLD


def test_a_step_back_is_believed_at_once() -> None:
    assert judge(Belief(AT), AT - YEARS) == Belief(AT - YEARS)


def test_what_was_believed_outlives_the_process(store: Store) -> None:
    with store.write() as connection:
        assert believe(connection, None, AT) == Belief(AT)
        assert believe(connection, None, AT + YEARS).held_until
        assert believe(connection, None, AT + YEARS + HOUR).leapt_at == AT + YEARS
    with store.read() as connection:
        assert believed(connection) == Belief(AT, AT + YEARS)


def test_days_on_a_full_disk_are_no_leap_to_the_process_that_saw_them_pass(
    sqlite_store: Store,
) -> None:
    with sqlite_store.write() as connection:
        believe(connection, None, AT)
        mine = Belief(AT + 5 * LEAP)  # of its own, which it could not write down
        assert believe(connection, mine, AT + 5 * LEAP + HOUR).held_until is None
