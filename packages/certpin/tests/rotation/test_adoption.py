"""Which versions of a pin set clients may still have, and since when all clients accept a pin."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.pins import HostPattern, HostPolicy, PinSet, State
from certpin.rotation import (
    DeployedVersions,
    Situation,
    Version,
    adoption,
    check_step,
    pin_state,
)
from certpin.rotation.fleet import clients_at_risk
from certpin.rotation.renewal import switch_date
from tests import kit
from tests._calls import calls_of
from tests.rotation._situations import (
    DAY,
    HOST,
    NOW,
    PATTERN,
    TIMING,
    bundled,
    entries,
    pin,
    pin_set,
    situation,
    version,
)

AB: dict[str, State] = {"a": "active", "b": "published"}
ABC: dict[str, State] = {**AB, "c": "published"}
MOMENT = timedelta(microseconds=1)
OLD = version(1, AB, ago=40 * DAY, clients=7)
NEW = version(2, ABC, ago=3 * DAY, clients=5)
DEATH = NOW - 3 * DAY + TIMING.adopt


def test_a_version_is_alive_until_t_adopt_after_the_next_one() -> None:
    field = DeployedVersions((OLD, NEW))
    assert field.end_of_life(OLD, TIMING) == DEATH
    assert field.alive(DEATH - MOMENT, TIMING) == (OLD, NEW)
    assert field.alive(DEATH, TIMING) == (NEW,)


def test_the_latest_version_stays_alive() -> None:
    assert DeployedVersions((OLD, NEW)).end_of_life(NEW, TIMING) is None


def test_a_version_is_not_alive_before_it_is_published() -> None:
    assert DeployedVersions((OLD, NEW)).alive(NOW - 4 * DAY, TIMING) == (OLD,)


def test_the_next_version_counts_not_the_latest() -> None:
    latest = version(3, ABC, ago=DAY)
    assert DeployedVersions((OLD, NEW, latest)).end_of_life(OLD, TIMING) == DEATH


@given(
    st.lists(st.tuples(st.integers(1, 5), st.none() | st.integers(0, 5), st.booleans()), max_size=8)
)
def test_the_first_higher_version_that_clients_can_fetch_counts(
    published: list[tuple[int, int | None, bool]],
) -> None:
    """The versions are of any order and number, also if people published one number twice."""
    field = DeployedVersions(
        tuple(
            Version(
                pin_set(AB, number),
                fetched=None if day is None else NOW + day * DAY,
                pending=pending,
            )
            for number, day, pending in published
        )
    )
    for each in field.versions:
        if each.fetched is None:
            assert field.superseded_at(each) is None
            continue
        higher = [
            max(other.fetched, each.fetched)
            for other in field.versions
            if other.fetched and not other.pending and other.number > each.number
        ]
        assert field.superseded_at(each) == min(higher, default=None)


def test_work_grows_linearly_with_the_versions() -> None:
    def work(versions: int) -> int:
        published = (version(each, AB, ago=(900 - each) * DAY) for each in range(1, versions + 1))
        facts = situation(pin_set(AB, versions + 1), *published)
        return calls_of(lambda: (facts.alive, clients_at_risk(facts, facts.alive)))

    _, few, many = map(work, (1, 100, 200))  # the first one fills caches
    assert many < 2.3 * few


def test_the_versions_of_one_time_are_found_once() -> None:
    facts = situation(pin_set(AB, 3), OLD, NEW)
    assert facts.alive is facts.alive
    assert facts.deployed.alive(DEATH, TIMING) == (NEW,)  # another time has another result


def test_a_bundled_version_is_alive_until_its_end_is_recorded() -> None:
    binary = bundled(1, AB, ago=900 * DAY)
    assert DeployedVersions((binary, NEW)).end_of_life(binary, TIMING) is None
    over = replace(binary, ended=NOW)
    assert DeployedVersions((over, NEW)).alive(NOW - MOMENT, TIMING)[0] == over
    assert DeployedVersions((over, NEW)).alive(NOW, TIMING) == (NEW,)


def test_a_pending_version_is_held_and_supersedes_nothing() -> None:
    field = DeployedVersions((OLD, replace(NEW, pending=True)))
    assert field.end_of_life(OLD, TIMING) is None
    assert [each.number for each in field.alive(NOW + 900 * DAY, TIMING)] == [1, 2]


def test_a_binary_does_not_supersede_a_fetched_version() -> None:
    field = DeployedVersions((OLD, bundled(2, ABC, ago=90 * DAY)))
    assert field.end_of_life(OLD, TIMING) is None


def test_a_version_that_is_fetched_and_bundled_is_alive_as_long_as_the_binary() -> None:
    both = replace(OLD, bundled=NOW - 30 * DAY)
    assert DeployedVersions((both, NEW)).end_of_life(both, TIMING) is None


def test_a_lower_version_published_later_supersedes_nothing() -> None:
    late = version(1, AB, ago=DAY)
    field = DeployedVersions((late, NEW))
    assert field.end_of_life(NEW, TIMING) is None
    assert field.end_of_life(late, TIMING) == NOW - DAY + TIMING.adopt


def test_a_pin_is_adopted_when_every_version_alive_accepts_it() -> None:
    before = situation(NEW.pins, OLD, NEW, now=DEATH - MOMENT)
    found = adoption(before, pin("c"))
    assert (found.adopted, found.moment, found.refusing) == (False, DEATH, (OLD,))
    after = adoption(replace(before, now=DEATH), pin("c"))
    assert (after.adopted, after.moment, after.refusing) == (True, DEATH, ())


def test_a_pin_of_every_version_is_adopted_since_the_first_one() -> None:
    assert adoption(situation(NEW.pins, OLD, NEW), pin("b")).moment == OLD.fetched


def test_a_pin_that_a_binary_lacks_has_no_adoption_date() -> None:
    binary = bundled(1, AB, ago=40 * DAY, clients=9)
    found = adoption(situation(NEW.pins, binary, OLD, NEW), pin("c"))
    assert (found.adopted, found.moment, found.refusing) == (False, None, (binary, OLD))


def test_an_unpublished_pin_has_no_adoption_date() -> None:
    found = adoption(situation(NEW.pins, OLD), pin("c"))
    assert (found.adopted, found.moment) == (False, None)


def test_without_a_version_nothing_is_adopted() -> None:
    found = adoption(situation(NEW.pins), pin("a"))
    assert (found.adopted, found.moment) == (False, None)


def test_an_adoption_has_no_truth_value() -> None:
    with pytest.raises(TypeError, match="truth value"):
        bool(adoption(situation(NEW.pins, OLD), pin("a")))


def test_versions_without_the_host_or_in_report_mode_refuse_nothing() -> None:
    watching = replace(OLD, pins=pin_set({"b": "active"}, mode="report"))
    other = HostPolicy(HostPattern.parse("other.example"), tuple(entries(AB)))
    strange = replace(OLD, pins=PinSet("bank", 1, (other,)))
    assert watching.accepts(PATTERN, pin("c"))
    assert strange.accepts(PATTERN, pin("c"))
    assert not OLD.accepts(PATTERN, pin("c"))


def test_a_host_is_found_in_an_older_version_with_a_wildcard() -> None:
    wide = HostPolicy(HostPattern.parse("*.bank.example"), tuple(entries(AB)))
    assert PinSet("bank", 1, (wide,)).policies_at(PATTERN) == (wide,)


def stands(known: Situation, name: str) -> State:
    return pin_state(known, pin(name))


def test_early_states_follow_from_the_versions_not_from_the_file() -> None:
    draft = pin_set({**ABC, "d": "published"}, 3)
    known = situation(draft, OLD, NEW)
    assert [stands(known, name) for name in "abcd"] == ["active", "adopted", "published", "staged"]
    assert stands(known, "nobody") == "generated"


@pytest.mark.parametrize("state", ["retiring", "removed", "compromised"])
def test_late_states_are_those_of_the_file(state: State) -> None:
    assert stands(situation(pin_set({**ABC, "d": state}, 3), OLD, NEW), "d") == state


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("*.bank.example", "**.bank.example"),
        ("**.bank.example", "*.bank.example"),
        ("api.bank.example", "*.bank.example"),
        ("*.bank.example", "api.bank.example"),
    ],
)
def test_adoption_agrees_with_the_gate_if_the_pattern_of_the_host_changes(
    older: str, newer: str
) -> None:
    before, after = kit.policy(older, pin("a")), kit.policy(newer, pin("a"), pin("c"))
    after = replace(after, pins=(after.pins[0], replace(after.pins[1], state="published")))
    first = Version(PinSet("bank", 1, (before,)), fetched=NOW - 200 * DAY)
    second = Version(PinSet("bank", 2, (after,)), fetched=NOW - DAY)
    deployed = DeployedVersions((first, second))
    known = Situation(second.pins, after.pattern, deployed, (), TIMING, NOW)
    (violation,) = check_step(known, "activate", pin("c"))
    assert violation.invariant == "adopted"
    found = adoption(known, pin("c"))
    assert (found.adopted, found.refusing) == (False, (first,))
    assert found.moment == NOW - DAY + TIMING.adopt == switch_date(known, pin("c")).moment
    assert pin_state(known, pin("c")) == "published"
    assert adoption(known, pin("a")).adopted


def test_a_host_with_another_policy_in_the_draft_decides_nothing_about_a_wildcard() -> None:
    own, rest = kit.policy(HOST, pin("own")), kit.policy("**.bank.example", pin("rest"))
    pins = PinSet("bank", 1, (own, rest))
    deployed = DeployedVersions((Version(pins, fetched=NOW - 9 * DAY),))
    known = Situation(pins, rest.pattern, deployed, (), TIMING, NOW)
    assert adoption(known, pin("rest")).adopted
    assert not adoption(known, pin("own")).adopted
