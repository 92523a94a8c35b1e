"""Rotation plans for random versions, checked against an independent model of clients.

No plan locks a client out, and a plan with earlier dates would.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from certpin.pins import HostPin, PinSet
from certpin.rotation import AdoptionDelays, DeployedVersions, Plan, Situation, Step, Version, plan
from tests.rotation._model import Fleet, Held
from tests.rotation._situations import HOUR, NOW, PATTERN, pin, policy, sighting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

SERVED = "served"
OTHERS = ("next", "spare", "third", "old")
MOMENT = timedelta(microseconds=1)

DURATIONS = st.integers(0, 10 * 24).map(lambda hours: hours * HOUR)
TIMINGS = st.builds(AdoptionDelays, DURATIONS, DURATIONS, DURATIONS, DURATIONS, DURATIONS)


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    """Generate situations with one to five versions, some of them bundled in apps.

    The servers present the key ``SERVED``, which most versions accept.
    """
    timing = draw(TIMINGS)
    # Distinct times: no client would fetch the lower of two versions with one time.
    ages = sorted(draw(st.sets(st.integers(1, 2000), min_size=1, max_size=5)), reverse=True)
    versions = [_version(draw, number, age * HOUR) for number, age in enumerate(ages, 1)]
    latest = versions[-1].pins.policies[0]
    extra = [HostPin(pin(name), "backup", "staged") for name in draw(st.sets(_NAMES, max_size=2))]
    known = {entry.pin for entry in latest.pins}
    draft = replace(latest, pins=(*latest.pins, *(e for e in extra if e.pin not in known)))
    seen = tuple(sighting(SERVED, vantage=str(at)) for at in range(draw(st.integers(1, 2))))
    pins = PinSet("bank", len(versions), (draft,))
    return Situation(pins, PATTERN, DeployedVersions(tuple(versions)), seen, timing, NOW)


_NAMES = st.sampled_from(OTHERS)


def _version(draw: st.DrawFn, number: int, age: timedelta) -> Version:
    """Generate a version of the pin set, which accepts the served key in most cases.

    If clients are locked out already, a plan only ends that.
    """
    names = draw(st.lists(_NAMES, min_size=1, max_size=3, unique=True))
    first = [SERVED] if draw(st.integers(0, 30)) or len(names) == 1 else []
    held = [HostPin(pin(name), "leaf", "active") for name in first]
    held += [HostPin(pin(name), "backup", "published") for name in names]
    end = None if draw(st.integers(0, 4)) else NOW + draw(st.integers(1, 4000)) * HOUR
    pins = PinSet("bank", number, (policy(held, expires=end),))
    since = NOW - age
    kind = draw(st.sampled_from([*["fetched"] * 8, "bundled", "both", "ended"]))
    return Version(
        pins,
        fetched=since if kind in {"fetched", "both"} else None,
        bundled=None if kind == "fetched" else since,
        ended=NOW if kind == "ended" else None,
    )


def fleet_of(situation: Situation) -> Fleet:
    """Return the independent model of the clients that have the situation's versions."""
    versions = [
        Held(
            each.number,
            frozenset(each.pins.policies[0].live_pins),
            each.fetched,
            each.bundled,
            each.ended,
            each.pins.policies[0].expires,
        )
        for each in situation.deployed.versions
    ]
    return Fleet(situation.timing.adopt, {pin(SERVED)}, versions)


@dataclass
class Operator:
    """An operator who carries out a plan in the model of clients.

    ``draft`` has the pins of the version to publish next, and ``late`` how long after the plan's
    begin each version was published.
    """

    fleet: Fleet
    draft: set[Any]
    end: datetime | None
    clock: datetime
    late: dict[int, timedelta] = dataclasses.field(default_factory=dict)

    def date(self, step: Step) -> datetime:
        """Return when to take a step: not before its date in the plan, nor before the current time.

        A date that is relative to a version is later if that version was published later.
        """
        if step.not_before is None:
            return self.clock
        return max(self.clock, step.not_before + self.late.get(step.counts_from or 0, 0 * HOUR))

    def take(self, step: Step) -> None:
        """Advance the clock to the date of a step, and carry out the step in the model."""
        self.clock = self.date(step)
        if step.act == "stage":
            self.draft.add(step.pin)
        elif step.act == "remove":
            self.draft.discard(step.pin)
        elif step.act == "serve" and step.pin:
            self.fleet.served = {step.pin}
        elif step.act == "publish":
            self.publish(step.version or 0)

    def publish(self, number: int) -> None:
        self.late[number] = self.clock - NOW
        assert number > max((each.number for each in self.fleet.versions), default=0)
        assert len(self.draft) >= 2
        assert self.draft - self.fleet.served
        new = Held(number, frozenset(self.draft), fetched=self.clock, end=self.end)
        self.fleet.versions.append(new)


def operator(situation: Situation) -> Operator:
    held = set(situation.policy.live_pins)
    return Operator(fleet_of(situation), held, situation.policy.expires, situation.now)


def moments(start: datetime, end: datetime, worker: Operator) -> Iterator[datetime]:
    """Yield the moments from ``start`` to ``end`` at which clients' states may change.

    Each one comes with the microsecond before it, and ``start`` is always included.
    """
    delay = worker.fleet.delay
    for held in worker.fleet.versions:
        for at in (held.fetched, held.bundled, held.gone, held.end):
            for moment in (at, at + delay) if at else ():
                yield from (near for near in (moment - MOMENT, moment) if start <= near < end)
    yield start


@pytest.mark.medium
@given(situations(), st.sampled_from(OTHERS), st.lists(st.integers(0, 800), max_size=9))
def test_following_a_plan_never_locks_a_client_out(
    situation: Situation, to: str, delays: list[int]
) -> None:
    made = plan(situation, pin(to))
    assert made.steps or made.violations
    event("possible" if made.possible else made.violations[0].invariant)
    worker = operator(situation)
    if made.broken or (not made.possible and not made.steps):
        return  # in a situation that locks clients out, the plan is what ends that
    # A late step may come after the pins expire: the next step reports that, not the plan.
    late = delays if situation.policy.expires is None and not _ends(worker) else []
    for step, hours in zip(made.steps, [*late, *[0] * len(made.steps)], strict=False):
        before = worker.clock
        reached = max(before + hours * HOUR, worker.date(step))
        for moment in moments(before, reached, worker):
            assert worker.fleet.locked_out(moment) == []
        worker.clock = reached
        worker.take(step)
        assert worker.fleet.locked_out(worker.clock) == []
    if made.possible:
        assert worker.fleet.served == {pin(to)}


def _ends(worker: Operator) -> bool:
    return any(each.end for each in worker.fleet.versions)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(situations(), st.sampled_from(OTHERS), st.data())
def test_a_key_that_is_served_before_its_date_locks_a_client_out(
    situation: Situation, to: str, data: st.DataObject
) -> None:
    made = plan(situation, pin(to))
    dated = [step for step in made.steps if step.act in {"activate", "serve"} and step.not_before]
    assume(dated)
    worker = operator(situation)
    for step in made.steps[: made.steps.index(dated[0])]:
        worker.take(step)
    assert dated[0].not_before
    early = dated[0].not_before - worker.clock
    worker.fleet.served = {pin(to)}
    at = worker.clock + data.draw(st.timedeltas(timedelta(0), early - MOMENT))
    assert worker.fleet.locked_out(at)
    assert not _mismatched(worker, dated[0].not_before)


def _mismatched(worker: Operator, at: datetime) -> list[Held]:
    return [each for each in worker.fleet.held(at) if not worker.fleet.served <= each.pins]


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(situations(), st.sampled_from(OTHERS))
def test_removing_an_old_key_before_the_servers_change_locks_a_client_out(
    situation: Situation, to: str
) -> None:
    made = plan(situation, pin(to))
    acts = [step.act for step in made.steps]
    assume("remove" in acts and "serve" in acts and made.possible)
    worker = operator(situation)
    for step in made.steps:
        if step.act != "serve":
            worker.take(step)
    assert worker.fleet.locked_out(worker.clock)


def the_plan() -> tuple[Situation, Plan]:
    entry = [HostPin(pin(SERVED)), HostPin(pin("spare"), "backup", "published")]
    pins = PinSet("bank", 1, (policy(entry),))
    field = DeployedVersions((Version(pins, fetched=NOW - HOUR),))
    known = Situation(pins, PATTERN, field, (sighting(SERVED),), AdoptionDelays(), NOW)
    return known, plan(known, pin("next"))


@pytest.mark.parametrize("hours", [0, 1, 32 * 24])
def test_the_model_notices_a_lockout(hours: int) -> None:
    """The model reports a lockout if servers change their key too early.

    If it never reported one, the other tests of this file would always pass.
    """
    known, made = the_plan()
    worker = operator(known)
    for step in made.steps[:2]:
        worker.take(step)
    worker.fleet.served = {pin("next")}
    assert [each.number for each in worker.fleet.locked_out(NOW + hours * HOUR)] == [1]
    assert worker.fleet.locked_out(NOW + AdoptionDelays().adopt) == []
