"""Root sets in policies: the pins of a set, and what changed since a policy was written."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest

from certpin.pins import HostPattern, HostPin, HostPolicy
from certpin.providers import change_text, complete_sets, policy_change, root_pins, set_change
from tests.providers._data import EDITION, TODAY, data, pin, provider, root

if TYPE_CHECKING:
    from certpin.pins import State

DATA = data()
ONE, TWO, CDN = (DATA.providers[name] for name in ("one", "two", "cdn"))
OF_ONE = root_pins([ONE], TODAY)


def test_a_set_has_every_root_with_its_provider_and_expiry() -> None:
    assert [(each.pin, each.provider, each.not_after, each.note) for each in OF_ONE] == [
        (pin(1), ("one",), date(2040, 1, 1), "Root 1"),
        (pin(2), ("one",), date(2040, 1, 1), "Root 2"),
    ]
    assert {(each.role, each.state) for each in OF_ONE} == {("root", "active")}


def test_a_root_of_two_providers_is_listed_once_with_both() -> None:
    found = root_pins([TWO, CDN], TODAY)
    assert [each.pin for each in found] == [pin(3), pin(4), pin(1), pin(2)]
    assert found[0].provider == ("two", "cdn")
    assert found[2].provider == ("cdn",)


@pytest.mark.parametrize(("days", "count"), [(0, 2), (-1, 1)])
def test_a_root_is_in_the_set_on_its_last_day_and_not_after(days: int, count: int) -> None:
    ending = provider("one", root(1), root(2, TODAY + timedelta(days)))
    assert len(root_pins([ending], TODAY)) == count


def test_an_unchanged_set_is_no_change() -> None:
    change = set_change(OF_ONE, EDITION, DATA, TODAY)
    assert not change.is_change
    assert change.providers == ("one",)
    assert change_text(change, EDITION) == ""


def test_a_new_root_is_added() -> None:
    change = set_change(OF_ONE[:1], EDITION, DATA, TODAY)
    assert [each.pin for each in change.added] == [pin(2)]
    assert change_text(change, EDITION) == (
        "the roots of one changed (data of 2026-11-28): new: Root 2"
    )


def test_a_root_that_the_provider_gave_up_is_dropped() -> None:
    old = HostPin(pin(7), "root", provider=("one",), note="Old Root")
    change = set_change((*OF_ONE, old), EDITION, DATA, TODAY)
    assert change.dropped == (old,)
    assert "no longer used: Old Root" in change_text(change, EDITION)


def test_a_pin_without_provider_is_never_dropped() -> None:
    own = HostPin(pin(7), "backup", "published")
    assert not set_change((*OF_ONE, own), EDITION, DATA, TODAY).is_change


@pytest.mark.parametrize("state", ["removed", "compromised"])
def test_a_dead_entry_of_a_set_is_not_added_again_and_makes_it_incomplete(state: State) -> None:
    kept, gone = OF_ONE
    dead = replace(gone, state=state)
    change = set_change((kept, dead), EDITION, DATA, TODAY)
    assert (change.added, change.not_accepted, change.has_edits) == ((), (dead,), False)
    assert change.is_change
    assert change_text(change, EDITION) == (
        "the roots of one are not all in the set (data of 2026-11-28): "
        f"not accepted by clients: Root 2 ({state})"
    )


def test_dead_roots_of_a_provider_to_add_are_not_accepted() -> None:
    left = [replace(each, state="removed", note="") for each in OF_ONE]
    assert not set_change(left, EDITION, DATA, TODAY).is_change
    change = set_change(left, EDITION, DATA, TODAY, ["one"])
    assert [each.note for each in change.not_accepted] == ["Root 1", "Root 2"]


def test_a_root_that_another_named_provider_uses_too_is_relabelled() -> None:
    mixed = (*OF_ONE, *root_pins([TWO], TODAY)[:1], HostPin(pin(4), "root", provider=("cdn",)))
    change = set_change(mixed, EDITION, DATA, TODAY)
    assert {each.pin: each.provider for each in change.relabelled} == {
        pin(1): ("one", "cdn"),
        pin(2): ("one", "cdn"),
        pin(3): ("two", "cdn"),
        pin(4): ("two", "cdn"),
    }


def test_a_policy_of_a_later_edition_is_never_changed() -> None:
    later = EDITION + timedelta(1)
    change = set_change(OF_ONE[:1], later, DATA, TODAY)
    assert change.newer
    assert not change.is_change


def test_an_unknown_provider_is_named_and_its_pins_stay() -> None:
    other = HostPin(pin(7), "root", provider=("nobody",))
    change = set_change((*OF_ONE, other), EDITION, DATA, TODAY)
    assert change.unknown == ("nobody",)
    assert not change.is_change


def test_the_edition_of_a_policy_counts() -> None:
    policy = HostPolicy(HostPattern("", "a.example"), OF_ONE, match="ca", provider_edition=EDITION)
    assert policy.is_own_backup
    assert not policy_change(policy, DATA, TODAY).newer
    older = data(edition=EDITION - timedelta(1))
    assert policy_change(policy, older, TODAY).newer


@pytest.mark.parametrize(
    ("entries", "complete"),
    [
        (OF_ONE, ("one",)),
        (OF_ONE[:1], ()),
        ((OF_ONE[0], replace(OF_ONE[1], state="removed")), ()),
        (root_pins([CDN], TODAY), ("cdn", "one", "two")),
    ],
)
def test_a_set_is_complete_with_every_root(
    entries: tuple[HostPin, ...], complete: tuple[str, ...]
) -> None:
    assert complete_sets(entries, DATA, TODAY) == complete


def test_two_lost_roots_are_no_backup() -> None:
    lost = tuple(replace(each, state="lost") for each in OF_ONE)
    policy = HostPolicy(HostPattern("", "a.example"), lost, match="ca")
    assert not policy.is_own_backup
