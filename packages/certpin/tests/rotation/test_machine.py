"""A state machine test: in any order of steps that the gate allows, no client is locked out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from certpin.errors import ConfigError
from certpin.rotation import Situation, Violation, check_step, pin_state
from certpin.rotation.journal import may_follow
from certpin.rotation.plan import at_time, with_published, with_pushed, with_staged, with_state
from tests.rotation._model import Fleet, Held
from tests.rotation._situations import (
    DAY,
    HOUR,
    NOW,
    TIMING,
    pin,
    sighting,
    situation,
    version,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.pins import Pin, State
    from certpin.rotation import DeployedVersions

KEYS = st.sampled_from(["a", "b", "c", "d", "e"])
SERVERS = ("one", "two")


class Rotation(RuleBasedStateMachine):
    """A Hypothesis state machine: an operator attempts every step of a rotation in any order.

    The clients are those of ``tests.rotation._model``, which is independent of the gate.
    """

    def __init__(self) -> None:
        super().__init__()
        first = version(1, {"a": "active", "b": "published"}, ago=40 * DAY)
        self.serving = dict.fromkeys(SERVERS, "a")
        self.known = situation(first.pins, first)
        held = Held(1, frozenset({pin("a"), pin("b")}), fetched=first.fetched)
        self.fleet = Fleet(TIMING.adopt, {pin("a")}, [held])
        self.dead: set[Pin] = set()
        self.lost: set[Pin] = set()
        self.look()

    def look(self) -> None:
        seen = tuple(sighting(key, vantage=name) for name, key in self.serving.items())
        self.known = replace(self.known, sightings=seen)
        self.fleet.served = {pin(key) for key in self.serving.values()}

    def allowed(self, key: str, state: State) -> bool:
        return may_follow(pin_state(self.known, pin(key)), state)

    def try_to(
        self, guard: tuple[Violation, ...], change: Callable[[Situation], Situation]
    ) -> bool:
        """Change the situation if no rule forbids it, and return True if it was changed.

        Args:
            guard: the gate's violations; with any, nothing changes.
            change: returns the new situation. If it raises ConfigError, nothing changes.
        """
        if guard:
            return False
        try:
            self.known = change(self.known)
        except ConfigError:
            return False
        return True

    @rule(hours=st.integers(0, 12 * 24))
    def wait(self, hours: int) -> None:
        for _ in range(hours // 24):
            self.known = at_time(self.known, self.known.now + DAY)
            assert self.fleet.locked_out(self.known.now) == []
        self.known = at_time(self.known, self.known.now + hours % 24 * HOUR)

    @rule(key=KEYS)
    def stage(self, key: str) -> None:
        if self.known.entry(pin(key)) is None:
            guard = check_step(self.known, "stage", pin(key))
            self.try_to(guard, lambda known: with_staged(known, pin(key)))

    @rule(signed=st.booleans())
    def publish(self, signed: bool) -> None:
        try:
            ready = with_published(self.known)
        except ConfigError:
            return
        number = ready.pins.version
        numbered = replace(self.known, pins=replace(self.known.pins, version=number))
        if self.try_to(check_step(numbered, "publish"), with_published):
            live = frozenset(self.known.policy.live_pins)
            assert not live & self.dead
            assert len(live - self.lost) >= 2
            assert number > self.fleet.newest(self.known.now)
            if signed:  # it may have been pushed without a record: some client may have it
                self.known = replace(self.known, deployed=_waiting(self.known.deployed))
                self.fleet.versions.append(Held(number, live, bundled=self.known.now))
            else:
                self.hand_out(number, live)

    @rule()
    def push(self) -> None:
        latest = self.known.deployed.latest
        if latest and latest.pending:
            held = next(each for each in self.fleet.versions if each.number == latest.number)
            self.fleet.versions.remove(held)
            self.known = with_pushed(self.known)
            self.hand_out(held.number, held.pins)

    def hand_out(self, number: int, live: frozenset[Pin]) -> None:
        """Publish a version in the model: clients of bundled versions have it after T_adopt."""
        now = self.known.now
        self.fleet.versions = [
            replace(each, gone=now + TIMING.adopt) if each.bundled and not each.gone else each
            for each in self.fleet.versions
        ]
        self.fleet.versions.append(Held(number, live, fetched=now))

    @rule(key=KEYS)
    def activate(self, key: str) -> None:
        if self.allowed(key, "active"):
            guard = check_step(self.known, "activate", pin(key))
            if self.try_to(guard, lambda known: with_state(known, pin(key), "active")):
                assert pin(key) not in self.lost | self.dead

    @rule(key=KEYS, server=st.sampled_from(SERVERS))
    def serve(self, key: str, server: str) -> None:
        if pin_state(self.known, pin(key)) == "active":
            self.serving[server] = key
            self.look()

    @rule(key=KEYS)
    def retire(self, key: str) -> None:
        if self.allowed(key, "retiring"):
            guard = check_step(self.known, "retire", pin(key))
            self.try_to(guard, lambda known: with_state(known, pin(key), "retiring"))

    @rule(key=KEYS)
    def remove(self, key: str) -> None:
        if self.allowed(key, "removed"):
            guard = check_step(self.known, "remove", pin(key))
            self.try_to(guard, lambda known: with_state(known, pin(key), "removed"))

    @precondition(lambda self: len(self.dead) < 2)
    @rule(key=KEYS)
    def compromise(self, key: str) -> None:
        if self.known.entry(pin(key)) is None or not self.allowed(key, "compromised"):
            return
        if self.try_to((), lambda known: with_state(known, pin(key), "compromised")):
            self.dead.add(pin(key))
            past = replace(self.known.past, compromised=frozenset(self.dead))
            self.known = replace(self.known, past=past)

    @precondition(lambda self: len(self.lost) < 2)
    @rule(key=KEYS)
    def lose(self, key: str) -> None:
        """Record a key as lost. A server that has the key in memory continues to present it."""
        if self.known.entry(pin(key)) is None or not self.allowed(key, "lost"):
            return
        if self.try_to((), lambda known: with_state(known, pin(key), "lost")):
            self.lost.add(pin(key))
            past = replace(self.known.past, lost=frozenset(self.lost - self.dead))
            self.known = replace(self.known, past=past)

    @invariant()
    def no_client_is_locked_out(self) -> None:
        for moment in (self.known.now, self.known.now + timedelta(microseconds=1)):
            assert self.fleet.locked_out(moment) == []

    @invariant()
    def everybody_has_a_way_on(self) -> None:
        assert all(len(held.pins) >= 2 for held in self.fleet.versions)


def _waiting(field: DeployedVersions) -> DeployedVersions:
    *before, last = field.versions
    return replace(field, versions=(*before, replace(last, pending=True)))


Rotation.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestRotation = pytest.mark.slow(Rotation.TestCase)


def test_the_machine_notices_a_gate_that_lets_every_step_through() -> None:
    machine = Rotation()
    machine.stage("c")
    machine.known = with_state(with_published(machine.known), pin("c"), "active")
    machine.serve("c", "one")
    assert machine.fleet.locked_out(NOW)
