"""The history derived from a journal: published versions, states of pins, client delays.

It also reports entries that contradict each other.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from certpin.pins import HostPattern, Pin, PinSet, State
from certpin.rotation import AdoptionDelays, Event, History, after, contradictions
from certpin.rotation.journal import in_order
from certpin.rotation.situation import CLOCK_TOLERANCE
from tests import kit
from tests.rotation._situations import DAY, HOST, HOUR, NOW, PATTERN, pin, pin_set

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.rotation.journal import StepName

AB: dict[str, State] = {"a": "active", "b": "published"}


def publish(
    number: int, states: dict[str, State], *, at: datetime = NOW, **fields: object
) -> Event:
    event = Event(at, "ada", "publish", version=number, pins=pin_set(states, number))
    return replace(event, **fields)  # type: ignore[arg-type]  # fields of an event


def step(name: StepName, key: str, *, at: datetime = NOW, host: str = HOST) -> Event:
    return Event(at, "ben", name, host, pin(key))


FIRST = publish(1, AB, clients=7)
SECOND = publish(2, {**AB, "c": "published"}, at=NOW + DAY, timing=AdoptionDelays(cdn=HOUR))


def history(*events: Event) -> History:
    return History(events)


def test_each_publish_is_a_deployed_version() -> None:
    first, second = history(FIRST, SECOND).deployed.versions
    assert (first.number, first.fetched, first.bundled, first.clients) == (1, NOW, None, 7)
    assert (second.number, second.fetched, second.clients) == (2, NOW + DAY, None)
    assert second.pins == SECOND.pins


def test_a_version_may_be_in_a_binary_too() -> None:
    again = replace(FIRST, time=NOW + DAY, bundled=True, clients=None)
    (version,) = history(FIRST, again).deployed.versions
    assert (version.fetched, version.bundled, version.clients) == (NOW, NOW + DAY, 7)


def test_an_ended_version_has_its_end_until_it_is_published_again() -> None:
    over = Event(NOW + DAY, "ada", "ended", version=1)
    assert history(FIRST, over).deployed.versions[0].ended == NOW + DAY
    again = replace(FIRST, time=NOW + 2 * DAY)
    assert history(FIRST, over, again).deployed.versions[0].ended is None


def test_two_contents_with_one_number_are_two_versions() -> None:
    other = publish(1, {"a": "active", "x": "published"}, at=NOW + HOUR)
    assert len(history(FIRST, other).deployed.versions) == 2


def test_the_delays_are_those_of_the_latest_publish() -> None:
    assert history(FIRST).timing is None
    assert history(FIRST, SECOND, FIRST).timing == AdoptionDelays(cdn=HOUR)


def test_the_state_of_a_pin_is_that_of_its_last_step() -> None:
    past = history(FIRST, step("generate", "c"), step("stage", "c"), SECOND).past(PATTERN)
    assert past.states == {pin("a"): "active", pin("b"): "published", pin("c"): "published"}
    assert past.known == {pin("c")}
    assert past.compromised == frozenset()


def test_a_staged_pin_of_a_published_version_is_published() -> None:
    assert history(publish(1, {**AB, "c": "staged"})).past(PATTERN).states[pin("c")] == "published"


@pytest.mark.parametrize(
    ("published", "pattern", "known"),
    [
        ("*.bank.example", "**.bank.example", True),
        ("**.bank.example", "*.bank.example", True),
        ("*.bank.example", "api.bank.example", True),
        ("bank.example", "*.bank.example", False),
        ("api.bank.example", "*.bank.example", False),
    ],
)
def test_pins_have_the_states_of_a_version_with_another_pattern(
    published: str, pattern: str, known: bool
) -> None:
    first = replace(FIRST, pins=PinSet("bank", 1, (kit.policy(published, pin("a")),)))
    assert (pin("a") in history(first).past(HostPattern.parse(pattern)).states) is known


def test_pins_of_another_policy_of_a_version_have_no_state_at_a_wildcard() -> None:
    one, other = kit.policy("**.bank.example", pin("a")), kit.policy("*.bank.example", pin("b"))
    states = history(replace(FIRST, pins=PinSet("bank", 1, (one, other)))).past(one.pattern).states
    assert pin("a") in states
    assert pin("b") not in states


def test_a_compromised_key_stays_compromised_at_every_host() -> None:
    hurt = history(FIRST, step("compromise", "b"), step("stage", "b"))
    assert hurt.past(PATTERN).states[pin("b")] == "compromised"
    assert hurt.past(HostPattern.parse("other.example")).compromised == {pin("b")}
    written = history(publish(1, {**AB, "c": "compromised"}))
    assert written.past(PATTERN).compromised == {pin("c")}


def test_a_lost_key_is_lost_at_every_host_unless_an_attacker_may_have_it() -> None:
    other = HostPattern.parse("other.example")
    assert history(FIRST, step("lose", "b")).past(other).lost == {pin("b")}
    written = history(publish(1, {**AB, "c": "lost"}))
    assert written.past(other).lost == {pin("c")}
    stolen = history(FIRST, step("lose", "b"), step("compromise", "b")).past(other)
    assert not stolen.lost
    assert stolen.compromised == {pin("b")}


def test_the_date_of_a_state_is_its_beginning() -> None:
    later = replace(SECOND, version=3, pins=pin_set(AB, 3), time=NOW + 2 * DAY)
    since = history(FIRST, SECOND, step("retire", "a", at=NOW + 3 * DAY), later)
    assert since.since(PATTERN, pin("b")) == {"published": NOW}
    assert since.since(PATTERN, pin("a"))["retiring"] == NOW + 3 * DAY


GOOD = (
    FIRST,
    step("generate", "c"),
    step("stage", "c"),
    SECOND,
    step("activate", "c"),
    step("retire", "a"),
    step("remove", "a"),
    Event(NOW + 3 * DAY, "ada", "ended", version=1),
)


def test_a_whole_rotation_has_no_contradictions() -> None:
    assert contradictions(History(GOOD)) == ()


def test_steps_with_one_time_have_no_contradictions() -> None:
    at = NOW - DAY
    published, pushed = (
        replace(publish(1, AB, at=at), signed=True),
        Event(at, "z", "push", version=1),
    )
    second = publish(2, {**AB, "c": "staged"}, at=at)
    steps = (step("generate", "c", at=at), step("stage", "c", at=at))
    events = in_order([second, pushed, *reversed(steps), published])
    assert contradictions(History(events)) == ()


@pytest.mark.parametrize("behind", [timedelta(0), timedelta(seconds=1), CLOCK_TOLERANCE])
def test_a_new_event_comes_after_the_known_ones(behind: timedelta) -> None:
    known = [replace(publish(1, AB), signed=True)]
    new = [
        Event(known[0].time - behind, who, "push" if who == "a" else "ended", version=1)
        for who in "ab"
    ]
    appended = tuple(after(known, new))
    assert in_order([*appended, *known]) == (*known, *appended)
    assert contradictions(History((*known, *appended))) == ()


def test_an_event_from_a_wrong_clock_keeps_its_time() -> None:
    late = Event(NOW - CLOCK_TOLERANCE - timedelta(seconds=1), "ada", "ended", version=1)
    assert tuple(after([publish(1, AB)], [late])) == (late,)
    assert tuple(after([], [late])) == (late,)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (publish(2, AB, at=NOW + 4 * DAY), "version 2 was published twice with different content"),
        (
            Event(NOW, "ada", "ended", version=9),
            "recorded the end of version 9, which was never published",
        ),
        (step("stage", "a"), "made sha256/.* STAGED, but it was REMOVED"),
    ],
    ids=["twice", "never out", "comes back"],
)
def test_contradictions_are_reported(event: Event, words: str) -> None:
    told = contradictions(History((*GOOD, event)))[0]
    assert re.search(words, told)


def test_a_staged_key_that_the_gate_allowed_contradicts_nothing() -> None:
    """Clients may accept the chain by the pin of an authority, or have no pins for the host."""
    steps = [step(name, "c", at=NOW + DAY) for name in ("generate", "stage", "activate")]
    used = publish(2, {**AB, "c": "active"}, at=NOW + 2 * DAY)
    assert contradictions(history(FIRST, *steps)) == ()
    assert contradictions(history(FIRST, *steps, used)) == ()
    (told,) = contradictions(history(FIRST, steps[0], steps[2]))
    assert "ACTIVE, but it was GENERATED" in told


def test_a_version_published_twice_is_resolved_by_a_higher_one_that_comes_after_both() -> None:
    one, other = publish(2, AB), publish(2, {**AB, "c": "published"}, at=NOW + 2 * DAY)
    both = {**AB, "c": "published", "d": "published"}
    assert contradictions(history(one, other, publish(3, both, at=NOW + 3 * DAY))) == ()
    for known in (history(one, other), history(one, publish(3, both, at=NOW + DAY), other)):
        assert "published twice" in contradictions(known)[0]


def test_a_version_below_a_published_one_is_reported() -> None:
    (told,) = contradictions(history(SECOND, publish(1, AB, at=NOW + 2 * DAY)))
    assert "version 1 after 2: clients never take a lower version" in told


def test_a_pin_of_another_host_has_no_state_here() -> None:
    other = history(step("generate", "a", host="other.example"))
    assert other.past(PATTERN).states == {}
    assert isinstance(next(iter(other.past(PATTERN).known)), Pin)


def test_a_signed_version_is_fetched_from_its_push_on() -> None:
    signed = replace(SECOND, signed=True)
    pushed = Event(NOW + 3 * DAY, "ada", "push", version=2)
    first, second = history(FIRST, signed).deployed.versions
    assert (second.fetched, second.pending) == (NOW + DAY, True)
    first, second = history(FIRST, signed, pushed).deployed.versions
    assert (second.fetched, second.pending) == (NOW + 3 * DAY, False)
    assert not first.pending


def test_a_second_push_changes_nothing() -> None:
    signed = replace(SECOND, signed=True)
    pushes = [Event(NOW + days * DAY, "ada", "push", version=2) for days in (3, 9)]
    assert history(FIRST, signed, *pushes).deployed == history(FIRST, signed, pushes[0]).deployed


def test_a_bundled_version_is_pending_until_its_signed_set_is_pushed() -> None:
    binary, signed = replace(FIRST, bundled=True, signed=True), replace(FIRST, signed=True)
    pushed = Event(NOW + DAY, "ada", "push", version=1)
    assert [each.pending for each in history(binary).deployed.versions] == [False]
    assert [each.pending for each in history(binary, signed).deployed.versions] == [True]
    assert [each.pending for each in history(binary, signed, pushed).deployed.versions] == [False]


def test_a_version_published_without_a_signature_is_not_pending() -> None:
    again = replace(FIRST, time=NOW + DAY, signed=True)
    (version,) = history(FIRST, again).deployed.versions
    assert (version.fetched, version.pending) == (NOW, False)


def test_the_latest_fetched_version_decides_whether_sets_are_signed() -> None:
    signed = replace(SECOND, signed=True)
    binary = replace(publish(3, AB, at=NOW + 2 * DAY), bundled=True)
    assert not history().signed
    assert not history(FIRST).signed
    assert history(FIRST, signed, binary).signed
    assert not history(FIRST, signed, publish(3, AB, at=NOW + 2 * DAY)).signed


def test_a_push_of_an_unpublished_version_is_a_contradiction() -> None:
    pushed = Event(NOW + DAY, "ben", "push", version=9)
    assert contradictions(history(FIRST, pushed)) == (
        "ben recorded a push of version 9, which was never published",
    )


def test_a_host_that_the_journal_does_not_know_lacks_no_step() -> None:
    """``certpin add`` writes a staged backup into the pin file, and nothing into the journal."""
    added = kit.policy("new.example", pin("a"), pin("b"))
    leaf, backup = added.pins
    added = replace(added, pins=(leaf, replace(backup, state="staged")))
    assert history(FIRST).missing_steps(added) == {}
