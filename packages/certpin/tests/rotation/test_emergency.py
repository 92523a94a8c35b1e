"""The shortest safe sequence of steps after a key was stolen or lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.pins import HostPattern, HostPin, PinSet
from certpin.rotation import NEXT_BACKUP, Event, PinHistory, Situation, Version, after, check_step
from certpin.rotation.emergency import EmergencyPath, EmergencyStep, Fact, emergency_path
from certpin.rotation.plan import (
    at_time,
    with_published,
    with_served,
    with_staged,
    with_state,
)
from certpin.rotation.prospect import assumed_prospects
from tests._calls import calls_of
from tests.rotation._situations import (
    DAY,
    HOST,
    NOW,
    TIMING,
    bundled,
    pin,
    pin_set,
    policy,
    root_set,
    sighting,
    situation,
    unverified,
    version,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin.pins import State

AB: dict[str, State] = {"a": "active", "b": "published"}
ABC: dict[str, State] = {**AB, "c": "published"}
OUT = version(1, AB, ago=40 * DAY, clients=7)
SEEN = (sighting("a"),)


def path(
    fact: Fact = "stolen",
    name: str = "a",
    states: dict[str, State] = AB,
    versions: tuple[Version, ...] = (OUT,),
    **fields: Any,
) -> EmergencyPath:
    """Return the emergency path after the key ``name`` was recorded as stolen or lost."""
    return emergency_path(_recorded(fact, name, states, versions, **fields), pin(name), fact)


def _recorded(
    fact: Fact,
    name: str,
    states: dict[str, State],
    versions: tuple[Version, ...],
    **fields: Any,
) -> Situation:
    gone = frozenset({pin(name)})
    past = PinHistory(compromised=gone) if fact == "stolen" else PinHistory(lost=gone)
    known: dict[str, Any] = {"seen": SEEN, "past": past} | fields
    return situation(pin_set(states, 2), *versions, **known)


def acts(found: EmergencyPath) -> list[str]:
    return [step.act for step in found.steps]


def switched(found: EmergencyPath) -> Any:
    return next(step for step in found.steps if step.act == "switch")


def test_with_the_minimum_of_two_pins_the_backup_goes_live() -> None:
    found = path()
    assert acts(found) == ["request", "switch", "install", "start", "publish", "revoke"]
    assert (switched(found).pin, switched(found).not_before) == (pin("b"), None)
    assert found.is_safe
    assert found.serving == ("192.0.2.7:443",)
    assert found.spare_from == NOW + TIMING.adopt
    assert found.steps[4].after_install


def test_the_exposure_ends_when_no_client_has_a_version_with_the_stolen_key() -> None:
    exposure = path().exposure
    assert exposure is not None
    assert (exposure.clients, exposure.until) == (7, NOW + TIMING.adopt)
    assert path("lost").exposure is None


def test_a_spare_key_needs_no_new_backup() -> None:
    found = path(states=ABC, versions=(version(1, ABC, ago=40 * DAY),))
    assert acts(found) == ["request", "switch", "install", "publish", "revoke"]
    assert not found.needs_backup


def test_a_backup_that_some_clients_refuse_yet_is_no_backup() -> None:
    """Without a step `start`, too: with the other one stolen, only C is left, which is new."""
    draft: dict[str, State] = {"a": "active", "b": "compromised", "c": "published"}
    new = version(2, ABC, ago=DAY)
    found = path(name="b", states=draft, versions=(OUT, new))
    assert (acts(found), found.needs_backup) == (["publish", "revoke"], False)
    assert (found.lacks_backup, found.spare_from) == (True, NOW - DAY + TIMING.adopt)
    out = version(3, draft, ago=DAY)
    done = path(name="b", states=draft, versions=(OUT, new, out))
    assert (done.steps, done.lacks_backup) == ((), True)
    adopted = path(name="b", states=draft, versions=(version(2, ABC, ago=40 * DAY),))
    assert (adopted.lacks_backup, adopted.spare_from) == (False, None)


def test_a_version_in_a_binary_that_refuses_the_backup_has_no_date() -> None:
    """After the switch to B only C is left, which version 1 in a binary refuses."""
    old = bundled(1, AB, ago=100 * DAY)
    found = path(states=ABC, versions=(old, version(2, ABC, ago=40 * DAY)))
    assert (switched(found).pin, found.needs_backup) == (pin("b"), False)
    assert (found.lacks_backup, found.spare_from) == (True, None)


def test_without_enforced_pins_or_versions_no_backup_is_missing() -> None:
    assert not path(name="b", states=ABC, versions=()).lacks_backup
    pins = pin_set(ABC, 2, mode="report")
    known = situation(pins, OUT, seen=SEEN, past=PinHistory(compromised=frozenset({pin("b")})))
    assert not emergency_path(known, pin("b"), "stolen").lacks_backup


def test_a_root_set_needs_no_new_backup_unless_too_few_of_its_roots_are_left() -> None:
    pins = root_set("x1", "x2")
    out = Version(pins, fetched=NOW - 40 * DAY)
    stolen = PinHistory(compromised=frozenset({pin("a")}))
    for seen in ((), (sighting("a", "x2", "x1"),)):
        known = situation(pins, out, seen=seen, past=stolen)
        assert not emergency_path(known, pin("a"), "stolen").needs_backup
    lost = PinHistory(lost=frozenset({pin("x1")}))
    assert emergency_path(situation(pins, out, past=lost), pin("x1"), "lost").needs_backup


def test_the_key_that_is_adopted_first_is_chosen() -> None:
    new = version(2, ABC, ago=DAY)
    found = path(states={"a": "active", "c": "published"}, versions=(OUT, new))
    assert switched(found).not_before == NOW - DAY + TIMING.adopt
    assert found.is_safe
    late_first: dict[str, State] = {"a": "active", "c": "published", "b": "published"}
    assert switched(path(states=late_first, versions=(OUT, new))).pin == pin("b")


def test_a_stolen_backup_is_only_taken_out_and_replaced() -> None:
    found = path(name="b")
    assert acts(found) == ["start", "publish", "revoke"]
    assert (found.in_use, found.is_safe) == (False, True)


def test_a_lost_backup_is_finished_and_replaced() -> None:
    found = path("lost", "b")
    assert acts(found) == ["start", "finish", "publish"]
    assert found.is_safe


@pytest.mark.parametrize(
    ("name", "fields", "in_use"),
    [
        ("a", {"seen": ()}, True),
        ("b", {"seen": ()}, False),
        ("a", {"seen": (sighting("b"),)}, False),
    ],
)
def test_a_key_is_taken_for_used_unless_every_server_presents_another(
    name: str, fields: Any, in_use: bool
) -> None:
    assert path("lost", name, **fields).in_use == in_use
    unanswered = emergency_path(
        _recorded("lost", "a", AB, (OUT,), seen=(sighting("b"),)),
        pin("a"),
        "lost",
        all_answered=False,
    )
    assert unanswered.in_use


def test_a_key_in_a_chain_that_does_not_verify_is_taken_for_used() -> None:
    found = path("stolen", seen=(unverified("a"),))
    assert found.in_use
    assert "switch" in acts(found)


def test_a_server_may_run_on_with_a_lost_key_until_a_new_one_is_adopted() -> None:
    alone: dict[str, State] = {"a": "active", "b": "lost"}
    found = path("lost", states=alone, versions=(version(1, AB, ago=40 * DAY),), **_both_lost())
    assert acts(found)[:5] == ["start", "start", "publish", "request", "switch"]
    assert (switched(found).pin, switched(found).not_before) == (NEXT_BACKUP, NOW + TIMING.adopt)
    assert found.is_safe


def _both_lost() -> dict[str, Any]:
    return {"past": PinHistory(lost=frozenset({pin("a"), pin("b")}))}


def test_without_a_key_that_clients_accept_the_harm_is_that_of_the_gate() -> None:
    both = PinHistory(compromised=frozenset({pin("a"), pin("b")}))
    found = path(past=both)
    known = _recorded("stolen", "a", AB, (OUT,), past=both)
    prospects = assumed_prospects(known, NEXT_BACKUP)
    (refusal,) = check_step(known, "activate", NEXT_BACKUP, prospects)
    assert found.harm == refusal
    assert (refusal.clients, found.is_safe) == (7, False)
    assert switched(found).forced
    assert acts(found).count("start") == 2  # the key itself, and a backup


def test_a_binary_without_the_backup_leaves_no_safe_path() -> None:
    old = bundled(1, {"a": "active", "x": "published"}, ago=400 * DAY, clients=3)
    found = path(versions=(old, version(2, AB, ago=40 * DAY, clients=9)))
    assert found.harm is not None
    assert (found.harm.clients, switched(found).pin) == (3, pin("b"))


def test_without_a_recorded_version_no_path_is_known() -> None:
    for name in ("a", "b"):
        assert not path(name=name, versions=()).is_safe


@pytest.mark.parametrize("fact", ["stolen", "lost"])
def test_the_leaf_of_a_pinned_authority_is_replaced_by_another_leaf(fact: Fact) -> None:
    """Servers present the authority already: only another leaf deals with the key."""
    states: dict[str, State] = {"a": "active", "ca": "active"}
    known = _recorded(fact, "a", states, (version(1, states, ago=40 * DAY),))
    entries = [
        replace(entry, role="intermediate") if entry.pin == pin("ca") else entry
        for entry in known.policy.pins
    ]
    draft = replace(known.pins, policies=(replace(known.policy, pins=tuple(entries)),))
    found = emergency_path(replace(known, pins=draft), pin("a"), fact)
    assert (switched(found).pin, found.is_safe) == (pin("ca"), True)
    assert acts(found) == [
        *("switch", "install", "start"),
        *(("publish", "revoke") if fact == "stolen" else ("finish", "publish")),
    ]


VERSIONS = st.lists(
    st.tuples(st.sets(st.sampled_from("abcd"), min_size=2), st.integers(0, 30), st.booleans()),
    min_size=1,
    max_size=4,
)


@given(made=VERSIONS, draft=st.sets(st.sampled_from("abcd"), min_size=2), lost=st.booleans())
def test_the_gate_allows_the_switch_of_a_safe_path_at_its_date_and_not_before(
    made: list[tuple[set[str], int, bool]], draft: set[str], lost: bool
) -> None:
    versions = []
    for number, (names, ago, in_binary) in enumerate(made, 1):
        states: dict[str, State] = dict.fromkeys(sorted(names), "published")
        make = bundled if in_binary else version
        versions.append(make(number, states, ago=ago * DAY, clients=number))
    fact: Fact = "lost" if lost else "stolen"
    drafted: dict[str, State] = dict.fromkeys(sorted({*draft, "a"}), "published")
    drafted["a"] = "active"
    known = _recorded(fact, "a", drafted, tuple(versions))
    found = emergency_path(known, pin("a"), fact)
    switch = switched(found)
    publishes_first = "publish" in acts(found)[: found.steps.index(switch)]
    if switch.pin == NEXT_BACKUP or not found.is_safe or publishes_first:
        return
    prospects = assumed_prospects(known, switch.pin)
    moment = switch.not_before or NOW
    assert check_step(at_time(known, moment), "activate", switch.pin, prospects) == ()
    if switch.not_before:
        early = replace(known, now=moment - timedelta(microseconds=1))
        assert check_step(early, "activate", switch.pin, prospects)


def test_a_server_with_an_unpinned_key_is_led_to_the_backup_and_the_lockout_is_stated() -> None:
    """The natural first reflex: the server got a new key at once, which no client accepts."""
    found = path(seen=(sighting("new"),))
    assert acts(found) == ["request", "switch", "install", "start", "publish", "revoke"]
    assert (switched(found).pin, found.is_safe, found.in_use) == (pin("b"), True, False)
    assert found.lockout is not None
    assert found.lockout.clients == 7


@pytest.mark.parametrize("name", ["a", "b"])
def test_with_both_keys_stolen_the_path_is_the_same_for_each(name: str) -> None:
    both = PinHistory(compromised=frozenset({pin("a"), pin("b")}))
    for seen in (SEEN, ()):
        found = path(name=name, past=both, seen=seen)
        assert (found.is_safe, switched(found).forced) == (False, True)
    assert path(name="b", past=both).others == (pin("a"),)


def test_the_key_of_an_authority_needs_a_certificate_of_another_one() -> None:
    marked: dict[str, State] = {**AB, "ca": "compromised"}
    found = path(name="ca", states=marked, seen=(sighting("a", "ca", "root"),))
    assert (found.authority, switched(found).pin, found.is_safe) == (True, pin("a"), True)
    assert acts(found) == ["request", "switch", "install", "publish", "revoke"]
    assert not path(seen=(sighting("a", "ca"),)).authority


def test_an_authority_below_a_stolen_one_is_not_the_way_out() -> None:
    """Clients refuse each path through it, although its own key was not stolen."""
    entries = (HostPin(pin("ca"), "intermediate"), HostPin(pin("next"), "backup", "published"))
    pins = replace(root_set("ca", "next", number=2), policies=(policy(entries, match="ca"),))
    past = PinHistory(compromised=frozenset({pin("root")}))
    seen = (sighting("a", "ca", "root"),)
    out = Version(replace(pins, version=1), fetched=NOW - 40 * DAY, clients=7)
    found = emergency_path(situation(pins, out, seen=seen, past=past), pin("root"), "stolen")
    assert (switched(found).pin, found.needs_backup) == (pin("next"), True)
    clean = (*seen, sighting("a", "ca", vantage="192.0.2.8:443"))  # this path has no stolen key
    found = emergency_path(situation(pins, out, seen=clean, past=past), pin("root"), "stolen")
    assert switched(found).pin == pin("ca")


def test_nothing_is_left_to_do_when_the_key_is_out_of_use_and_the_version_is_out() -> None:
    states: dict[str, State] = {"b": "active", "a": "compromised", "c": "published"}
    out = version(2, states, ago=DAY)
    found = path(states=states, versions=(OUT, out), seen=(sighting("b"),))
    assert (found.steps, found.is_safe) == ((), True)
    assert found.exposure is not None
    assert found.exposure.until == NOW - DAY + TIMING.adopt
    gone: dict[str, State] = {**states, "a": "removed"}
    for name in ("a", "x"):
        done = path("lost", name, gone, (OUT, version(2, gone, ago=DAY)), seen=(sighting("b"),))
        assert done.steps == ()


def _marked(known: Situation) -> Situation:
    """Return the situation with the marks of the pin file, as every command sets them."""
    live = set(known.policy.live_pins)
    for entry in known.policy.pins:
        if entry.pin in known.past.compromised and entry.state != "compromised":
            if entry.live and len(live) <= 2:
                continue
            live.discard(entry.pin)
            known = with_state(known, entry.pin, "compromised")
        elif entry.pin in known.past.lost and entry.usable:
            known = with_state(known, entry.pin, "lost")
    return known


def _walked(known: Situation, steps: Iterable[EmergencyStep]) -> Situation:
    """Take each step of a path. Fail if the gate refuses one that is not to be forced."""
    count = len(known.policy.pins)
    made = {NEXT_BACKUP: pin(f"new key {count}"), None: pin(f"new backup {count}")}
    for step in steps:
        key = made.get(step.pin, step.pin)
        if step.act == "start" and key:
            known = _marked(with_staged(known, key))
        elif step.act == "switch" and key:
            known = at_time(known, step.not_before or known.now)
            refusals = check_step(known, "activate", key, assumed_prospects(known, key))
            allowed = {"open-chain"} if step.chain else set()
            assert step.forced or {each.invariant for each in refusals} <= allowed
            known = with_state(known, key, "active")
        elif step.act == "install" and key:
            known = with_served(known, key)
        elif step.act == "finish" and step.pin:
            assert check_step(known, "remove", step.pin) == ()
            known = with_state(known, step.pin, "removed")
        elif step.act == "publish":
            number = known.deployed.next_number(known.pins)
            numbered = replace(known, pins=replace(known.pins, version=number))
            assert check_step(numbered, "publish") == ()
            known = with_published(known)
    return known


FACTS = st.dictionaries(st.sampled_from("abcx"), st.sampled_from(["stolen", "lost"]), min_size=1)


@pytest.mark.medium
@given(
    served=st.lists(st.sampled_from("abcx"), min_size=1, max_size=2),
    names=st.sampled_from(["ab", "abc"]),
    ages=st.lists(st.integers(0, 30), min_size=1, max_size=2),
    facts=FACTS,
    taken=st.integers(0, 8),
)
def test_the_gate_accepts_every_step_of_the_path_in_its_order_and_then_nothing_is_left(
    served: list[str], names: str, ages: list[int], facts: dict[str, Fact], taken: int
) -> None:
    """The command can be repeated at any time: it goes on from the steps that were taken."""
    states: dict[str, State] = dict.fromkeys(names, "published")
    states["a"] = "active"
    outs = [
        version(number, states, ago=ago * DAY, clients=number)
        for number, ago in enumerate(sorted(ages, reverse=True), 1)
    ]
    past = PinHistory(
        compromised=frozenset(pin(name) for name, fact in facts.items() if fact == "stolen"),
        lost=frozenset(pin(name) for name, fact in facts.items() if fact == "lost"),
    )
    seen = tuple(sighting(name, vantage=f"server {name}") for name in served)
    known = _marked(situation(pin_set(states, len(outs)), *outs, seen=seen, past=past))
    for name, fact in facts.items():
        first = emergency_path(known, pin(name), fact)
        begun = _walked(known, first.steps[:taken])
        rest = emergency_path(begun, pin(name), fact)
        done = _walked(begun, rest.steps)
        assert emergency_path(done, pin(name), fact).steps == (), (acts(first), acts(rest))


def test_a_fact_is_recorded_after_the_newest_event_whatever_the_clock_says() -> None:
    ahead = Event(NOW + DAY, "anna", "stage", HOST, pin("c"))
    stolen = [Event(NOW, "bert", "compromise", each, pin("a")) for each in (HOST, "b.example")]
    first, second = after([ahead], stolen, any_lag=True)
    assert NOW + DAY < first.time < second.time < NOW + DAY + timedelta(seconds=1)
    assert list(after([], stolen[:1], any_lag=True)) == stolen[:1]


@pytest.mark.medium
def test_work_grows_linearly_with_the_hosts_that_share_the_key() -> None:
    """The path of a host copies no pin set with the policies of all hosts, if nothing changes."""

    def work(hosts: int) -> int:
        patterns = [HostPattern.parse(f"h{number}.bank.example") for number in range(hosts)]
        [one] = pin_set(ABC).policies
        pins = PinSet("bank", 1, tuple(replace(one, pattern=each) for each in patterns))
        known = situation(pin_set(ABC), replace(OUT, pins=pins), seen=SEEN)
        draft = replace(pins, version=2)
        past = PinHistory(compromised=frozenset({pin("a")}))
        facts = [replace(known, pins=draft, pattern=each, past=past) for each in patterns]
        return calls_of(lambda: [emergency_path(each, pin("a"), "stolen") for each in facts])

    _, few, many = map(work, (1, 40, 80))  # the first one fills caches
    assert many < 2.3 * few, (few, many)
