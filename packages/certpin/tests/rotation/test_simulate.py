"""Simulated clients of a rotation: compared with a client by client simulation, and with plans."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from certpin.errors import InputError
from certpin.pins import HostPin, PinSet
from certpin.rotation import (
    AdoptionDelays,
    AppRelease,
    DeployedVersions,
    Situation,
    Step,
    Version,
    plan,
)
from certpin.rotation.fleet import Fleet
from certpin.rotation.simulate import chunk_size, simulate
from certpin.rotation.simulate_script import (
    MAX_STEPS,
    DatedStep,
    build_script,
    dated_steps,
    moved_steps,
)
from certpin.support.text import LONGEST_DURATION
from tests import kit
from tests.rotation._situations import (
    DAY,
    HOUR,
    NOW,
    TIMING,
    bundled,
    pin,
    pin_set,
    policy,
    sighting,
    version,
)
from tests.rotation._situations import situation as known
from tests.rotation._slow_fleet import EVERY, simulate_slowly
from tests.rotation.test_plan_safety import OTHERS, situations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.pins import State
    from certpin.rotation.plan import Act
    from certpin.rotation.simulate import Simulation
    from certpin.rotation.simulate_script import Script

ACTS: tuple[Act, ...] = ("stage", "publish", "publish", "serve", "remove")
SHARES = st.integers(0, 100).map(lambda percent: Fraction(percent, 100))
PINS: dict[str, State] = {"served": "active", "spare": "published"}
MORE: dict[str, State] = {**PINS, "next": "published"}
BEFORE = version(1, PINS, ago=90 * DAY)
MOMENT = timedelta(seconds=1)
TENTH = Fraction(1, 10)


@st.composite
def fleets(draw: st.DrawFn, timing: AdoptionDelays, script: Script) -> Fleet:
    """Generate a fleet of at most 12 clients, some with each bundled version of the script."""
    share = Fraction(1, 2 * len(script.binaries) or 1)
    gaps = sorted(draw(st.tuples(st.integers(0, 100), st.integers(0, 100))))
    curve = [(Fraction(1, 3), timing.opened * gaps[0] // 100)]
    curve += [(Fraction(1), timing.opened * gaps[1] // 100)]
    return Fleet(
        draw(st.integers(1, 12)),
        timing,
        tuple(curve) if draw(st.booleans()) else (),
        draw(SHARES),
        tuple((each.number, share) for each in script.binaries),
    )


def the_plan() -> tuple[Situation, tuple[DatedStep, ...]]:
    """Return a situation and a plan that publishes and serves a new key, and removes the old one.

    Publishing is step 2, serving step 4, and publishing the removal step 7.
    """
    now = known(BEFORE.pins, BEFORE, seen=(sighting("served"),))
    steps = dated_steps(plan(now, pin("next")).steps, NOW)
    acts = ["stage", "publish", "activate", "serve", "retire", "remove", "publish"]
    assert [each.step.act for each in steps] == acts
    return now, steps


def tried(moves: dict[int, timedelta], fleet: Fleet) -> Simulation:
    now, steps = the_plan()
    return simulate(build_script(now, moved_steps(steps, moves)), fleet)


def until_pins_expire(script: Script) -> Script:
    """Return a script that ends when the first pins expire: a plan ends there."""
    ends = [each.end for each in (*script.releases, *script.binaries) if each.end]
    return replace(script, until=min([script.until, *ends]))


def causes(outcome: Simulation) -> dict[tuple[str, int | None], int]:
    return {(each.cause.event, each.cause.step): each.clients for each in outcome.lockouts}


WORST = Fleet(1000, TIMING, stragglers=Fraction(1))
USUAL = Fleet(1000, TIMING)


@pytest.mark.medium
@given(situations(), st.sampled_from(OTHERS), st.data())
def test_a_plan_locks_no_client_out(situation: Situation, to: str, data: st.DataObject) -> None:
    made = plan(situation, pin(to))
    assume(made.possible and not made.broken)
    script = build_script(situation, dated_steps(made.steps, situation.now))
    fleet = data.draw(fleets(situation.timing, script))
    script = until_pins_expire(script)
    assert simulate(script, fleet).lockouts == ()
    assert simulate(script, replace(fleet, stragglers=Fraction(1))).locked_out == 0


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(situations(), st.sampled_from(OTHERS), st.data())
def test_a_key_served_before_its_date_locks_out_the_slowest_client(
    situation: Situation, to: str, data: st.DataObject
) -> None:
    made = plan(situation, pin(to))
    steps = dated_steps(made.steps, situation.now)
    early = [each for each in steps if each.step.act == "serve" and each.at > situation.now]
    out = [each.fetched for each in situation.deployed.versions if each.fetched]
    # No client holds the first of two versions with one time; the planner waits for it.
    assume(made.possible and not made.broken and early and len(out) == len(set(out)))
    room = int((early[0].at - situation.now) / MOMENT)
    back = data.draw(st.integers(1, room)) * MOMENT
    script = build_script(situation, moved_steps(steps, {early[0].number: -back}))
    script = until_pins_expire(script)
    assume(script.until > room)
    fleet = Fleet(1, situation.timing, stragglers=Fraction(1))
    outcome = simulate(script, fleet)
    assert outcome.locked_out == 1
    # The slowest may not have got the version that refuses it: then its publishing locks them out.
    assert causes(outcome).keys() <= {("serve", early[0].number), ("publish", None)}
    safe = {each.step: each for each in outcome.safety}[early[0].number]
    assert safe.guaranteed == early[0].at


def _stories(situation: Situation, draw: st.DataObject) -> Script:
    """Generate a script of up to eight steps, in any order, with any keys and at any time."""
    steps = []
    for number in range(1, draw.draw(st.integers(1, 8)) + 1):
        act = draw.draw(st.sampled_from(ACTS))
        key = pin(draw.draw(st.sampled_from(["served", *OTHERS])))
        at = situation.now + draw.draw(st.integers(0, 1500)) * HOUR
        steps.append(DatedStep(number, Step(act, None if act == "publish" else key), at))
    return build_script(situation, steps)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(situations(), st.data())
def test_the_result_matches_a_simulation_client_by_client(
    situation: Situation, data: st.DataObject
) -> None:
    """The simulation returns the numbers of the slow reference, for random short scripts."""
    assume(situation.deployed.alive(situation.now, situation.timing))
    assume(situation.timing.adopt <= 40 * DAY)
    script = _stories(situation, data)
    assume(script.until <= 120 * 24 * 3600)
    fleet = data.draw(fleets(situation.timing, script))
    outcome, slow = simulate(script, fleet, chunk=5), simulate_slowly(script, fleet)
    assert (outcome.locked_out, outcome.seconds) == (slow.locked_out, slow.seconds)
    assert [hour.locked_out for hour in outcome.hours[::EVERY]] == [hour for hour, _ in slow.hours]
    for hour, (_, held) in zip(outcome.hours[::EVERY], slow.hours, strict=True):
        assert {number: count for number, count in hour.held.items() if count} == held
    if not any(each.end for each in (*script.releases, *script.binaries)):
        assert causes(outcome) == {
            (event, step): count for (event, step, _), count in slow.causes.items()
        } or _several_at_once(script)


def _several_at_once(script: Script) -> bool:
    """Return True if the script has several versions that no step of it published.

    The simulation then counts their lockouts as one cause, so its causes differ from the reference.
    """
    return sum(each.step is None for each in script.releases) > 1


@pytest.mark.medium
def test_the_result_is_the_same_for_every_chunk_size() -> None:
    now, steps = the_plan()
    script = build_script(now, moved_steps(steps, {4: -5 * DAY}))
    once = simulate(script, USUAL)
    assert 0 < once.locked_out < USUAL.clients
    assert all(simulate(script, USUAL, chunk=chunk) == once for chunk in (1, 7, 999, 1000, 10**6))


@pytest.mark.parametrize("step", [2, 4, 7])
def test_each_step_at_its_date_is_safe(step: int) -> None:
    outcome = tried({}, WORST)
    safe = {each.step: each for each in outcome.safety}
    _, steps = the_plan()
    assert (outcome.locked_out, outcome.peak.locked_out) == (0, 0)
    fleet = safe[step].guaranteed
    assert fleet is not None
    assert fleet <= steps[step - 1].at


def test_a_late_publish_makes_the_key_too_early() -> None:
    outcome = tried({2: 3 * DAY}, WORST)
    assert causes(outcome) == {("serve", 4): 1000}
    (lockout,) = outcome.lockouts
    assert (lockout.first, lockout.last) == (NOW + 10 * DAY, NOW + 13 * DAY)
    assert outcome.seconds == 1000 * 3 * 86400
    assert outcome.peak.at == lockout.first


def test_a_publish_that_drops_a_served_key_is_the_cause() -> None:
    outcome = tried({6: -9 * DAY, 7: -9 * DAY}, USUAL)
    (lockout,) = outcome.lockouts
    assert (lockout.cause.event, lockout.cause.step, lockout.cause.version) == ("publish", 7, 3)
    assert lockout.last == NOW + 10 * DAY
    safe = {each.step: each for each in outcome.safety}
    assert safe[7].guaranteed == NOW + 10 * DAY


def test_most_clients_have_the_version_long_before_the_date() -> None:
    """Serving a key one day before its safe date locks out less than 2 % of the clients."""
    outcome = tried({4: -DAY}, replace(USUAL, stragglers=Fraction(0)))
    assert outcome.locked_out < USUAL.clients // 50
    half = next(hour for hour in outcome.hours if hour.held.get(2, 0) >= 500)
    assert half.at < NOW + 4 * DAY
    safe = {each.step: each for each in outcome.safety}[4]
    assert safe.guaranteed == NOW + 10 * DAY


def test_a_binary_without_the_key_is_locked_out_to_the_end() -> None:
    old = bundled(1, {"served": "active", "spare": "published"}, ago=90 * DAY)
    new = version(2, {"served": "active", "spare": "published"}, ago=80 * DAY)
    now = known(new.pins, old, new, seen=(sighting("served"),))
    steps = [DatedStep(1, Step("stage", pin("next")), NOW), DatedStep(2, Step("publish"), NOW)]
    steps.append(DatedStep(3, Step("serve", pin("next")), NOW + 20 * DAY))
    fleet = replace(USUAL, binaries=((1, Fraction(1, 4)),))
    outcome = simulate(build_script(now, steps), fleet)
    assert outcome.locked_out == 250
    assert {hour.held[1] for hour in outcome.hours} == {outcome.locked_out}
    assert outcome.hours[-1].locked_out == outcome.locked_out
    assert {each.step: each.guaranteed for each in outcome.safety}[3] is None


@pytest.mark.parametrize("ends", [True, False])
def test_a_key_is_safe_when_the_last_user_has_left_the_app_without_it(ends: bool) -> None:
    end = NOW + 30 * DAY if ends else None
    release = AppRelease("bank", "1", NOW - 90 * DAY, end=end, clients=100)
    old = Version(pin_set(PINS, 1), bundled=release.shipped, releases=(release,))
    new = version(2, MORE, ago=80 * DAY)
    now = known(new.pins, old, new, seen=(sighting("served"),))
    steps = [DatedStep(1, Step("serve", pin("next")), NOW + 20 * DAY)]
    outcome = simulate(build_script(now, steps), Fleet(1000, TIMING, apps=(("bank", TENTH),)))
    assert causes(outcome) == {("serve", 1): 100}
    assert [each.guaranteed for each in outcome.safety] == [end]
    later = [replace(steps[0], at=NOW + 30 * DAY)]
    outcome = simulate(build_script(now, later), Fleet(1000, TIMING, apps=(("bank", TENTH),)))
    assert outcome.locked_out == (0 if ends else 100)


def test_clients_of_a_binary_are_counted_and_at_least_one() -> None:
    fleet = replace(USUAL, clients=40, binaries=((1, Fraction(1, 4)), (2, Fraction(1, 1000))))
    assert (fleet.sizes.binaries, fleet.sizes.fetching) == ({1: 10, 2: 1}, 29)
    whole = replace(fleet, binaries=((1, Fraction(0)), (2, Fraction(1)))).sizes
    assert (whole.binaries, whole.fetching) == ({1: 0, 2: 40}, 0)


@pytest.mark.parametrize("older", ["*.bank.example", "**.bank.example"])
def test_a_version_with_another_pattern_refuses_a_new_key_too(older: str) -> None:
    """The version that most clients hold has pins A and B, and the newer one A and C."""
    before, after = kit.policy(older, pin("a")), kit.policy("**.bank.example", pin("a"), pin("c"))
    first = Version(PinSet("bank", 1, (before,)), fetched=NOW - 200 * DAY, clients=1000)
    second = Version(PinSet("bank", 2, (after,)), fetched=NOW - DAY)
    deployed = DeployedVersions((first, second))
    now = Situation(second.pins, after.pattern, deployed, (), TIMING, NOW)
    outcome = simulate(build_script(now, [DatedStep(1, Step("serve", pin("c")), NOW)]), WORST)
    assert causes(outcome) == {("serve", 1): 1000}


def test_a_version_with_another_pattern_expires_too() -> None:
    before = kit.policy("*.bank.example", pin("a"), expires=NOW + 5 * DAY)
    first = Version(PinSet("bank", 1, (before,)), fetched=NOW - 200 * DAY)
    draft = PinSet("bank", 2, (kit.policy("**.bank.example", pin("a")),))
    pattern = draft.policies[0].pattern
    now = Situation(draft, pattern, DeployedVersions((first,)), (), TIMING, NOW)
    assert causes(simulate(build_script(now, []), USUAL)) == {("expiry", None): 1000}


def test_expired_pins_are_a_separate_cause() -> None:
    held = pin_set({"served": "active", "spare": "published"}, 1, expires=NOW + 5 * DAY)
    now = known(held, Version(held, fetched=NOW - 90 * DAY), seen=(sighting("served"),))
    outcome = simulate(build_script(now, []), USUAL)
    assert causes(outcome) == {("expiry", None): 1000}
    assert outcome.lockouts[0].first == NOW + 5 * DAY
    assert outcome.lockouts[0].cause.version == 1


def test_expired_pins_that_only_report_lock_no_client_out() -> None:
    expires = NOW + 5 * DAY
    held = pin_set({"served": "active", "spare": "published"}, 1, expires=expires, mode="report")
    now = known(held, Version(held, fetched=NOW - 90 * DAY), seen=(sighting("served"),))
    assert causes(simulate(build_script(now, []), USUAL)) == {}


def test_expired_pins_are_attributed_to_the_version_that_clients_hold() -> None:
    """Two versions expire at one time, and all clients still have the earlier one."""
    held = pin_set({"served": "active", "spare": "published"}, 1, expires=NOW + 5 * DAY)
    now = known(held, Version(held, fetched=NOW - 90 * DAY), seen=(sighting("served"),))
    later = [DatedStep(1, Step("publish"), NOW + 6 * DAY)]
    (lockout,) = simulate(build_script(now, later), USUAL).lockouts
    assert (lockout.cause.event, lockout.cause.version, lockout.clients) == ("expiry", 1, 1000)


def test_each_of_two_active_leaves_may_be_served() -> None:
    held = pin_set(PINS, 1)
    entries = (*held.policies[0].pins, HostPin(pin("other"), "leaf", "active"))
    held = replace(held, policies=(replace(held.policies[0], pins=entries),))
    now = known(held, Version(held, fetched=NOW - 90 * DAY))
    steps = [DatedStep(1, Step("remove", pin("served")), NOW), DatedStep(2, Step("publish"), NOW)]
    assert causes(simulate(build_script(now, steps), USUAL)) == {("publish", 2): 1000}
    intermediate = tuple(
        replace(each, role="intermediate") if each.pin == pin("other") else each for each in entries
    )
    under = replace(held, policies=(replace(held.policies[0], pins=intermediate),))
    now = known(under, Version(under, fetched=NOW - 90 * DAY))
    assert causes(simulate(build_script(now, steps), USUAL)) == {}


def test_two_binaries_with_one_number_are_counted_once() -> None:
    one, two = (bundled(1, each, ago=90 * DAY) for each in (PINS, MORE))
    fetched = version(2, PINS, ago=80 * DAY)
    now = known(fetched.pins, one, two, fetched, seen=(sighting("served"),))
    fleet = replace(USUAL, binaries=((1, Fraction(1, 2)),))
    for hour in simulate(build_script(now, []), fleet).hours:
        assert sum(hour.held.values()) == USUAL.clients


def _waiting() -> Situation:
    """Return a situation in which version 2, with the next key, is signed but not published yet."""
    new = version(2, MORE, ago=10 * DAY, pending=True)
    return known(new.pins, BEFORE, new, seen=(sighting("served"),))


def test_a_pending_version_is_available_from_its_push_on() -> None:
    steps = [
        DatedStep(1, Step("push"), NOW + DAY),
        DatedStep(2, Step("serve", pin("next")), NOW + 11 * DAY),
    ]
    assert simulate(build_script(_waiting(), steps), WORST).locked_out == 0
    early = replace(steps[1], at=NOW + 10 * DAY)
    assert simulate(build_script(_waiting(), [steps[0], early]), WORST).locked_out == 1000


def test_a_push_after_a_higher_version_reaches_no_client() -> None:
    steps = [DatedStep(1, Step("publish"), NOW), DatedStep(2, Step("push"), NOW + DAY)]
    outcome = simulate(build_script(_waiting(), steps), USUAL)
    assert {number for hour in outcome.hours for number in hour.held} == {1, 3}


def test_a_push_without_a_pending_version_is_an_error() -> None:
    twice = [DatedStep(1, Step("push"), NOW), DatedStep(2, Step("push"), NOW + DAY)]
    with pytest.raises(InputError, match="no version to push"):
        build_script(_waiting(), twice)
    now, _ = the_plan()
    with pytest.raises(InputError, match="no version to push"):
        build_script(now, twice[:1])


def test_a_simulation_of_too_long_a_time_is_refused() -> None:
    now, _ = the_plan()
    far = DatedStep(1, Step("publish"), NOW + LONGEST_DURATION - TIMING.adopt)
    assert build_script(now, [far]).until == (LONGEST_DURATION + DAY) / MOMENT
    with pytest.raises(InputError, match="take more than 3650d"):
        build_script(now, [replace(far, at=far.at + MOMENT)])
    many = [DatedStep(number, Step("publish"), NOW) for number in range(MAX_STEPS + 1)]
    with pytest.raises(InputError, match="501 steps are too many"):
        build_script(now, many)


def test_the_callback_is_called_after_each_chunk() -> None:
    now, steps = the_plan()
    done: list[None] = []
    simulate(build_script(now, steps), USUAL, chunk=300, done=lambda: done.append(None))
    assert len(done) == 4


def test_fewer_clients_are_simulated_together_if_there_are_many_releases() -> None:
    now, steps = the_plan()
    assert chunk_size(build_script(now, steps)) == 65_536
    many = [DatedStep(number, Step("publish"), NOW) for number in range(MAX_STEPS)]
    script = build_script(now, many)
    assert chunk_size(script) * len(script.releases) * 8 < 33 * 2**20  # bytes, for their times


@pytest.mark.slow
def test_memory_does_not_grow_with_the_clients_nor_without_bound_with_the_steps() -> None:
    """A simulation of ten years with the maximum number of steps needs less than 1 GiB.

    Three times as many clients need at most 10 % more.
    """
    now, _ = the_plan()
    apart = (LONGEST_DURATION - TIMING.adopt) / MAX_STEPS
    steps = [DatedStep(at, Step("publish"), NOW + at * apart) for at in range(MAX_STEPS)]
    script = build_script(now, steps)

    def peak(clients: int) -> int:
        tracemalloc.start()
        try:
            simulate(script, Fleet(clients, TIMING))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few = peak(20_000)
    assert few < 2**30
    assert peak(60_000) < 1.1 * few


@pytest.mark.parametrize("out", [False, True], ids=["published now", "in the field"])
def test_a_compromised_key_locks_out_although_its_authority_is_pinned(out: bool) -> None:
    hurt: dict[str, State] = {"ca": "active", "leaf": "compromised", "spare": "published"}
    before: dict[str, State] = hurt if out else {"ca": "active", "spare": "published"}
    field = version(1, before, ago=90 * DAY)
    now = known(pin_set(hurt, 2), field, seen=(sighting("leaf", "ca"),))
    steps = () if out else (DatedStep(1, Step("publish"), NOW),)
    found = simulate(build_script(now, steps), Fleet(10, TIMING))
    assert found.locked_out == 10


def test_a_leaf_that_is_not_compared_locks_out() -> None:
    """Only the pins of authorities are compared, so the pin of the new leaf does not help."""
    entries = (
        HostPin(pin("ca"), "intermediate", "active"),
        HostPin(pin("next"), "leaf", "published"),
    )
    by_authority = policy(entries, match="ca")
    pins = replace(BEFORE.pins, policies=(by_authority,))
    now = known(pins, replace(BEFORE, pins=pins), seen=(sighting("served", "ca"),))
    steps = [DatedStep(1, Step("serve", pin("next")), NOW)]
    assert simulate(build_script(now, steps), Fleet(10, TIMING)).locked_out == 0
    moved = replace(now, sightings=(sighting("served", "other"),))
    assert simulate(build_script(moved, steps), Fleet(10, TIMING)).locked_out == 10


def test_without_probes_the_active_pins_are_assumed() -> None:
    now = known(BEFORE.pins, BEFORE)
    early = [DatedStep(1, Step("remove", pin("served")), NOW), DatedStep(2, Step("publish"), NOW)]
    outcome = simulate(build_script(now, early), USUAL)
    assert causes(outcome) == {("publish", 2): 1000}


@pytest.mark.parametrize(
    ("moves", "problem"),
    [
        ({9: DAY}, "there is no step 9"),
        ({3: DAY}, "clients don't notice step 3"),
        ({4: -11 * DAY}, "before the beginning of the simulation"),
    ],
)
def test_an_invalid_move_is_refused(moves: dict[int, timedelta], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        tried(moves, USUAL)


def test_nothing_is_simulated_without_a_published_version() -> None:
    steps: Sequence[DatedStep] = ()
    with pytest.raises(InputError, match="no published version is recorded"):
        build_script(known(BEFORE.pins), steps)
