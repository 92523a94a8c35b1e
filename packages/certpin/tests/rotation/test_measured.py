"""Reports of how many clients use which version, and their effect on the dates of a rotation.

They can extend the wait for old clients, and shorten it only if the operator sets a threshold.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import InputError
from certpin.rotation import (
    DeployedVersions,
    ReportedUsage,
    Threshold,
    Version,
    adoption,
    check_step,
    measured,
)
from tests.rotation._situations import (
    DAY,
    NOW,
    TIMING,
    bundled,
    pin,
    pin_set,
    situation,
    version,
)

if TYPE_CHECKING:
    from certpin.pins import State

AB: dict[str, State] = {"a": "active", "b": "published"}
ABC: dict[str, State] = {**AB, "c": "published"}
TODAY = NOW.replace(hour=0)
ENOUGH = Threshold(Fraction(999, 1000), 10_000)
OLD = version(1, AB, ago=60 * DAY)
NEW = version(2, ABC, ago=30 * DAY)
# T_adopt is ten days, of which two are what machines need: version 1 died twenty days ago.
DEATH = NOW - 30 * DAY + TIMING.adopt
RECENT = version(2, ABC, ago=9.5 * DAY)  # version 1 is alive for half a day more


def told(number: int, clients: int, *, ago: int = 1) -> ReportedUsage:
    return ReportedUsage(TODAY - ago * DAY, number, clients)


def week(number: int, clients: int) -> list[ReportedUsage]:
    return [told(number, clients, ago=ago) for ago in range(1, 8)]


def seen(
    *versions: Version, what: list[ReportedUsage], enough: Threshold | None = None
) -> DeployedVersions:
    return measured(DeployedVersions(versions), what, TIMING, NOW, enough)


def is_adopted(field: DeployedVersions) -> bool:
    draft = pin_set(ABC, 2)
    return adoption(situation(draft, *field.versions), pin("c")).adopted


def test_a_version_reported_after_its_expected_end_stays_alive() -> None:
    field = seen(OLD, NEW, what=[told(1, 1)])
    assert field.end_of_life(field.versions[0], TIMING) == TODAY - DAY + TIMING.adopt
    assert not is_adopted(field)
    assert is_adopted(DeployedVersions((OLD, NEW)))


def test_a_version_reported_before_its_expected_end_does_not_stay_longer() -> None:
    field = seen(OLD, RECENT, what=week(1, 50))
    assert field.end_of_life(field.versions[0], TIMING) == NOW + DAY / 2


def test_the_refusal_has_the_date_of_the_last_report() -> None:
    field = seen(OLD, NEW, what=[told(1, 3)])
    (violation,) = check_step(situation(pin_set(ABC, 2), *field.versions), "activate", pin("c"))
    assert "clients reported version 1 as late as 2027-02-28" in violation.problem
    assert violation.clients == 3
    assert violation.safe_from == TODAY - DAY + TIMING.adopt


def test_a_binary_reported_after_its_end_is_alive_until_its_end_is_recorded_again() -> None:
    over = bundled(1, AB, ago=90 * DAY, ended=NOW - 20 * DAY)
    field = seen(over, NEW, what=[told(1, 1)])
    assert field.end_of_life(field.versions[0], TIMING) is None
    again = seen(replace(over, ended=NOW), NEW, what=[told(1, 1)])
    assert is_adopted(again)


def test_reports_of_an_unpublished_version_are_ignored() -> None:
    field = seen(OLD, NEW, what=week(777, 1_000_000))
    assert field == DeployedVersions((OLD, NEW))


def test_the_number_of_clients_is_never_below_the_recorded_one() -> None:
    old = replace(OLD, clients=900)
    first, second = seen(old, NEW, what=[*week(1, 50), *week(2, 70)]).versions
    assert (first.clients, second.clients) == (900, 70)
    assert seen(OLD, NEW, what=[told(1, 5, ago=30)]).versions[0].clients is None


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 10**9), st.integers(0, 60)), max_size=40)
)
def test_false_reports_never_make_a_key_adopted_earlier(lies: list[tuple[int, int, int]]) -> None:
    """Without a threshold, no report shortens the time for which clients may have a version."""
    versions = (OLD, RECENT, bundled(3, ABC, ago=DAY), version(3, ABC, ago=DAY))
    field = seen(*versions, what=[told(number, n, ago=ago) for number, n, ago in lies])
    for before, after in zip(versions, field.versions, strict=True):
        end, then = (
            DeployedVersions(versions).end_of_life(before, TIMING),
            field.end_of_life(after, TIMING),
        )
        assert then is None or (end is not None and then >= end)


def test_without_a_threshold_no_flood_shortens_the_wait() -> None:
    assert not is_adopted(seen(OLD, RECENT, what=week(2, 10**12)))


def test_a_threshold_ends_a_version_before_the_last_user_opened_the_app() -> None:
    field = seen(OLD, RECENT, what=[*week(1, 10), *week(2, 12_000)], enough=ENOUGH)
    assert field.end_of_life(field.versions[0], TIMING) == TODAY
    assert is_adopted(field)


def test_a_flood_of_the_new_version_does_not_hide_reports_of_the_old_one() -> None:
    flood = [*week(1, 11), *week(2, 10**12)]
    assert not is_adopted(seen(OLD, RECENT, what=flood, enough=ENOUGH))


@pytest.mark.parametrize(
    "what",
    [
        [*week(1, 10)[:6], *week(2, 12_000)[:6]],  # a day is missing
        [*week(1, 0), *week(2, 9_999)],  # too few clients report
        [*week(1, 10)[:6], told(1, 11, ago=7), *week(2, 12_000)],  # one day with too many
        [*week(777, 12_000), *week(2, 10)],  # reports of an unpublished version don't count
    ],
)
def test_the_threshold_applies_to_every_day_of_the_cycle(what: list[ReportedUsage]) -> None:
    assert not is_adopted(seen(OLD, RECENT, what=what, enough=ENOUGH))


def test_the_delays_of_machines_are_never_shortened() -> None:
    young = version(2, ABC, ago=8 * DAY)  # a week ago it had not been out for two days
    what = [*week(1, 0), *week(2, 12_000)]
    assert not is_adopted(seen(OLD, young, what=what, enough=ENOUGH))


def test_clients_of_older_versions_count_as_lost_too() -> None:
    older = version(1, AB, ago=90 * DAY)
    middle = replace(version(2, AB, ago=60 * DAY))
    new = version(3, ABC, ago=9.5 * DAY)
    what = [*week(1, 6), *week(2, 6), *week(3, 12_000)]
    assert not is_adopted(seen(older, middle, new, what=what, enough=ENOUGH))


def test_a_threshold_never_ends_a_binary() -> None:
    what = [*week(1, 0), *week(2, 12_000)]
    for binary in (bundled(1, AB, ago=90 * DAY), replace(OLD, bundled=NOW - 90 * DAY)):
        assert not is_adopted(seen(binary, RECENT, what=what, enough=ENOUGH))


def test_a_threshold_ends_versions_that_are_reported_late() -> None:
    what = [*week(1, 10), *week(2, 12_000)]
    assert is_adopted(seen(OLD, NEW, what=what, enough=ENOUGH))
    assert not is_adopted(seen(OLD, NEW, what=what))


@pytest.mark.parametrize(
    ("share", "clients", "days"), [("1/2", 1, 7), ("2", 1, 7), ("1", 0, 7), ("1", 1, 6)]
)
def test_meaningless_thresholds_are_refused(share: str, clients: int, days: int) -> None:
    with pytest.raises(InputError):
        Threshold(Fraction(share), clients, days)


def test_a_clock_of_another_zone_has_the_same_days() -> None:
    from datetime import timezone

    what = [*week(1, 10), *week(2, 12_000)]
    there: datetime = NOW.astimezone(timezone(timedelta(hours=13)))
    field = measured(DeployedVersions((OLD, RECENT)), what, TIMING, there, ENOUGH)
    assert field.versions[0].negligible_since == TODAY
