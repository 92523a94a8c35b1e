"""Numbers of clients at risk: refusals and simulations compute the same number of clients.

The number also matches clients that are drawn at random.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from certpin.pins import HostPin
from certpin.rotation import (
    AdoptionDelays,
    AppRelease,
    DeployedVersions,
    Situation,
    Step,
    Version,
    check_step,
)
from certpin.rotation.arrivals import (
    USUAL_APP_CURVE,
    WHOLE,
    Arrivals,
    fetch_arrivals,
    usual_curve,
)
from certpin.rotation.fleet import (
    Fleet,
    clients_at_risk,
    cohorts,
    deployed_sizes,
    seconds_of,
)
from certpin.rotation.plan import at_time
from certpin.rotation.prospect import assumed_prospects
from certpin.rotation.simulate import simulate
from certpin.rotation.simulate_script import DatedStep, build_script
from tests.rotation import _brute_fleet
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
    from datetime import datetime

    from certpin.pins import State

OLD_PINS: dict[str, State] = {"served": "active", "spare": "published"}
NEW_PINS: dict[str, State] = {**OLD_PINS, "next": "published"}
SHARES = st.integers(0, 100).map(lambda percent: Fraction(percent, 100))


@st.composite
def deployments(draw: st.DrawFn) -> tuple[DeployedVersions, AdoptionDelays]:
    """Generate published versions and app releases, each with or without the next key.

    The result is a pair of the versions and the delays of the clients.
    """
    hours = st.integers(0, 400)
    delays = [draw(hours) * HOUR for _ in range(5)]
    timing = AdoptionDelays(*delays)
    found = []
    ago = sorted(draw(st.integers(0, 90 * 24)) for _ in range(draw(st.integers(0, 4))))[::-1]
    for number, each in enumerate(ago, 1):
        pins = draw(st.sampled_from([OLD_PINS, NEW_PINS]))
        found.append(version(number, pins, ago=each * HOUR))
    if found:
        found[-1] = replace(found[-1], clients=draw(st.integers(1, 5000)))
    for app in draw(st.sampled_from([(), ("bank",), ("bank", "tv")])):
        found += draw(apps(app, len(found)))
    return DeployedVersions(tuple(found)), timing


@st.composite
def apps(draw: st.DrawFn, app: str, first: int) -> list[Version]:
    """Generate one to three releases of an app, each with a bundled version of the pin set.

    Args:
        draw: Hypothesis's function.
        app: the name of the app.
        first: the number of the version before the first one.
    """
    found = []
    clients = draw(st.integers(1, 5000))
    updates = draw(st.booleans())
    ago = sorted(draw(st.integers(0, 90)) for _ in range(draw(st.integers(1, 3))))[::-1]
    for number, days in enumerate(ago):
        curve = tuple(zip((2, 9, 40), sorted(draw(st.tuples(SHARES, SHARES, SHARES))), strict=True))
        dates = st.none() | st.integers(-5, 60).map(lambda day: NOW + day * DAY)
        release = AppRelease(
            app,
            str(number),
            NOW - days * DAY,
            updates=updates,
            curve=draw(st.sampled_from([curve, ()])),
            end=draw(dates),
            forced=draw(dates),
            clients=clients,
        )
        pins = pin_set(draw(st.sampled_from([OLD_PINS, NEW_PINS])), first + number + 1)
        found.append(Version(pins, bundled=release.shipped, releases=(release,)))
    return found


def at(deployed: DeployedVersions, timing: AdoptionDelays) -> Situation:
    """Return a situation with these versions, all of which accept the key that servers present."""
    draft = pin_set(NEW_PINS, 99)
    return situation(draft, *deployed.versions, seen=(sighting("served"),), timing=timing)


def simulated(now: Situation, moment: datetime) -> int:
    """Return how many clients a simulation locks out if servers present the next key from then on.

    Count only the clients for which the change of the key is the cause.
    """
    sizes = deployed_sizes(now.deployed)
    total = sizes.total
    assert total is not None
    shares = tuple((name, Fraction(size or 0, total)) for name, size in sizes.apps.items())
    steps = [DatedStep(1, Step("serve", pin("next")), moment)]
    outcome = simulate(build_script(now, steps), Fleet(total, now.timing, apps=shares), chunk=999)
    assert outcome.locked_out <= total
    caused = [each.clients for each in outcome.lockouts if each.cause.event == "serve"]
    return sum(caused)


@pytest.mark.medium
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(deployments(), st.integers(0, 80 * 24 * 3600))
def test_the_figure_of_a_refusal_is_that_of_the_simulation(
    deployment: tuple[DeployedVersions, AdoptionDelays], later: int
) -> None:
    now = at(*deployment)
    if not now.alive:
        return
    moment = NOW + later * timedelta(seconds=1)
    then = at_time(now, moment)
    refused = check_step(then, "serve", pin("next"), assumed_prospects(then, pin("next")))
    total = deployed_sizes(now.deployed).total
    if not then.alive or not total:
        return
    found = [each.clients for each in refused] or [0]
    assert found[0] is not None
    assert found[0] <= total
    assert found == [simulated(now, moment)]


@pytest.mark.medium
@given(deployments(), st.integers(-90 * 24, 90 * 24))
def test_no_client_is_counted_twice(
    deployment: tuple[DeployedVersions, AdoptionDelays], hours: int
) -> None:
    deployed, timing = deployment
    sizes = deployed_sizes(deployed)
    moment = seconds_of(NOW + hours * HOUR)
    for cohort in cohorts(deployed, sizes, fetch_arrivals(timing)):
        held = cohort.held(moment)
        assert all(count > 0 for count in held.values())
        gone = {0} & {each.number for each in cohort.arrivals}
        assert sum(held.values()) == cohort.clients or gone
        assert sum(held.values()) <= (cohort.clients or 0)


def test_a_thousand_clients_with_two_versions_are_a_thousand() -> None:
    old = version(1, OLD_PINS, ago=90 * DAY, clients=1000)
    new = version(2, NEW_PINS, ago=3 * DAY, clients=1000)
    now = situation(new.pins, old, new)
    assert len(now.alive) == 2
    assert clients_at_risk(now, now.alive) == 1000
    assert deployed_sizes(now.deployed).total == 1000
    held = [clients_at_risk(now, [each]) or 0 for each in (old, new)]
    assert sum(held) == 1000
    assert 0 < held[0] < held[1]


def test_an_unknown_number_of_clients_is_not_zero() -> None:
    old = version(1, OLD_PINS, ago=90 * DAY)
    now = situation(old.pins, old)
    assert clients_at_risk(now, [old]) is None
    app = AppRelease("bank", "1", NOW - DAY)
    binary = Version(pin_set(OLD_PINS, 2), bundled=NOW - DAY, releases=(app,))
    both = situation(old.pins, replace(old, clients=9), binary)
    assert clients_at_risk(both, [binary]) is None
    assert clients_at_risk(both, [replace(old, clients=9)]) == 9
    unnamed = bundled(2, OLD_PINS, ago=DAY, clients=3)
    assert clients_at_risk(situation(old.pins, old, unnamed), [unnamed]) == 3


def test_reports_raise_a_figure_up_to_the_fleet() -> None:
    old = version(1, OLD_PINS, ago=90 * DAY, reported=300)
    new = version(2, NEW_PINS, ago=40 * DAY, clients=1000)
    now = situation(new.pins, old, new)
    assert clients_at_risk(now, [old]) == 300
    flood = situation(new.pins, replace(old, reported=10**6), new)
    assert clients_at_risk(flood, [replace(old, reported=10**6)]) == 1000


@pytest.mark.parametrize("days", [0.02, 0.5, 1.5, 3, 6, 9.9])
@pytest.mark.parametrize("stragglers", [0.0, 0.01, 0.3])
def test_the_expected_figure_is_that_of_clients_drawn_at_random(
    days: float, stragglers: float
) -> None:
    """The expected number of updated clients matches 20,000 clients drawn at random.

    The sampling error (four standard deviations) is at most 1.5 % of the clients.
    """
    clients, luck = 20_000, Random(f"{days} {stragglers}")  # no secret
    seconds = timedelta(seconds=1)
    opened = tuple((float(share), gap / seconds) for share, gap in usual_curve(TIMING))
    delays = _brute_fleet.Delays(
        TIMING.cdn / seconds,
        TIMING.cache / seconds,
        TIMING.poll / seconds,
        opened,
        TIMING.skew / seconds,
    )
    begin = luck.uniform(0, 10**6)
    drawn = sum(
        _brute_fleet.arrival(begin, delays, stragglers, luck) - begin <= days * 86400
        for _ in range(clients)
    )
    curve = fetch_arrivals(TIMING, (), Fraction(str(stragglers)))
    expected = curve.reached(clients, round(days * 86400))
    share = expected / clients
    sigma = (share * (1 - share) * clients) ** 0.5
    assert abs(drawn - expected) <= 4 * sigma + 0.001 * clients + 1


@given(
    st.dictionaries(st.integers(0, 40), st.integers(0, WHOLE), min_size=1, max_size=6),
    st.integers(0, 10**9),
    st.integers(-2, 42),
)
def test_a_figure_is_linear_between_the_two_points_around_it(
    drawn: dict[int, int], clients: int, seconds: int
) -> None:
    points = tuple(zip(sorted(drawn), sorted(drawn.values()), strict=True))
    curve = Arrivals(points)
    counts = curve.counts(clients)
    before = [point for point in counts if point[0] <= seconds]
    after = [point for point in counts if point[0] > seconds]
    found = curve.reached(clients, seconds)
    if not before or not after:
        assert found == (before[-1][1] if before else 0)
        return
    (begin, low), (end, high) = before[-1], after[0]
    assert found == low + (high - low) * (seconds - begin) // (end - begin)


@pytest.mark.parametrize("days", [1, 8, 20, 50, 120])
@pytest.mark.parametrize("forced", [False, True])
def test_the_users_of_an_app_are_those_drawn_at_random(days: int, forced: bool) -> None:
    """The number of users with each of three releases matches 20,000 users drawn at random.

    If ``forced``, the app forces an update thirty days after its last release.
    """
    clients, luck = 20_000, Random(f"{days} {forced}")  # no secret
    shipped = (-400, -20, 0)
    curves: list[Any] = [(), ((10, Fraction(1, 2)), (30, Fraction(4, 5))), ()]
    forced_on = NOW + 30 * DAY if forced else None
    versions = []
    for number, (day, curve) in enumerate(zip(shipped, curves, strict=True), 1):
        release = AppRelease(
            "bank",
            str(number),
            NOW + day * DAY,
            curve=curve,
            clients=clients,
            forced=forced_on if number == 3 else None,
        )
        pins = pin_set(OLD_PINS, number)
        versions.append(Version(pins, bundled=release.shipped, releases=(release,)))
    now = situation(versions[-1].pins, *versions)
    drawn = {1: 0, 2: 0, 3: 0}
    usual = [(day, float(share)) for day, share in USUAL_APP_CURVE]
    for _ in range(clients):
        rank = luck.random()  # a fast user is always fast
        has = 1
        for number in (2, 3):
            known = [(day, float(share)) for day, share in curves[number - 1]] or usual
            when = _brute_fleet.installs(shipped[number - 1] * 86400, known, rank)
            if number == 3 and forced:
                when = min(when, 30 * 86400)
            if when <= days * 86400:
                has = number
        drawn[has] += 1
    for each in versions:
        expected = clients_at_risk(now, [each], NOW + days * DAY)
        assert expected is not None
        share = expected / clients
        sigma = (share * (1 - share) * clients) ** 0.5
        assert abs(drawn[each.number] - expected) <= 4 * sigma + 2


def test_clients_with_one_of_two_pin_sets_of_one_number_never_take_the_other() -> None:
    """Two different pin sets were published as version 2, the second three days after the first.

    Clients that have one of them keep it until version 3.
    """
    old = version(1, OLD_PINS, ago=90 * DAY, clients=1000)
    first = version(2, NEW_PINS, ago=40 * DAY)
    second = version(2, {**OLD_PINS, "other": "published"}, ago=37 * DAY)
    now = situation(first.pins, old, first, second)
    shares = [clients_at_risk(now, [each]) for each in (first, second)]
    by_then = clients_at_risk(situation(first.pins, old, first), [first], NOW - 37 * DAY)
    assert shares == [by_then, 1000 - (by_then or 0)]
    assert 0 < (shares[1] or 0) < (shares[0] or 0)
    assert clients_at_risk(now, [first, second]) == 1000
    earlier = [clients_at_risk(now, [each], NOW - 38 * DAY) for each in (first, second)]
    assert 0 < (earlier[0] or 0) < (shares[0] or 0)
    assert earlier[1] == 0
    last = version(3, {**NEW_PINS, "other": "published"}, ago=5 * DAY)
    counts = [
        clients_at_risk(situation(last.pins, old, first, second, last), [each])
        for each in (first, second, last)
    ]
    assert counts[0] == 0  # the fast clients have version 3
    assert sum(each or 0 for each in counts) == 1000


def test_a_version_in_a_release_that_has_ended_is_held_by_nobody() -> None:
    release = AppRelease("bank", "1", NOW - 90 * DAY, end=NOW + DAY, clients=50)
    binary = Version(pin_set(OLD_PINS, 1), bundled=release.shipped, releases=(release,))
    now = situation(binary.pins, binary)
    assert clients_at_risk(now, [binary]) == 50
    assert clients_at_risk(now, [binary], NOW + DAY) == 0


def test_an_app_that_updates_itself_holds_the_highest_version() -> None:
    release = AppRelease("bank", "1", NOW - 90 * DAY, updates=True, clients=50)
    binary = Version(pin_set(OLD_PINS, 1), bundled=release.shipped, releases=(release,))
    new = version(2, NEW_PINS, ago=2 * DAY, clients=0)
    now = situation(new.pins, binary, new)
    count = clients_at_risk(now, [binary])
    assert count is not None
    assert 0 < count < 50
    assert clients_at_risk(now, [new]) == 50 - count
    assert clients_at_risk(now, [binary], NOW + TIMING.adopt) == 0
    still = replace(binary, releases=(replace(release, updates=False),))
    assert clients_at_risk(situation(new.pins, still, new), [still]) == 50


def test_a_binary_that_accepts_the_key_is_not_at_risk() -> None:
    """A refusal counts only the clients of versions that refuse the key."""
    entry = HostPin(pin("next"), "backup", "published")
    assert entry.live
    app = AppRelease("bank", "1", NOW - 9 * DAY, clients=70)
    binary = Version(pin_set(NEW_PINS, 2), bundled=NOW - 9 * DAY, releases=(app,))
    old = version(1, OLD_PINS, ago=90 * DAY, clients=30)
    (refused,) = check_step(
        situation(pin_set(NEW_PINS, 3), old, binary, seen=(sighting("served"),)),
        "activate",
        pin("next"),
    )
    assert refused.clients == 30
