"""A clock that jumps ahead is not trusted for a day; one that steps back is trusted at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certpin_watch.store.retention import (
    HOLD,
    MAX_STEP,
    ClockState,
    check_clock,
    next_state,
    stored_state,
)

if TYPE_CHECKING:
    from certpin_watch.store import Store

AT, HOUR = 1_800_000_000, 3600
YEARS = 10 * 365 * 86_400


def test_a_clock_that_runs_normally_is_trusted() -> None:
    assert next_state(None, AT) == ClockState(AT)
    assert next_state(ClockState(AT), AT + HOUR) == ClockState(AT + HOUR)
    assert next_state(ClockState(AT), AT + MAX_STEP).held_until is None


@pytest.mark.parametrize("leap", [MAX_STEP + 1, YEARS])
def test_a_jump_is_trusted_after_a_day(leap: int) -> None:
    found = next_state(ClockState(AT), AT + leap)
    assert found.held_until == AT + leap + HOLD
    for hour in range(1, 24):
        found = next_state(found, AT + leap + hour * HOUR)
        assert found.held_until == AT + leap + HOLD
    assert next_state(found, AT + leap + HOLD) == ClockState(AT + leap + HOLD)


def test_a_clock_that_is_corrected_in_time_is_trusted() -> None:
    held = next_state(ClockState(AT), AT + YEARS)
    assert next_state(held, AT + HOUR) == ClockState(AT + HOUR)


def test_a_second_jump_or_a_step_back_restarts_the_day() -> None:
    held = next_state(ClockState(AT), AT + 10 * MAX_STEP)
    for now in (AT + 30 * MAX_STEP, AT + 5 * MAX_STEP):
        assert next_state(held, now).held_until == now + HOLD


def test_a_step_back_is_trusted_at_once() -> None:
    assert next_state(ClockState(AT), AT - YEARS) == ClockState(AT - YEARS)


def test_the_clock_state_is_stored(store: Store) -> None:
    with store.write() as connection:
        assert check_clock(connection, None, AT) == ClockState(AT)
        assert check_clock(connection, None, AT + YEARS).held_until
        assert check_clock(connection, None, AT + YEARS + HOUR).leapt_at == AT + YEARS
    with store.read() as connection:
        assert stored_state(connection) == ClockState(AT, AT + YEARS)


def test_a_process_on_a_full_disk_remembers_the_time(
    sqlite_store: Store,
) -> None:
    with sqlite_store.write() as connection:
        check_clock(connection, None, AT)
        mine = ClockState(AT + 5 * MAX_STEP)  # in memory, because it could not be stored
        assert check_clock(connection, mine, AT + 5 * MAX_STEP + HOUR).held_until is None
