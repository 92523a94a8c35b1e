"""The script of a simulation: published versions, served keys, and the dates of the steps.

Steps are taken in the order of their dates, and the gate refuses none: a simulation may be about a
wrong order. Times are seconds since the beginning of the simulation; fractions are dropped.

Not modelled: the position in the chain that may match (``match``), two versions with one number
(the first one counts), and a key that becomes compromised during the simulation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from certpin.errors import InputError
from certpin.rotation.adoption import LONGEST, format_duration, in_utc, policy_in
from certpin.rotation.simulate_fleet import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from certpin.pins import Pin, PinSet
    from certpin.rotation.adoption import Situation, Version
    from certpin.rotation.plan import Step

    Chains = tuple[frozenset[Pin], ...]

# The steps that clients notice, at once or later. The others are only recorded in the journal.
NOTICED = frozenset({"stage", "remove", "publish", "push", "serve"})

# Each version is counted for each hour: with this many over LONGEST, that takes about 350 MB.
MAX_STEPS = 500


@dataclass(frozen=True)
class DatedStep:
    """A step with its time, and its number in the plan or in the user's file."""

    number: int
    step: Step
    at: datetime


@dataclass(frozen=True)
class Release:
    """A published version as clients of one host hold it. Times are seconds since the beginning.

    Attributes:
        at: when it could first be fetched.
        pins: the pins that it accepts for the host; ``None`` if it refuses nothing.
        end: from then on it refuses every server, because its pins have expired.
        by: when all clients have it at the latest, because the previous version was recorded as
            ended.
        step: the number of the step that publishes it; ``None`` if it was published before.
        compromised: a chain with one of these keys is refused.
    """

    number: int
    at: int
    pins: frozenset[Pin] | None
    end: int | None = None
    by: int | None = None
    step: int | None = None
    compromised: frozenset[Pin] = frozenset()

    def refuses(self, chains: Chains, at: int) -> bool:
        """Return True if clients with this release refuse one of the served chains at a time."""
        if self.pins is None:
            return False
        ended = self.end is not None and at >= self.end
        return ended or any(
            not self.pins & chain or bool(self.compromised & chain) for chain in chains
        )


@dataclass(frozen=True)
class Serving:
    """The pins in each server's chain, from the second ``at`` on; empty if they are unknown."""

    at: int
    chains: Chains
    step: int | None = None


@dataclass(frozen=True)
class Script:
    """The input of a simulation: steps, releases, served keys and binaries, each sorted by time.

    Attributes:
        until: the end of the simulation, in seconds since the beginning.
    """

    begin: datetime
    steps: tuple[DatedStep, ...]
    releases: tuple[Release, ...]
    servings: tuple[Serving, ...]
    binaries: tuple[Release, ...]
    until: int


def dated_steps(steps: Iterable[Step], now: datetime) -> tuple[DatedStep, ...]:
    """Return the steps of a plan with dates, each as early as the plan allows."""
    found = []
    for number, step in enumerate(steps, 1):
        now = max(now, step.not_before or now)
        found.append(DatedStep(number, step, now))
    return tuple(found)


def moved_steps(
    steps: Sequence[DatedStep], moves: Mapping[int, timedelta]
) -> tuple[DatedStep, ...]:
    """Return the dated steps, some of them moved to earlier or later dates.

    Args:
        steps: all steps of the script.
        moves: by how much to move a step, by its number.

    Raises:
        InputError: a step does not exist, or clients do not notice it.
    """
    known = {dated.number: dated for dated in steps}
    for number in moves:
        if number not in known:
            raise InputError(f"there is no step {number}", fix=f"give 1 to {len(steps)}")
        if known[number].step.act not in NOTICED:
            raise InputError(
                f"clients don't notice step {number} ({known[number].step.act})",
                fix="move the step that serves or publishes",
            )
    nothing = 0 * SECOND
    return tuple(replace(each, at=each.at + moves.get(each.number, nothing)) for each in steps)


def build_script(situation: Situation, steps: Sequence[DatedStep]) -> Script:
    """Return the script of a simulation in which each step is taken at its date.

    Raises:
        InputError: a step is in the past or too far ahead, there are too many, or no version is
            published.
    """
    ordered = sorted(steps, key=lambda dated: dated.at)
    _check(situation, ordered)
    begin, adopt = situation.now, situation.timing.adopt
    releases, servings = fetched_releases(situation), [Serving(0, assumed_chains(situation))]
    _take(situation, ordered, releases, servings)
    last = ordered[-1].at if ordered else begin
    hours = -(-(last - begin + adopt) // (3600 * SECOND)) + 24
    binaries = bundled_releases(situation)
    return Script(begin, tuple(steps), tuple(releases), tuple(servings), binaries, hours * 3600)


def assumed_chains(situation: Situation) -> Chains:
    """Return the pins of the chains served now: as probed, or as the draft's ACTIVE pins suggest.

    Without a probe, each ACTIVE leaf is one server. Without an ACTIVE leaf, one server has all
    ACTIVE pins.
    """
    if situation.sightings:
        return tuple(sighting.pins for sighting in situation.sightings)
    active = [entry for entry in situation.policy.pins if entry.state == "active"]
    leaves = {entry.pin for entry in active if entry.role == "leaf"}
    above = {entry.pin for entry in active if entry.role not in {"leaf", "backup"}}
    if leaves:
        return tuple(frozenset({leaf, *above}) for leaf in sorted(leaves, key=str))
    chain = above or {entry.pin for entry in active}
    return (frozenset(chain),) if chain else ()


def fetched_releases(situation: Situation) -> list[Release]:
    """Return the releases that clients fetch, from the newest one that every client has."""
    fetched = sorted(
        (each for each in situation.deployed.versions if each.fetched and not each.pending),
        key=lambda version: version.number,
    )
    # If no version is fetched, clients without a binary of their own hold the newest version.
    fetched = fetched or sorted(situation.alive, key=lambda version: version.number)[-1:]
    releases: list[Release] = []
    ended: int | None = None
    for version in fetched:
        release = replace(release_of(version, situation), by=ended)
        if not releases or release.number > releases[-1].number:
            # Clients never take a lower version: later ones with a lower number don't count.
            releases = [earlier for earlier in releases if earlier.at <= release.at]
            releases.append(release)
            ended = _seconds(version.ended, situation)
    adopt = situation.timing.adopt // SECOND
    known = [index for index, release in enumerate(releases) if release.at + adopt <= 0]
    return releases[known[-1] :] if known else releases


def bundled_releases(situation: Situation) -> tuple[Release, ...]:
    """Return the releases in binaries; of two with one number, the first."""
    found: dict[int, Release] = {}
    for version in situation.alive:
        if version.bundled:
            found.setdefault(version.number, release_of(version, situation))
    return tuple(found.values())


def release_of(version: Version, situation: Situation) -> Release:
    """Return a version as a release for clients of the situation's host."""
    policy = policy_in(version.pins, situation.pattern)
    refusing = policy is not None and policy.mode == "enforce"
    pins = frozenset(policy.live_pins) if policy and refusing else None
    at = _seconds(version.fetched, situation) or 0
    end = hard_expiry(version.pins, situation)
    compromised = policy.compromised if policy else frozenset()
    return Release(version.number, at, pins, end, compromised=compromised)


def hard_expiry(pins: PinSet, situation: Situation) -> int | None:
    """Return the second from which a pin set refuses every server of the host, or ``None``.

    It does so if its policy fails closed when it has expired.
    """
    policy = policy_in(pins, situation.pattern)
    if policy is None or policy.on_expiry != "fail-closed":
        return None
    return _seconds(policy.expires, situation)


def _check(situation: Situation, ordered: Sequence[DatedStep]) -> None:
    now, adopt = situation.now, situation.timing.adopt
    if not situation.alive:
        raise InputError(
            "no published version is recorded",
            fix="record the published version: certpin rotate publish",
        )
    if len(ordered) > MAX_STEPS:
        raise InputError(f"{len(ordered)} steps are too many", fix=f"at most {MAX_STEPS}")
    if ordered and ordered[0].at < now:
        raise InputError(
            f"step {ordered[0].number} is before the beginning of the simulation",
            fix=f"move it to {in_utc(now)} or later",
        )
    if (ordered[-1].at - now if ordered else 0 * SECOND) + adopt > LONGEST:
        raise InputError(
            f"the simulation would take more than {format_duration(LONGEST)}",
            fix="give earlier dates, or shorter delays",
        )


def _take(
    situation: Situation,
    steps: Sequence[DatedStep],
    releases: list[Release],
    servings: list[Serving],
) -> None:
    policy = situation.policy
    draft, end = set(policy.live_pins), hard_expiry(situation.pins, situation)
    latest = situation.deployed.latest
    number = max(situation.pins.version, latest.number + 1 if latest else 1)
    for dated in steps:
        at, pin = (dated.at - situation.now) // SECOND, dated.step.pin
        if dated.step.act == "publish":
            pins = frozenset(draft) if policy.mode == "enforce" else None
            refused = policy.compromised
            releases.append(Release(number, at, pins, end, None, dated.number, refused))
            number += 1
        elif dated.step.act == "push":
            releases += _pushed(situation, releases, dated.number, at)
        elif pin and dated.step.act == "stage":
            draft.add(pin)
        elif pin and dated.step.act == "remove":
            draft.discard(pin)
        elif pin and dated.step.act == "serve":
            servings.append(Serving(at, (frozenset({pin}),), dated.number))


def _pushed(
    situation: Situation, out: Sequence[Release], step: int, at: int
) -> tuple[Release, ...]:
    """Return the pending version as a release that clients can fetch from the push on.

    Return nothing if clients can fetch a higher version. Raises ``InputError`` if no version is
    pending.
    """
    latest = situation.deployed.latest
    if latest is None or not latest.pending or any(latest.number == each.number for each in out):
        raise InputError(
            f"step {step} (push) has no version to push",
            fix="leave it out: in a simulation, a publish is available at once",
        )
    if any(latest.number < release.number for release in out):
        return ()
    return (replace(release_of(latest, situation), at=at, step=step),)


def _seconds(moment: datetime | None, situation: Situation) -> int | None:
    return (moment - situation.now) // SECOND if moment else None
