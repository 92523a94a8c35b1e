"""App releases with bundled pin sets: when the last user has left a release.

Also the adoption curves, which give the share of users with a release over time.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import FormatError, InputError, JournalError
from certpin.rotation import AppRelease, DeployedVersions, Event, History, Version, parse_journal
from certpin.rotation.exports import MAX_CURVE_BYTES, read_curve
from certpin.rotation.journal import format_journal
from certpin.rotation.releases import (
    MAX_POINTS,
    adoption_curve,
    check_name,
    format_curve,
    parse_curve,
    parse_share,
)
from tests.rotation._situations import DAY, NOW, TIMING, pin_set, version

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.pins import State

AB: dict[str, State] = {"a": "active", "b": "published"}
ABC: dict[str, State] = {**AB, "c": "published"}
WHOLE = Fraction(1)


def release(name: str, *, ago: int, app: str = "bank", **fields: Any) -> AppRelease:
    return AppRelease(app, name, NOW - ago * DAY, **fields)


def shipped(number: int, *releases: AppRelease, **fields: Any) -> Version:
    first = min(each.shipped for each in releases)
    return Version(pin_set(AB, number), bundled=first, releases=releases, **fields)


def end(*versions: Version) -> datetime | None:
    """Return when the last client has left the first version; ``None`` if that is unknown."""
    return DeployedVersions(versions).end_of_life(versions[0], TIMING)


OLD = release("1.0", ago=100)


def test_a_release_has_no_end_until_a_fact_about_it_is_recorded() -> None:
    assert end(shipped(1, OLD), shipped(2, release("2.0", ago=50))) is None


def test_the_end_of_its_support_ends_a_release_only_when_it_has_passed() -> None:
    old = shipped(1, replace(OLD, end=NOW + 9 * DAY))
    deployed = DeployedVersions((old,))
    assert end(old) == NOW + 9 * DAY
    assert deployed.alive(NOW + 9 * DAY - timedelta(seconds=1), TIMING) == (old,)
    assert deployed.alive(NOW + 9 * DAY, TIMING) == ()


def test_a_forced_update_ends_the_earlier_releases_of_the_app() -> None:
    forced = release("2.0", ago=50, forced=NOW + DAY)
    assert end(shipped(1, OLD), shipped(2, forced)) == NOW + DAY
    assert end(shipped(2, forced), shipped(1, OLD)) is None
    assert end(shipped(1, OLD), shipped(2, replace(forced, app="other"))) is None
    later = release("3.0", ago=120, forced=NOW + DAY)  # shipped before 1.0
    assert end(shipped(1, OLD), shipped(2, later)) is None


def test_a_curve_that_reaches_all_users_ends_the_earlier_releases() -> None:
    curve = ((7, Fraction(1, 2)), (60, WHOLE))
    new = release("2.0", ago=50, curve=curve)
    assert end(shipped(1, OLD), shipped(2, new)) == NOW + 10 * DAY
    part = replace(new, curve=((7, Fraction(1, 2)), (60, Fraction(999, 1000))))
    assert end(shipped(1, OLD), shipped(2, part)) is None
    assert end(shipped(1, OLD), shipped(2, replace(new, measured=True))) is None


def test_an_app_that_updates_itself_leaves_a_version_that_is_superseded() -> None:
    old = shipped(1, replace(OLD, updates=True))
    fetched = version(2, ABC, ago=60 * DAY)
    assert end(old, fetched) is None  # a new user installs the old release
    later = shipped(2, release("2.0", ago=20, updates=True))
    assert end(old, fetched, later) == NOW - 20 * DAY + TIMING.adopt
    assert end(shipped(1, OLD), fetched, later) is None  # this release doesn't update itself
    pending = replace(fetched, pending=True)
    assert end(old, pending, later) is None


def test_an_update_counts_from_the_later_of_version_and_release() -> None:
    old = shipped(1, replace(OLD, updates=True))
    later = shipped(2, release("2.0", ago=60, updates=True))
    assert end(old, version(2, ABC, ago=5 * DAY), later) == NOW - 5 * DAY + TIMING.adopt


def test_a_version_lives_as_long_as_the_last_way_to_clients() -> None:
    two = shipped(1, replace(OLD, end=NOW + DAY), release("7", ago=9, app="tv", end=NOW + 5 * DAY))
    assert end(two) == NOW + 5 * DAY
    both = replace(shipped(1, replace(OLD, end=NOW + DAY)), fetched=NOW - 90 * DAY)
    assert end(both) is None
    assert end(both, version(2, ABC, ago=3 * DAY)) == NOW - 3 * DAY + TIMING.adopt
    assert end(both, version(2, ABC, ago=30 * DAY)) == NOW + DAY


def event(number: int, *, ago: int, **facts: Any) -> Event:
    moment = NOW - ago * DAY
    clients = facts.pop("clients", None)
    of_app = AppRelease("bank", facts.pop("name"), moment, clients=clients, **facts)
    return Event(
        moment,
        "ada",
        "publish",
        version=number,
        bundled=True,
        clients=clients,
        pins=pin_set(AB, number),
        release=of_app,
    )


def test_the_journal_keeps_every_fact_about_a_release() -> None:
    facts: dict[str, Any] = {
        "updates": True,
        "curve": ((0, Fraction(0)), (7, Fraction(1, 8)), (30, WHOLE)),
        "end": NOW + 40 * DAY,
        "forced": NOW + 20 * DAY,
        "clients": 12,
    }
    events = (event(1, ago=9, name="4.2.0", **facts),)
    assert parse_journal(format_journal(events)) == events


def test_later_facts_about_a_release_count_and_the_others_stay() -> None:
    first = event(1, ago=30, name="1.0", end=NOW + 90 * DAY, clients=7)
    curve = ((5, Fraction(1, 2)),)
    later = event(1, ago=5, name="1.0", curve=curve, updates=True)
    (found,) = History((first, later)).deployed.versions
    assert found.bundled == NOW - 30 * DAY
    (of_app,) = found.releases
    assert (of_app.shipped, of_app.end, of_app.clients) == (NOW - 30 * DAY, NOW + 90 * DAY, 7)
    assert (of_app.curve, of_app.updates) == (curve, True)
    counted = event(1, ago=2, name="1.0", clients=900)
    ((again,),) = (each.releases for each in History((first, later, counted)).deployed.versions)
    assert (again.updates, again.clients) == (True, 900), "the app still fetches versions"


def test_a_version_that_is_given_out_before_its_push_is_out_from_then_on() -> None:
    """A version that was signed first counts as published only when clients could fetch it.

    With the date of the signature, the previous version would end too early.
    """
    signed = Event(NOW - 50 * DAY, "ada", "publish", version=1, signed=True, pins=pin_set(AB, 1))
    given = replace(signed, time=NOW - DAY, signed=False)
    (found,) = History((signed, given)).deployed.versions
    assert (found.fetched, found.pending) == (NOW - DAY, False)


@pytest.mark.parametrize(
    "change",
    [
        ('"app": "bank"', '"app": ""'),
        ('"name": "1.0"', '"name": 1'),
        ('"curve": "5=50%"', '"curve": "5=50%,4=60%"'),
        ('"curve": "5=50%"', '"curve": "5=50%,6=40%"'),
        ('"curve": "5=50%"', '"curve": "5=101%"'),
        ('"end": "', '"end": "x'),
        ('"bundled": true, ', ""),
    ],
)
def test_an_invalid_release_in_the_journal_is_an_error(change: tuple[str, str]) -> None:
    good = format_journal([event(1, ago=5, name="1.0", curve=((5, Fraction(1, 2)),), end=NOW)])
    assert change[0] in good
    parse_journal(good)
    with pytest.raises(JournalError):
        parse_journal(good.replace(*change))


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 101, "\x1b[1m"])
def test_a_name_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="no name of an app"):
        check_name(name, "an app")


SHARES = st.integers(0, 10**11).map(lambda number: Fraction(number, 10**11))
CURVES = st.lists(st.integers(0, 3650), min_size=1, max_size=9, unique=True).flatmap(
    lambda days: st.lists(SHARES, min_size=len(days), max_size=len(days)).map(
        lambda shares: tuple(zip(sorted(days), sorted(shares), strict=True))
    )
)


@given(CURVES)
def test_a_curve_is_read_as_it_was_written(curve: Any) -> None:
    assert parse_curve(format_curve(curve)) == curve
    rows = "".join(f"{part.replace('=', ',')}\r\n" for part in format_curve(curve).split(","))
    assert read_curve(f"day,share\r\n{rows}".encode()) == curve


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_are_a_curve_or_a_format_error(data: bytes) -> None:
    for each in (data, b"day,share\n" + data):
        try:
            curve = read_curve(each)
        except FormatError:
            continue
        assert parse_curve(format_curve(curve)) == curve


def test_a_curve_has_limits() -> None:
    with pytest.raises(FormatError, match=f"more than {MAX_CURVE_BYTES} bytes"):
        read_curve(b"day,share\n" + b" " * MAX_CURVE_BYTES)
    with pytest.raises(InputError, match=f"{MAX_POINTS + 1} points"):
        adoption_curve([(str(day), "0.5") for day in range(MAX_POINTS + 1)])
    with pytest.raises(InputError, match="not a day"):
        adoption_curve([("3651", "0.5")])


@pytest.mark.parametrize("text", ["", "-1%", "1.5", "100.1%", "nan", "1e3", "٣%", "1/2"])
def test_a_share_that_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not a share"):
        parse_share(text)
