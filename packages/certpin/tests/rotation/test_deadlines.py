"""Deadlines of rotations: the last safe time to publish before clients' pins expire.

Also until when clients accept a stolen key.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.lab import Authority
from certpin.pins import HostPattern
from certpin.rotation import (
    AppRelease,
    ExposureStage,
    check_step,
    exposure_text,
    key_exposure,
    publish_deadlines,
)
from tests import kit
from tests.rotation._situations import (
    DAY,
    HOUR,
    NOW,
    TIMING,
    bundled,
    pin,
    pin_set,
    sighting,
    situation,
    version,
)

if TYPE_CHECKING:
    from certpin.pins import State

AB: dict[str, State] = {"a": "active", "b": "published"}
BC: dict[str, State] = {"b": "active", "c": "published"}
EXPIRES = NOW + 60 * DAY
SECOND = timedelta(seconds=1)


def expiring(number: int = 1, *, ago: timedelta = 90 * DAY, **fields: Any) -> Any:
    return replace(
        version(number, AB, ago=ago, clients=7), pins=pin_set(AB, number, expires=EXPIRES, **fields)
    )


def test_the_last_safe_time_to_publish_is_t_adopt_before_the_expiry() -> None:
    old = expiring()
    (found,) = publish_deadlines(situation(pin_set(AB, 2), old))
    assert found.publish_before == EXPIRES - TIMING.adopt
    assert (found.version, found.way, found.clients) == (1, "fetch", 7)
    assert not found.is_late(EXPIRES - TIMING.adopt)
    assert found.is_late(EXPIRES - TIMING.adopt + SECOND)
    assert found.text(NOW) == (
        "the pins of version 1 expire on 2027-04-30 12:00 UTC: "
        "publish the next version by 2027-04-20 12:00 UTC"
    )


@given(late=st.integers(-40, 40))
def test_the_deadline_is_the_last_time_at_which_the_gate_finds_no_expired_client(late: int) -> None:
    """A version published ``late`` seconds after the deadline leaves clients with expired pins.

    If it is published at the deadline or before, no client's pins expire.
    """
    old = expiring()
    (found,) = publish_deadlines(situation(pin_set(AB, 2), old))
    assert found.publish_before
    moment = found.publish_before + late * SECOND
    after = situation(pin_set(AB, 2), old)
    deployed = after.deployed.with_version(pin_set(AB, 2), moment)
    end = deployed.end_of_life(old, TIMING)
    assert end
    assert (end > EXPIRES) == found.is_late(moment) == (late > 0)


def test_a_version_that_only_an_app_replaces_has_no_publish_date() -> None:
    old = replace(expiring(), fetched=None, bundled=NOW - 90 * DAY)
    (found,) = publish_deadlines(situation(pin_set(AB, 2), old))
    assert (found.publish_before, found.way) == (None, "app")
    assert not found.is_late(EXPIRES)
    assert found.is_late(EXPIRES + SECOND)
    assert "only a release of the app" in found.text(NOW)
    assert "certpin rotate shipped 1 --ended" in found.text(NOW)
    assert found.json(NOW) == {
        "host": "api.bank.example",
        "what": "pins",
        "version": 1,
        "expires": "2027-04-30T12:00:00+00:00",
        "publish_before": None,
        "late": False,
        "way": "app",
        "clients": 7,
    }


def test_a_deadline_names_the_forced_update_once_a_release_with_later_pins_is_out() -> None:
    releases = [AppRelease("app", str(number), NOW - number * DAY) for number in (1, 2)]
    old = replace(expiring(), fetched=None, bundled=NOW - 90 * DAY, releases=(releases[0],))
    new = replace(version(2, AB, ago=DAY), fetched=None, bundled=NOW - DAY, releases=(releases[1],))
    (found,) = publish_deadlines(situation(pin_set(AB, 2), old, new))
    assert "before 2027-04-30 12:00 UTC" in found.advice
    assert (
        found.text(NOW) == f"the pins of version 1 expire on 2027-04-30 12:00 UTC: {found.advice}"
    )
    assert found.is_late(EXPIRES + SECOND)
    assert found.json(EXPIRES + SECOND)["late"] is False
    (found,) = publish_deadlines(situation(pin_set(AB, 2), old))
    assert found.advice == ""
    assert found.json(EXPIRES + SECOND)["late"] is True


def test_an_app_that_fetches_versions_has_a_publish_date() -> None:
    release = AppRelease("app", "1", NOW - 90 * DAY, updates=True)
    old = replace(expiring(), fetched=None, bundled=NOW - 90 * DAY, releases=(release,))
    (found,) = publish_deadlines(situation(pin_set(AB, 2), old))
    assert (found.publish_before, found.way) == (EXPIRES - TIMING.adopt, "fetch")
    twice = replace(old, releases=(release, replace(release, name="2", updates=False)))
    (found,) = publish_deadlines(situation(pin_set(AB, 2), twice))
    assert (found.publish_before, found.way) == (None, "app")


def test_a_version_that_is_replaced_in_time_has_no_deadline() -> None:
    now = situation(pin_set(AB, 3), expiring(), version(2, AB, ago=5 * DAY))
    assert publish_deadlines(now) == ()


@pytest.mark.parametrize("fields", [{"on_expiry": "fail-open"}, {"mode": "report"}])
def test_pins_that_lock_nobody_out_have_no_deadline(fields: dict[str, Any]) -> None:
    assert publish_deadlines(situation(pin_set(AB, 2), expiring(**fields))) == ()


def test_a_late_deadline_is_reported_as_late() -> None:
    old = replace(expiring(), pins=pin_set(AB, 1, expires=NOW + 3 * DAY))
    (found,) = publish_deadlines(situation(pin_set(AB, 2), old))
    assert found.is_late(NOW)
    assert "it was safe to publish the next until 2027-02-22 12:00 UTC" in found.text(NOW)


def root(days: float) -> Authority:
    return Authority("Root", now=NOW, days=days)


def trusting(*authorities: Authority, **fields: Any) -> Any:
    """Return version 1, which clients fetch, with these authorities as the trust anchors."""
    pins = pin_set(AB, trust=kit.anchors(*authorities), **fields)
    return replace(version(1, AB, ago=90 * DAY, clients=7), pins=pins)


@pytest.mark.parametrize("mode", ["enforce", "report"])
def test_the_last_anchor_that_expires_has_a_deadline_in_each_mode(mode: str) -> None:
    (found,) = publish_deadlines(situation(pin_set(AB, 2), trusting(root(20), root(60), mode=mode)))
    assert (found.what, found.expires) == ("anchors", EXPIRES)
    assert found.publish_before == EXPIRES - TIMING.adopt
    assert found.json(NOW)["what"] == "anchors"
    assert found.text(NOW) == (
        "the trust anchors of version 1 expire on 2027-04-30 12:00 UTC: publish the next version, "
        "with the next root in the trust file, by 2027-04-20 12:00 UTC"
    )
    late = "it was safe to publish the next, with the next root in the trust file, until 2027-04-20"
    assert late in found.text(EXPIRES)


def test_anchors_have_a_deadline_in_its_last_year_only() -> None:
    last = 365 + TIMING.adopt.days
    assert publish_deadlines(situation(pin_set(AB, 2), trusting(root(last + 1)))) == ()
    assert publish_deadlines(situation(pin_set(AB, 2), trusting(root(last)))) != ()


def test_pins_and_anchors_have_a_deadline_each_the_earliest_first() -> None:
    old = trusting(root(30), expires=EXPIRES)
    found = publish_deadlines(situation(pin_set(AB, 2), old))
    assert [each.what for each in found] == ["anchors", "pins"]


def test_a_stolen_key_is_accepted_until_the_last_version_with_it_has_ended() -> None:
    old, new = version(1, AB, ago=90 * DAY), version(2, BC, ago=DAY)
    now = situation(pin_set(BC, 3), old, new, seen=(sighting("b"),))
    found = key_exposure(now, pin("a"))
    assert found.until == NOW - DAY + TIMING.adopt
    assert [stage.versions for stage in found.stages] == [(1,)]


def test_without_a_publish_the_exposure_has_no_end_and_with_one_it_has() -> None:
    old = version(1, AB, ago=90 * DAY, clients=7)
    now = situation(pin_set(BC, 2), old, seen=(sighting("a"),))
    assert key_exposure(now, pin("a")).stages == (ExposureStage(None, (1,), 7),)
    published = key_exposure(now, pin("a"), published=NOW + DAY)
    assert published.until == NOW + DAY + TIMING.adopt
    assert exposure_text(published) == (
        "7 clients may accept the key; those with version 1 until 2027-03-12 12:00 UTC",
    )


def test_a_binary_accepts_a_stolen_key_until_its_end_is_recorded() -> None:
    binary = bundled(1, AB, ago=400 * DAY, clients=3)
    now = situation(pin_set(BC, 3), binary, version(2, AB, ago=90 * DAY, clients=4))
    first, last = key_exposure(now, pin("a"), published=NOW).stages
    assert (first.until, first.versions) == (NOW + TIMING.adopt, (2,))
    assert (last.until, last.versions) == (None, (1,))


def test_a_key_that_every_version_refuses_is_not_exposed() -> None:
    now = situation(pin_set(BC, 2), version(1, BC, ago=90 * DAY))
    found = key_exposure(now, pin("a"))
    assert (found.stages, found.clients, found.until) == ((), 0, None)
    assert exposure_text(found) == ("no client accepts the key",)
    assert found.json()["clients"] == 0


def test_a_version_without_the_host_accepts_no_stolen_key_there() -> None:
    """The host was added later, and the key was stolen at another host before."""
    other = HostPattern.parse("other.example")
    before = version(1, AB, ago=90 * DAY)
    (policy,) = before.pins.policies
    elsewhere = replace(before.pins, policies=(replace(policy, pattern=other),))
    now = situation(pin_set(BC, 2), replace(before, pins=elsewhere), version(2, BC, ago=DAY))
    assert key_exposure(now, pin("a")).stages == ()


def test_clients_with_expired_pins_accept_no_stolen_key() -> None:
    fields = {"expires": NOW - DAY}
    old = replace(version(1, AB, ago=90 * DAY), pins=pin_set(AB, 1, **fields))
    assert key_exposure(situation(pin_set(BC, 2), old), pin("a")).stages == ()
    fields["expires"] = NOW - HOUR
    slow = replace(old, pins=pin_set(AB, 1, **fields))
    assert key_exposure(situation(pin_set(BC, 2), slow), pin("a")).stages, "with a slow clock"
    opened = pin_set(AB, 1, **fields, on_expiry="fail-open")
    assert key_exposure(situation(pin_set(BC, 2), replace(old, pins=opened)), pin("a")).stages


def test_the_exposed_versions_are_those_that_the_gate_doesn_t_count_as_refusing() -> None:
    old, new = version(1, AB, ago=90 * DAY), version(2, BC, ago=DAY)
    now = situation(pin_set(BC, 3), old, new)
    (refused,) = check_step(now, "serve", pin("a"))
    assert "version 2" in refused.problem
    assert key_exposure(now, pin("a")).stages[0].versions == (1,)
