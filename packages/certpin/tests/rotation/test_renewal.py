"""From when on servers may change to a key, and which keys a rotation has replaced."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from certpin.pins import HostPin, State
from certpin.rotation import Version
from certpin.rotation.plan import with_published, with_staged
from certpin.rotation.renewal import (
    SwitchDate,
    in_flight,
    is_last_spare,
    latest_of,
    old_pins,
    switch_date,
)
from tests.rotation._situations import (
    DAY,
    NOW,
    TIMING,
    bundled,
    pin,
    pin_set,
    root_set,
    sighting,
    situation,
    version,
)

if TYPE_CHECKING:
    from certpin.rotation import Situation

AB: dict[str, State] = {"a": "active", "b": "published"}
ABC: dict[str, State] = {**AB, "c": "published"}
OLD = version(1, AB, ago=40 * DAY)


def test_a_backup_that_every_client_accepts_may_be_used_now() -> None:
    assert switch_date(situation(pin_set(AB), OLD), pin("b")) == SwitchDate(now=True)


def test_a_new_key_counts_from_the_version_that_goes_out_now() -> None:
    here = with_staged(situation(pin_set(AB), OLD), pin("c"))
    date = switch_date(here, pin("c"))
    assert (date.now, date.counts_from_now, date.moment) == (False, True, NOW + TIMING.adopt)
    assert date.refusing == (OLD,)


def test_a_published_key_has_its_own_date() -> None:
    out = version(2, ABC, ago=3 * DAY)
    date = switch_date(situation(pin_set(ABC), OLD, out), pin("c"))
    assert (date.counts_from_now, date.moment) == (False, NOW - 3 * DAY + TIMING.adopt)


def test_a_signed_version_that_is_not_pushed_counts_from_a_push_now() -> None:
    pending = replace(version(2, ABC, ago=3 * DAY), pending=True)
    date = switch_date(situation(pin_set(ABC), OLD, pending), pin("c"))
    assert (date.counts_from_now, date.moment) == (True, NOW + TIMING.adopt)


def test_a_binary_without_an_end_gives_no_date() -> None:
    here = with_staged(situation(pin_set(AB), bundled(1, AB, ago=40 * DAY)), pin("c"))
    assert switch_date(here, pin("c")).moment is None
    known = SwitchDate(now=False, moment=NOW)
    assert latest_of([known, switch_date(here, pin("c"))]).moment is None


def test_of_several_hosts_the_latest_date_counts() -> None:
    early, late = SwitchDate(now=False, moment=NOW), SwitchDate(now=False, moment=NOW + DAY)
    assert latest_of([early, late, SwitchDate(now=True)]).moment == NOW + DAY
    assert latest_of([SwitchDate(now=True)]).now


def _with_leaves(*names: str) -> Situation:
    here = situation(pin_set(AB), OLD)
    entries = [HostPin(pin(name), "leaf", "active") for name in names]
    policy = replace(here.policy, pins=(*entries, HostPin(pin("spare"), "backup", "active")))
    return replace(here, pins=replace(here.pins, policies=(policy,)))


def test_a_key_is_old_if_a_later_one_was_let_in() -> None:
    here = _with_leaves("a", "b", "c")
    times = {pin("b"): NOW - 9 * DAY, pin("c"): NOW}
    assert old_pins(here, times) == (pin("a"), pin("b"))
    assert old_pins(here, {pin("c"): NOW, pin("b"): NOW}) == (pin("a"),)


def test_no_key_is_old_before_the_gate_let_another_one_in() -> None:
    assert old_pins(_with_leaves("a", "b"), {}) == ()


def test_a_backup_is_never_old() -> None:
    here = _with_leaves("a")
    assert old_pins(here, {pin("spare"): NOW}) == ()


def test_a_rotation_is_in_flight_until_every_client_accepts_its_key() -> None:
    here = with_published(with_staged(situation(pin_set(AB), OLD), pin("c")))
    assert in_flight(here) == (pin("c"),)
    later = replace(here, now=NOW + TIMING.adopt)
    assert in_flight(later) == ()


def test_the_last_spare_is_one_that_nothing_replaces() -> None:
    here = situation(pin_set(AB), OLD, seen=(sighting("a"),))
    assert is_last_spare(here, pin("b"))
    assert not is_last_spare(with_staged(here, pin("c")), pin("b"))


def test_a_root_set_has_no_last_spare() -> None:
    pins = root_set("x1", "x2")
    out = Version(pins, fetched=NOW - 40 * DAY)
    assert not is_last_spare(situation(pins, out, seen=(sighting("leaf", "x2", "x1"),)), pin("x2"))
