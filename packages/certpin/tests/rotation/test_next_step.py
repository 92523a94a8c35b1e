"""The next safe action of a rotation, as ``certpin rotate status`` prints it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from certpin.pins import HostPattern, PinSet
from certpin.rotation import PinHistory, Situation, Version, check_step
from certpin.rotation.next_step import NextStep, next_step
from certpin.rotation.situation import ServerDate, ServerObservation, TimeEvidence
from tests.rotation._situations import (
    DAY,
    NOW,
    TIMING,
    pin,
    pin_set,
    root_set,
    sighting,
    situation,
    version,
    with_leaves,
)

if TYPE_CHECKING:
    from certpin.pins import Pin, State

AB: dict[str, State] = {"a": "active", "b": "published"}
ABC: dict[str, State] = {**AB, "c": "published"}
A_AND_CA: dict[str, State] = {"a": "active", "ca": "active"}
OUT = version(1, AB, ago=40 * DAY, clients=7)
SEEN = (sighting("a"),)


def following(
    known: Situation, activated: dict[str, int] | None = None, *, differs: bool = False
) -> NextStep:
    """Return the next action of a rotation.

    Args:
        known: the situation of the host.
        activated: for key names, how many days ago the gate allowed servers to use the key.
        differs: whether the pin file differs from the last published version.
    """
    times: dict[Pin, Any] = {pin(key): NOW - ago * DAY for key, ago in (activated or {}).items()}
    return next_step(known, times, differs=differs)


def test_a_good_state_needs_nothing() -> None:
    assert following(situation(pin_set(AB), OUT, seen=SEEN)) == NextStep("none")


@pytest.mark.parametrize(
    ("past", "seen", "act"),
    [
        (PinHistory(compromised=frozenset({pin("a")})), (), "emergency"),
        (PinHistory(compromised=frozenset({pin("x")})), (sighting("x"),), "emergency"),
        (PinHistory(compromised=frozenset({pin("x")})), SEEN, "none"),
        (PinHistory(lost=frozenset({pin("a")})), SEEN, "emergency"),
    ],
)
def test_a_stolen_or_lost_key_comes_first(past: PinHistory, seen: Any, act: str) -> None:
    found = following(situation(pin_set(AB), OUT, seen=seen, past=past), differs=True)
    assert (found.act if act == "emergency" else "none") == act


def test_a_version_is_pushed_before_anything_else_goes_out() -> None:
    waiting = replace(version(2, ABC, ago=DAY), pending=True)
    known = situation(pin_set(ABC, 3), OUT, waiting, seen=SEEN)
    assert following(known, differs=True) == NextStep("push")


def test_a_changed_pin_file_goes_out_unless_the_gate_refuses_it() -> None:
    good = situation(pin_set({**AB, "c": "staged"}, 1), OUT, seen=SEEN)
    assert following(good, differs=True) == NextStep("publish")
    bad = situation(pin_set({"b": "active", "c": "staged"}, 2), OUT, seen=SEEN)
    refused = following(bad, differs=True)
    assert (refused.act, refused.violations[0].invariant) == ("publish", "served-chain")


def test_a_new_key_is_installed_at_the_servers_that_lack_it() -> None:
    states: dict[str, State] = {"a": "active", "b": "active", "c": "published"}
    seen = (sighting("a", vantage="eu"), sighting("b", vantage="us"))
    known = situation(pin_set(states), version(1, states, ago=40 * DAY), seen=seen)
    found = following(known, {"b": 1})
    assert (found.act, found.pin, found.servers) == ("install", pin("b"), ("eu",))


def test_a_key_that_was_taken_out_again_hides_no_installation() -> None:
    """Otherwise the next action would be to finish a, which the servers use again."""
    states: dict[str, State] = {"a": "active", "b": "active", "c": "removed", "d": "published"}
    out = version(1, states, ago=40 * DAY)
    known = situation(with_leaves(states, "a", "b", "c"), out, seen=SEEN)
    found = following(known, {"b": 3, "c": 1})
    assert (found.act, found.pin) == ("install", pin("b"))


def test_the_old_key_is_finished_when_no_server_presents_it() -> None:
    states: dict[str, State] = {"a": "active", "b": "active", "c": "published"}
    draft = with_leaves(states, "a", "b")
    out = version(1, states, ago=40 * DAY)
    known = situation(draft, out, seen=(sighting("b"),))
    assert following(known, {"b": 1}) == NextStep("finish", pin("a"))
    unseen = following(situation(draft, out), {"b": 1})
    assert (unseen.act, unseen.violations[0].invariant) == ("finish", "unseen")


def test_the_old_key_goes_when_every_client_accepts_the_next_backup() -> None:
    """If b is stolen before, servers can go back to a at once."""
    states: dict[str, State] = {"a": "active", "b": "active", "c": "published"}
    versions = (OUT, version(2, states, ago=DAY))
    known = situation(with_leaves(states, "a", "b"), *versions, seen=(sighting("b"),))
    assert following(known, {"b": 1}) == NextStep("finish", pin("a"), NOW - DAY + TIMING.adopt)


def test_an_authority_that_servers_present_replaces_no_key_of_a_server() -> None:
    """The user named only its pin, so it has the role of a server's key."""
    states: dict[str, State] = {"a": "active", "ca": "active", "c": "published"}
    out = version(1, states, ago=40 * DAY)
    known = situation(with_leaves(states, "a", "ca"), out, seen=(sighting("a", "ca"),))
    assert following(known, {"ca": 1}) == NextStep("none")
    by_server = replace(known, sightings=(sighting("ca"),))
    assert following(by_server, {"ca": 1}) == NextStep("finish", pin("a"))


def test_an_authority_that_servers_present_is_no_next_key() -> None:
    """The user started its pin beside the key of the servers: nothing has to be switched."""
    states: dict[str, State] = {"a": "active", "b": "published", "ca": "published"}
    past = PinHistory(known=frozenset({pin("ca")}))
    seen = (sighting("a", "ca"),)
    young = situation(pin_set(states, 2), OUT, version(2, states, ago=DAY), seen=seen, past=past)
    assert following(young) == NextStep("none")
    old = situation(pin_set(states), version(1, states, ago=40 * DAY), seen=seen, past=past)
    assert following(old) == NextStep("none")
    other = replace(old, sightings=(sighting("a", "root"),))
    assert following(other) == NextStep("switch", pin("ca"))


def test_a_new_key_that_is_retired_replaces_no_other_one() -> None:
    """``finish`` has retired b, which no server has used, and could not remove it yet."""
    states: dict[str, State] = {"a": "active", "b": "retiring", "c": "published"}
    out = version(1, states, ago=40 * DAY)
    known = situation(with_leaves(states, "a", "b"), out, seen=SEEN)
    assert following(known, {"b": 1}) == NextStep("finish", pin("b"))
    assert following(known, {"a": 9, "b": 1}) == NextStep("finish", pin("b"))


def test_a_lost_backup_is_finished() -> None:
    states: dict[str, State] = {"a": "active", "b": "lost", "c": "published"}
    known = situation(pin_set(states), version(1, ABC, ago=40 * DAY), seen=SEEN)
    assert following(known) == NextStep("finish", pin("b"))


def test_a_lost_backup_is_replaced_before_it_is_finished() -> None:
    states: dict[str, State] = {"a": "active", "b": "lost"}
    known = situation(pin_set(states), version(1, AB, ago=40 * DAY), seen=SEEN)
    assert following(known) == NextStep("start")


def test_without_a_backup_one_is_started() -> None:
    known = situation(
        pin_set(A_AND_CA), version(1, A_AND_CA, ago=40 * DAY), seen=(sighting("a", "ca"),)
    )
    assert following(known) == NextStep("start")
    assert following(replace(known, sightings=())) == NextStep("start")


def test_a_root_set_needs_no_backup() -> None:
    pins = root_set("x1", "x2")
    out = Version(pins, fetched=NOW - 40 * DAY)
    for seen in ((), (sighting("leaf", "x2", "x1"),)):
        assert following(situation(pins, out, seen=seen)) == NextStep("none")


def test_a_key_in_flight_has_the_date_of_its_adoption() -> None:
    known = situation(pin_set(ABC, 2), OUT, version(2, ABC, ago=DAY), seen=SEEN)
    found = following(known)
    assert (found.act, found.pin, found.not_before) == (
        "switch",
        pin("c"),
        NOW - DAY + TIMING.adopt,
    )


def test_a_switch_needs_the_chain_if_a_stolen_backup_may_be_an_authority() -> None:
    """Clients refuse the new key below it, so the gate doesn't allow the key only."""
    states: dict[str, State] = {"a": "active", "b": "compromised", "c": "published", "d": "active"}
    past = PinHistory(compromised=frozenset({pin("b")}), known=frozenset({pin("c")}))
    draft, first = pin_set(states, 2), version(1, AB, ago=40 * DAY)
    young = situation(draft, first, version(2, states, ago=DAY), seen=SEEN, past=past)
    date = NOW - DAY + TIMING.adopt
    assert following(young) == NextStep("switch", pin("c"), date, needs_chain=True)
    old = situation(draft, version(2, states, ago=40 * DAY), seen=SEEN, past=past)
    found = following(old)
    assert (found.pin, found.needs_chain) == (pin("c"), True)
    assert [each.invariant for each in found.violations] == ["open-chain"]
    usual = situation(pin_set(ABC, 2), OUT, version(2, ABC, ago=DAY), seen=SEEN)
    assert not following(usual).needs_chain


def test_no_chain_is_named_while_a_version_without_an_end_lacks_the_pin() -> None:
    """It accepts the key below the pinned authority only, so most chains would be refused."""

    def pins(number: int, states: dict[str, State]) -> PinSet:
        (made,) = pin_set(states).policies
        held = (
            replace(each, role="intermediate") if each.pin == pin("ca") else each
            for each in made.pins
        )
        return PinSet("bank", number, (replace(made, pins=tuple(held)),))

    before: dict[str, State] = {"a": "active", "ca": "active", "d": "published"}
    draft = pins(2, {**before, "c": "published"})
    binary = Version(pins(1, before), bundled=NOW - 40 * DAY)
    known = situation(draft, binary, Version(draft, fetched=NOW - DAY), seen=(sighting("a", "ca"),))
    found = following(known)
    assert (found.act, found.pin, found.not_before) == ("switch", pin("c"), None)
    assert ([each.invariant for each in found.violations], found.needs_chain) == (
        ["open-chain"],
        False,
    )


def test_a_key_that_servers_present_without_a_switch_is_recorded() -> None:
    known = situation(pin_set(AB), OUT, seen=(sighting("b"),))
    assert following(known) == NextStep("switch", pin("b"))


def test_a_started_key_stays_the_next_one_when_it_is_adopted_unless_it_is_the_backup() -> None:
    started = PinHistory(known=frozenset({pin("b"), pin("c")}))
    old = version(1, ABC, ago=40 * DAY, clients=7)
    known = situation(pin_set(ABC), old, seen=SEEN, past=started)
    assert following(known) == NextStep("switch", pin("c"))
    assert following(replace(known, past=PinHistory())) == NextStep("none")
    alone = situation(pin_set(AB), OUT, seen=SEEN, past=started)
    assert following(alone) == NextStep("none")


@pytest.mark.parametrize(
    ("states", "versions", "act"),
    [
        (ABC, (version(1, ABC, ago=40 * DAY, clients=7),), "switch"),
        (ABC, (OUT, version(2, ABC, ago=DAY)), "switch"),
        (A_AND_CA, (version(1, A_AND_CA, ago=40 * DAY),), "start"),
    ],
)
def test_no_action_is_safe_while_the_clock_is_wrong(
    states: dict[str, State], versions: tuple[Version, ...], act: str
) -> None:
    """The gate would refuse the command of the action, and its date may be wrong."""
    past = PinHistory(known=frozenset({pin("b"), pin("c")}))
    seen = (sighting("a", "ca") if act == "start" else sighting("a"),)
    pins = pin_set(states, len(versions))
    right = ServerDate("api.bank.example", NOW, NOW)
    for server, invariants in ((right, set()), (replace(right, date=NOW - 30 * DAY), {"clock"})):
        evidence = TimeEvidence(dates=(server,))
        found = following(situation(pins, *versions, seen=seen, past=past, evidence=evidence))
        assert found.act == act
        assert {each.invariant for each in found.violations} == invariants


def test_a_wrong_clock_does_not_hide_an_emergency() -> None:
    evidence = TimeEvidence(dates=(ServerDate("api.bank.example", NOW - 30 * DAY, NOW),))
    past = PinHistory(compromised=frozenset({pin("a")}))
    known = situation(pin_set(AB), OUT, seen=SEEN, past=past, evidence=evidence)
    assert following(known) == NextStep("emergency", pin("a"))


def test_a_mark_in_the_pin_file_is_an_emergency_too() -> None:
    """A person marked the key, at another host, and the journal does not have the theft."""
    known = situation(pin_set(ABC), OUT, seen=SEEN)
    marked = replace(
        known.policy,
        pattern=HostPattern.parse("other.example"),
        pins=tuple(
            replace(entry, state="compromised") if entry.pin == pin("a") else entry
            for entry in known.policy.pins
        ),
    )
    pins = replace(known.pins, policies=(known.policy, marked))
    assert following(replace(known, pins=pins)) == NextStep("emergency", pin("a"))


def test_a_refused_chain_is_repaired_before_anything_else_is_begun() -> None:
    known = situation(pin_set(AB), OUT, seen=(*SEEN, sighting("x", vantage="192.0.2.8:443")))
    assert following(known) == NextStep("repair", pin("a"), servers=("192.0.2.8:443",))
    no_backup = replace(known, sightings=(sighting("a", "b"), sighting("x")))
    assert following(no_backup).act == "repair"


REFUSED = (sighting("x"),)


def test_a_lock_out_is_repaired_before_a_version_goes_out() -> None:
    """The new version would not help, and may lock out the clients that are left."""
    waiting = replace(version(2, ABC, ago=DAY), pending=True)
    pending = situation(pin_set(ABC, 2), OUT, waiting, seen=REFUSED)
    assert (following(pending).act, following(pending).pin) == ("repair", pin("a"))
    started = situation(pin_set({**AB, "x": "staged"}, 2), OUT, seen=REFUSED)
    assert following(started, differs=True).act == "repair"


def test_a_lock_out_is_repaired_before_a_new_key_is_installed() -> None:
    """The new key is one that clients do not accept yet: its `switch` was forced."""
    states: dict[str, State] = {"a": "active", "b": "published", "x": "active"}
    known = situation(pin_set(states), OUT, seen=(sighting("y"),))
    found = following(known, {"x": 1})
    assert (found.act, found.pin) == ("repair", pin("a"))


def test_a_repair_needs_no_confirmed_time_and_no_known_servers() -> None:
    """No server confirms the time while none has a chain that verifies."""
    states: dict[str, State] = {**AB, "c": "published"}
    old = version(1, {"z": "active", "y": "published"}, ago=90 * DAY)  # it has ended
    new = version(2, states, ago=40 * DAY)
    waiting = replace(version(3, states, ago=DAY), pending=True)
    seen = (replace(sighting("x"), server="api.bank.example:443"),)
    known = situation(pin_set(states, 3), old, new, waiting, seen=seen, evidence=TimeEvidence())
    assert check_step(known, "serve", pin("b"))[0].invariant == "clock"
    assert (following(known).act, following(known).pin) == ("repair", pin("a"))
    forgotten = ServerObservation(known.pattern, "192.0.2.99:443", NOW - DAY, pin("a"), "")
    retiring = pin_set({"a": "retiring", "b": "published", "c": "published"}, 3)
    unlisted = replace(known, evidence=None, pins=retiring, observed=(forgotten,))
    assert check_step(unlisted, "serve", pin("a"))[0].invariant == "unlisted"
    assert (following(unlisted).act, following(unlisted).pin) == ("repair", pin("a"))


def test_a_server_that_only_clients_with_a_slow_clock_refuse_is_repaired() -> None:
    for ago, act in ((TIMING.skew / 2, "repair"), (TIMING.skew, "none")):
        pins = pin_set(AB, expires=NOW - ago, on_expiry="fail-open")
        known = situation(pins, replace(OUT, pins=pins), seen=REFUSED)
        assert following(known).act == act


def test_an_extension_names_what_else_is_wrong_with_the_draft() -> None:
    soon = replace(OUT, pins=pin_set(AB, expires=NOW + 5 * DAY))
    draft = pin_set({"x": "active", "b": "published"}, 2, expires=NOW + 5 * DAY)
    found = following(situation(draft, soon, seen=SEEN), differs=True)
    assert (found.act, [each.invariant for each in found.violations]) == (
        "extend",
        ["served-chain"],
    )


def test_a_repair_names_the_key_that_servers_were_allowed_to_use_last() -> None:
    states: dict[str, State] = {"a": "active", "b": "active", "c": "published"}
    known = situation(pin_set(states), version(1, states, ago=40 * DAY), seen=REFUSED)
    assert following(known, {"b": 1}).pin == pin("b")


def test_if_clients_accept_no_key_that_is_left_a_version_goes_out_first() -> None:
    states: dict[str, State] = {"c": "active", "d": "published"}
    known = situation(pin_set(states, 2), OUT, seen=(sighting("c"),))
    assert following(known, differs=True).act == "publish"
    waiting = replace(version(2, states, ago=DAY), pending=True)
    assert following(situation(waiting.pins, OUT, waiting, seen=(sighting("c"),))).act == "push"


def test_a_stolen_or_lost_key_repairs_nothing() -> None:
    """The clients of a binary accept no other."""
    old = replace(OUT, fetched=None, bundled=NOW - 400 * DAY)
    states: dict[str, State] = {"c": "active", "d": "published", "a": "compromised"}
    new = version(2, states, ago=DAY)
    past = PinHistory(compromised=frozenset({pin("a")}), lost=frozenset({pin("b")}))
    known = situation(new.pins, old, new, seen=(sighting("c"),), past=past)
    assert following(known) == NextStep("repair", servers=("192.0.2.7:443",))


def test_pins_that_expire_early_are_extended_unless_a_later_version_is_out() -> None:
    soon = replace(OUT, pins=pin_set(AB, expires=NOW + 5 * DAY))
    assert following(situation(soon.pins, soon, seen=SEEN)) == NextStep("extend")
    late = replace(version(2, AB, ago=DAY), pins=pin_set(AB, 2, expires=NOW + 400 * DAY))
    assert following(situation(late.pins, soon, late, seen=SEEN)) == NextStep("none")
    draft = pin_set(AB, 3, expires=NOW + 5 * DAY)
    refused = following(situation(draft, soon, late, seen=SEEN), differs=True)
    assert (refused.act, refused.violations[0].invariant) == ("publish", "expiry")


def test_pins_are_extended_before_a_version_or_a_key_that_does_not_extend_them() -> None:
    soon = replace(OUT, pins=pin_set(AB, expires=NOW + 5 * DAY))
    staged: dict[str, State] = {**AB, "c": "staged"}
    draft = pin_set(staged, 2, expires=NOW + 5 * DAY)
    assert following(situation(draft, soon, seen=SEEN), differs=True) == NextStep("extend")
    later = pin_set(staged, 2, expires=NOW + 400 * DAY)
    assert following(situation(later, soon, seen=SEEN), differs=True).act == "publish"
    both: dict[str, State] = {"a": "active", "b": "active", "c": "published"}
    pins = pin_set(both, expires=NOW + 5 * DAY)
    uninstalled = situation(pins, replace(version(1, both, ago=40 * DAY), pins=pins), seen=SEEN)
    assert following(uninstalled, {"b": 1}) == NextStep("extend")
