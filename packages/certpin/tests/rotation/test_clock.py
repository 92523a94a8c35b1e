"""How the rotation gate treats clocks: a step is refused if this machine's clock may be wrong.

The evidence is the journal's newest entry, the clocks of servers, and versions that have ended.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from certpin.rotation import (
    DeployedVersions,
    Event,
    ServerDate,
    TimeEvidence,
    Version,
    check_now,
    check_step,
    plan,
    step_time,
    time_evidence,
)
from certpin.rotation.emergency import emergency_path
from certpin.rotation.gate import clock_problem, without_ends
from certpin.rotation.situation import CLOCK_TOLERANCE
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
    unverified,
    version,
)

if TYPE_CHECKING:
    from datetime import timedelta

    from certpin.pins import State
    from certpin.rotation import Situation, Violation

AB: dict[str, State] = {"a": "active", "b": "published"}
ABC: dict[str, State] = {**AB, "c": "published"}
SEEN = (sighting("a", "ca"),)
SECOND = HOUR / 3600


def entry(ago: timedelta, who: str = "ada") -> Event:
    return Event(NOW - ago, who, "stage", "api.bank.example", pin("c"))


def date(apart: timedelta, source: str = "eu") -> ServerDate:
    """Return the clock reading of the server ``source``: ``apart`` ahead of this machine's."""
    return ServerDate(source, NOW + apart, NOW)


def judged(**evidence: object) -> Situation:
    """Return a situation with this evidence about the time, and two versions.

    Version 1 lacks the pin ``c``, and no client has had it for a month; version 2 has the pin.

    Args:
        evidence: fields of ``TimeEvidence``, and ``newest``, the newest event of the journal.
    """
    old, new = version(1, AB, ago=90 * DAY, clients=7), version(2, ABC, ago=40 * DAY)
    newest = evidence.pop("newest", None)
    known = time_evidence(newest)  # type: ignore[arg-type]  # an event, or None
    found = replace(known, **evidence)  # type: ignore[arg-type]  # fields by name
    return situation(pin_set(ABC, 2), old, new, seen=SEEN, evidence=found)


def names(found: tuple[Violation, ...]) -> list[str]:
    assert all(violation.fix for violation in found)
    return [violation.invariant for violation in found]


CONFIRMED = (date(3 * SECOND),)


def test_a_step_that_servers_confirm_is_taken() -> None:
    assert check_step(judged(dates=CONFIRMED, newest=entry(DAY)), "activate", pin("c")) == ()


@pytest.mark.parametrize("step", ["stage", "publish", "activate", "retire", "remove"])
def test_a_step_before_the_newest_entry_is_refused(step: str) -> None:
    late = judged(dates=CONFIRMED, newest=entry(-CLOCK_TOLERANCE - SECOND))
    draft = replace(late, pins=pin_set(ABC, 3))
    found = check_step(draft, step, pin("c"))  # type: ignore[arg-type]  # a step of the gate
    first = found[0]
    assert (first.invariant, first.clients, first.safe_from) == ("clock", 7, None)
    assert "(stage by ada, 2027-03-01 12:06 UTC) is 5m later than the clock" in first.problem
    assert "certpin rotate clock" in first.fix


def test_a_few_minutes_between_clocks_are_allowed() -> None:
    close = judged(dates=(date(CLOCK_TOLERANCE),), newest=entry(-CLOCK_TOLERANCE))
    assert check_step(close, "activate", pin("c")) == ()


def test_the_author_of_an_entry_is_escaped() -> None:
    (first, *_) = check_step(judged(newest=entry(-DAY, "\x1b[2J")), "stage", pin("d"))
    assert "\x1b" not in first.problem


@pytest.mark.parametrize(
    ("apart", "text"),
    [(-6 * HOUR, "6h ahead of that of eu (2027-03-01 06:00"), (2 * DAY, "2d behind that of eu")],
)
def test_a_clock_that_differs_from_a_server_is_refused(apart: timedelta, text: str) -> None:
    wrong = judged(dates=(date(SECOND, "us"), date(apart)))
    (found,) = check_step(wrong, "stage", pin("d"))
    assert (found.invariant, text in found.problem) == ("clock", True)
    assert clock_problem(TimeEvidence(dates=CONFIRMED)) == ""


def test_no_version_is_gone_only_by_the_clock_of_this_machine() -> None:
    (found,) = check_step(judged(newest=entry(DAY)), "activate", pin("c"))
    assert (found.invariant, found.clients) == ("clock", 7)
    assert "no client holds version 1 any more: no server confirmed the time" in found.problem
    assert "--force --reason TEXT" in found.fix


@pytest.mark.parametrize(
    ("server", "dates", "fix"),
    [
        ("", (), "leave out --offline"),
        ("eu:443", (), "the contacted ones sent none"),
        ("eu:443", (date(2 * DAY),), "set the clock of this machine"),
    ],
)
def test_the_fix_names_what_keeps_the_time_unconfirmed(
    server: str, dates: tuple[ServerDate, ...], fix: str
) -> None:
    """Without a server, the chain is from a file (``--offline``)."""
    of_another_host = replace(SEEN[0], server=server)
    contacted = time_evidence(None, [of_another_host]).contacted
    known = judged(newest=entry(DAY), dates=dates, contacted=contacted)
    found = check_step(known, "activate", pin("c"))[-1]
    assert "no client holds version 1 any more" in found.problem
    assert fix in found.fix
    assert ("--offline" in found.fix) == (not server)


def test_a_version_that_is_recorded_as_ended_needs_no_date() -> None:
    known = judged()
    old, new = known.deployed.versions
    ended = DeployedVersions((replace(old, ended=NOW - DAY), new))
    assert check_step(replace(known, deployed=ended), "activate", pin("c")) == ()


def test_the_end_of_a_release_needs_a_date() -> None:
    """If a version has ended by its app's end of support, a server has to confirm the time.

    Otherwise a clock that is ahead could end the version too early.
    """
    from certpin.rotation import AppRelease

    known = judged()
    release = AppRelease("app", "1", NOW - 90 * DAY, end=NOW - DAY, clients=7)
    old = bundled(1, AB, ago=90 * DAY, releases=(release,))
    shipped = replace(known, deployed=DeployedVersions((old, known.deployed.versions[1])))
    assert shipped.alive == known.deployed.versions[1:]
    assert names(check_step(shipped, "activate", pin("c"))) == ["clock"]


def expiring(ago: timedelta, on_expiry: str, **evidence: object) -> Situation:
    """Return a situation in which pins of version 1, which lack ``c``, expired ``ago``.

    Clients may hold both versions, and version 2 has the pin ``c``.
    """
    first = pin_set(AB, 1, expires=NOW - ago, on_expiry=on_expiry)
    versions = Version(first, fetched=NOW - 3 * DAY, clients=7), version(2, ABC, ago=2 * DAY)
    return replace(judged(**evidence), deployed=DeployedVersions(versions))


@pytest.mark.parametrize("on_expiry", ["fail-open", "report", "fail-closed"])
def test_pins_have_not_expired_only_by_the_clock_of_this_machine(on_expiry: str) -> None:
    """If it is ahead, clients still compare the pins, and refuse the key that they lack."""
    (found,) = check_step(expiring(DAY, on_expiry), "activate", pin("c"))
    assert (found.invariant, found.clients) == ("clock", 7)
    assert "says that the pins of version 1 have expired: no server confirmed" in found.problem
    assert check_step(expiring(DAY, on_expiry, dates=CONFIRMED), "activate", pin("c")) == ()
    assert check_step(expiring(DAY, on_expiry), "activate", pin("a")) == (), "each version has it"


@pytest.mark.parametrize("on_expiry", ["fail-open", "report", "fail-closed"])
def test_pins_expire_later_for_clients_with_a_slow_clock(on_expiry: str) -> None:
    late = expiring(TIMING.skew - SECOND, on_expiry, dates=CONFIRMED)
    (found,) = check_step(late, "activate", pin("c"))
    assert found.invariant == "adopted"
    assert "clients with a slow clock compare its expired pins until 2027-03-01 12:01" in (
        found.problem
    )
    over = expiring(TIMING.skew, on_expiry, dates=CONFIRMED)
    assert check_step(over, "activate", pin("c")) == ()
    known = replace(late, sightings=(sighting("c", "ca"),))
    assert names(check_now(known)[:1]) == ["served-chain"]
    assert "served-chain" not in names(check_now(replace(known, deployed=over.deployed)))


def test_a_published_version_has_not_expired_only_by_the_clock_of_this_machine() -> None:
    """Its pins lack the served key: clients refuse it if this machine's clock is ahead."""
    draft = pin_set({"d": "active", "e": "published"}, 3, expires=NOW - DAY, on_expiry="report")
    invariants = names(check_step(replace(judged(), pins=draft), "publish"))
    assert "clock" in invariants
    confirmed = replace(judged(dates=CONFIRMED), pins=draft)
    assert set(invariants) - set(names(check_step(confirmed, "publish"))) == {"clock"}


def test_each_end_that_only_the_clock_shows_is_named() -> None:
    expired = expiring(DAY, "report")
    first, second = expired.deployed.versions
    second = replace(second, pins=replace(first.pins, version=2))
    versions = version(1, AB, ago=90 * DAY), replace(second, fetched=NOW - 40 * DAY)
    (found,) = check_step(
        replace(expired, deployed=DeployedVersions(versions)), "activate", pin("c")
    )
    assert "says that no client holds version 1 any more, and that the pins of version 2" in (
        found.problem
    )


def test_no_date_is_needed_if_the_answer_does_not_depend_on_an_end() -> None:
    """A renewal with a key that every version has, and a publication, need no confirmed time."""
    known = judged()
    assert check_step(known, "activate", pin("a")) == ()
    assert check_step(replace(known, pins=pin_set({**ABC, "d": "staged"}, 3)), "publish") == ()


def test_a_step_that_is_refused_anyway_names_its_own_reason() -> None:
    refused = check_step(judged(), "activate", pin("d"))
    assert names(refused) == ["adopted"]


def test_a_date_over_an_unverified_connection_is_only_a_hint() -> None:
    ours, theirs = date(SECOND), date(-400 * DAY)
    fake = replace(unverified("a"), date=ours)
    found = time_evidence(None, [fake])
    assert (found.dates, found.hints, found.confirmed) == ((), (ours,), False)
    hinted = time_evidence(None, [replace(unverified("a"), date=theirs)])
    (violation,) = check_step(replace(judged(), evidence=hinted), "activate", pin("c"))
    assert "it seems to be 400d ahead of that of eu" in violation.problem
    assert violation.problem.endswith("which has no verified chain")
    assert violation.fix.startswith("set the clock of this machine if it is wrong; if it is right")
    assert "with a chain that verifies" in violation.fix
    known = time_evidence(
        None, [replace(SEEN[0], date=ours), replace(unverified("b"), date=theirs)]
    )
    assert (hinted.doubts, known.doubts) == ((theirs,), ()), "a verified time silences the hint"
    real = time_evidence(None, [replace(SEEN[0], date=ours)], [theirs])
    assert (real.dates, real.confirmed) == ((ours, theirs), True)


def test_a_server_with_a_wrong_clock_confirms_nothing() -> None:
    found = check_step(judged(dates=(date(DAY),)), "activate", pin("c"))
    assert len([each for each in found if each.invariant == "clock"]) == 2


def test_a_version_of_a_clock_slightly_ahead_is_alive_at_once() -> None:
    ahead = entry(-2 * HOUR / 60)
    assert step_time(ahead, NOW) == ahead.time
    assert step_time(entry(-CLOCK_TOLERANCE - SECOND), NOW) == NOW
    assert step_time(entry(DAY), NOW) == NOW
    assert step_time(None, NOW) == NOW


def test_without_the_clock_versions_end_only_by_their_record() -> None:
    known = judged()
    assert [each.number for each in known.alive] == [2]
    assert [each.number for each in without_ends(known).alive] == [1, 2]


def test_a_plan_and_an_emergency_are_not_blocked() -> None:
    """A plan's steps lie in the future, and the path out of an emergency has to be shown.

    So both are computed even if no server confirmed the time.
    """
    unknown = judged()
    made = plan(unknown, pin("c"))
    assert made.possible
    behind = replace(unknown, evidence=time_evidence(entry(-DAY)))
    assert emergency_path(behind, pin("a"), "stolen").is_safe
    assert names(plan(behind, pin("c")).violations) == ["clock"]


def test_an_emergency_says_that_a_switch_needs_a_server_that_confirms_the_time() -> None:
    """The gate refuses the printed command, so the path says so from the same facts."""
    draft = pin_set({"a": "active", "c": "published"}, 3)

    def switch(**evidence: object) -> Violation | None:
        known = replace(judged(**evidence), pins=draft)
        found = emergency_path(known, pin("a"), "stolen")
        (step,) = (each for each in found.steps if each.act == "switch")
        assert (found.is_safe, step.pin, step.forced) == (True, pin("c"), False)
        refused = check_step(known, "activate", pin("c"))
        assert (step.unconfirmed is None) == (not refused or evidence.get("newest") is not None)
        return step.unconfirmed

    refusal = switch()
    assert refusal is not None
    assert refusal.problem.startswith("only the clock of this machine says that no client holds")
    assert "--force" in refusal.fix
    assert switch(dates=CONFIRMED) is None
    assert switch(newest=entry(-DAY)) is None  # the wrong clock is reported for all steps
    # Without reliance on the end of a version, no server has to confirm the time.
    known = replace(judged(), pins=pin_set(ABC, 3))
    (step,) = (
        each for each in emergency_path(known, pin("a"), "stolen").steps if each.act == "switch"
    )
    assert (step.pin, step.unconfirmed) == (pin("b"), None)


def test_a_switch_that_waits_for_an_end_needs_a_server_that_confirms_it() -> None:
    draft = pin_set({"a": "active", "c": "published"}, 3)
    known = replace(judged(), pins=draft, now=NOW - 35 * DAY)
    for dates in ((), CONFIRMED):
        found = emergency_path(
            replace(known, evidence=replace(time_evidence(None), dates=dates)), pin("a"), "stolen"
        )
        (step,) = (each for each in found.steps if each.act == "switch")
        assert step.not_before is not None
        assert (step.unconfirmed is None) == bool(dates)
