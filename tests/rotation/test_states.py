"""The states of a pin: what may follow what."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import pytest

from certpin.errors import ConfigError
from certpin.pins import State
from certpin.rotation.states import LINE, TRANSITIONS, may_follow, require_transition
from tests.rotation._situations import pin

STATES: tuple[State, ...] = get_args(State)


def test_every_state_has_its_transitions() -> None:
    assert set(TRANSITIONS) == set(STATES)
    assert {*LINE, "compromised"} == set(STATES)


def test_a_rotation_goes_along_the_line() -> None:
    for state, following in pairwise(LINE):
        assert may_follow(state, following)


@pytest.mark.parametrize("state", STATES)
def test_every_key_may_be_compromised_and_never_comes_back(state: State) -> None:
    assert may_follow(state, "compromised") == (state != "compromised")
    assert not may_follow("compromised", state)


@pytest.mark.parametrize("state", STATES)
def test_a_key_becomes_active_from_adopted_or_retiring_alone(state: State) -> None:
    assert may_follow(state, "active") == (state in {"adopted", "retiring"})


@pytest.mark.parametrize("state", ["generated", "staged", "active", "removed"])
def test_what_is_active_or_was_never_out_is_not_removed(state: State) -> None:
    assert not may_follow(state, "removed")


@pytest.mark.parametrize("state", STATES)
def test_a_refusal_says_where_the_pin_stands_and_what_comes_first(state: State) -> None:
    if may_follow(state, "active"):
        require_transition(pin("a"), state, "active")
        return
    with pytest.raises(ConfigError, match=state.upper()) as caught:
        require_transition(pin("a"), state, "active")
    assert caught.value.fix
    assert str(pin("a")) in caught.value.problem
