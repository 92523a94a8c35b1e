"""The states of a pin in a rotation, from staged to removed, and the allowed transitions."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any, get_args

import pytest

from certpin.errors import ConfigError
from certpin.pins import HostPattern, HostPolicy, PinSet, State
from certpin.rotation import PinHistory, Version, pin_state
from certpin.rotation.journal import LINE, TRANSITIONS, may_follow, require_transition
from tests.rotation._situations import DAY, NOW, entries, pin, pin_set, situation, version

STATES: tuple[State, ...] = get_args(State)


def test_every_state_has_its_transitions() -> None:
    assert set(TRANSITIONS) == set(STATES)
    assert {*LINE, "lost", "compromised"} == set(STATES)


def test_a_rotation_follows_the_order_of_the_states() -> None:
    for state, following in pairwise(LINE):
        assert may_follow(state, following)


@pytest.mark.parametrize("state", STATES)
def test_every_key_may_become_compromised_and_stays_so(state: State) -> None:
    assert may_follow(state, "compromised") == (state != "compromised")
    assert not may_follow("compromised", state)


@pytest.mark.parametrize("state", STATES)
def test_a_lost_key_is_only_removed_or_found_to_be_compromised(state: State) -> None:
    assert may_follow("lost", state) == (state in {"removed", "compromised"})
    assert may_follow(state, "lost") == (state not in {"lost", "removed", "compromised"})


@pytest.mark.parametrize(
    ("recorded", "state"),
    [
        ({}, "adopted"),
        ({"lost": frozenset({pin("b")})}, "lost"),
        ({"compromised": frozenset({pin("b")})}, "compromised"),
        ({"compromised": frozenset({pin("b")}), "lost": frozenset({pin("b")})}, "compromised"),
    ],
)
def test_what_the_journal_records_about_a_key_counts_more_than_the_file(
    recorded: Any, state: State
) -> None:
    out = version(1, {"a": "active", "b": "published"}, ago=40 * DAY)
    assert pin_state(situation(out.pins, out, past=PinHistory(**recorded)), pin("b")) == state


@pytest.mark.parametrize(
    ("recorded", "state"), [("staged", "staged"), (None, "staged"), ("published", "adopted")]
)
def test_a_pin_of_a_host_that_no_version_has_is_staged(recorded: Any, state: State) -> None:
    """Clients refuse no key there, but none has the pin, unless an earlier version had it."""
    other = HostPolicy(
        HostPattern.parse("other.example"), tuple(entries({"x": "active", "y": "active"}))
    )
    out = Version(PinSet("bank", 1, (other,)), fetched=NOW - 40 * DAY)
    past = PinHistory({pin("b"): recorded} if recorded else {})
    draft_states: dict[str, State] = {"a": "active", "b": "staged"}
    draft = pin_set(draft_states, 2)
    facts = situation(draft, out, past=past)
    assert (facts.is_unpinned, pin_state(facts, pin("b"))) == (True, state)
    assert not situation(draft, replace(out, ended=NOW - DAY)).is_unpinned
    assert not situation(draft, version(1, draft_states, ago=DAY), out).is_unpinned


def test_a_lost_pin_of_the_file_stays_removed() -> None:
    gone = pin_set({"a": "active", "b": "removed", "c": "published"})
    past = PinHistory(lost=frozenset({pin("b")}))
    assert pin_state(situation(gone, past=past), pin("b")) == "removed"


@pytest.mark.parametrize("state", STATES)
def test_a_key_becomes_active_only_from_adopted_or_retiring(state: State) -> None:
    assert may_follow(state, "active") == (state in {"adopted", "retiring"})


@pytest.mark.parametrize("state", ["generated", "staged", "active", "removed"])
def test_an_active_or_unpublished_pin_is_not_removed(state: State) -> None:
    assert not may_follow(state, "removed")


@pytest.mark.parametrize("state", STATES)
def test_a_refusal_has_the_current_state_and_a_fix(state: State) -> None:
    if may_follow(state, "active"):
        require_transition(pin("a"), state, "active")
        return
    with pytest.raises(ConfigError, match=state.upper()) as caught:
        require_transition(pin("a"), state, "active")
    assert caught.value.fix
    assert str(pin("a")) in caught.value.problem
