"""What happens to a simulated fleet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from certpin.errors import InputError
from certpin.rotation.adoption import policy_in
from certpin.rotation.simulate_fleet import SECOND
from certpin.rotation.timing import LONGEST, format_duration, in_utc

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.pins import Pin, PinSet
    from certpin.rotation.adoption import Situation, Version

    Chains = tuple[frozenset[Pin], ...]
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import timedelta

    from certpin.rotation.plan import Step


@dataclass(frozen=True)
class Release:
    """A version as clients hold it.

    ``at`` is when it could first be fetched. ``pins`` are those that accept, ``None`` if nothing
    is refused. A chain with a key of ``compromised`` is refused. From ``end`` on it refuses all.
    ``by`` is when all have it at the latest: the one before was measured to have ended.
    ``step`` is its number, if it is a step.
    """

    number: int
    at: int
    pins: frozenset[Pin] | None
    end: int | None = None
    by: int | None = None
    step: int | None = None
    compromised: frozenset[Pin] = frozenset()

    def refuses(self, chains: Chains, at: int) -> bool:
        """Whether one of the servers is refused by its clients at a moment."""
        if self.pins is None:
            return False
        ended = self.end is not None and at >= self.end
        return ended or any(
            not self.pins & chain or bool(self.compromised & chain) for chain in chains
        )


@dataclass(frozen=True)
class Serving:
    """The pins of what each server serves, from a moment on; none where nobody knows."""

    at: int
    chains: Chains
    step: int | None = None


def assumed(situation: Situation) -> Chains:
    """What is served now: as it was seen, else a server for each leaf that is ACTIVE in the draft.

    Where none is, one server has all that is ACTIVE.
    """
    if situation.sightings:
        return tuple(each.pins for each in situation.sightings)
    active = [each for each in situation.policy.pins if each.state == "active"]
    leaves = {each.pin for each in active if each.role == "leaf"}
    above = {each.pin for each in active if each.role not in {"leaf", "backup"}}
    if leaves:
        return tuple(frozenset({leaf, *above}) for leaf in sorted(leaves, key=str))
    chain = above or {each.pin for each in active}
    return (frozenset(chain),) if chain else ()


def of_the_field(situation: Situation) -> list[Release]:
    """The versions that are fetched, from the last one on that everybody has got."""
    out = sorted(
        (each for each in situation.field.versions if each.fetched and not each.waiting),
        key=lambda each: each.number,
    )
    # Nobody fetches: then those without a binary of their own hold the newest one.
    out = out or sorted(alive(situation), key=lambda each: each.number)[-1:]
    releases: list[Release] = []
    ended: int | None = None
    for version in out:
        found = replace(release_of(version, situation), by=ended)
        if not releases or found.number > releases[-1].number:
            # Clients never go back: who comes later with a higher number is what counts.
            releases = [each for each in releases if each.at <= found.at]
            releases.append(found)
            ended = _seconds(version.ended, situation)
    adopt = situation.timing.adopt // SECOND
    known = [at for at, each in enumerate(releases) if each.at + adopt <= 0]
    return releases[known[-1] :] if known else releases


def in_binaries(situation: Situation) -> tuple[Release, ...]:
    """The versions in binaries; of two that have one number the first."""
    found: dict[int, Release] = {}
    for each in alive(situation):
        if each.bundled:
            found.setdefault(each.number, release_of(each, situation))
    return tuple(found.values())


def alive(situation: Situation) -> tuple[Version, ...]:
    """The versions that some client may hold when the simulation begins."""
    return situation.field.alive(situation.now, situation.timing)


def release_of(version: Version, situation: Situation) -> Release:
    """A version as the clients of the situation's host hold it."""
    policy = policy_in(version.pins, situation.pattern)
    refusing = policy is not None and policy.mode == "enforce"
    pins = frozenset(policy.live_pins) if policy and refusing else None
    at = _seconds(version.fetched, situation) or 0
    end = end_of(version.pins, situation)
    compromised = policy.compromised if policy else frozenset()
    return Release(version.number, at, pins, end, compromised=compromised)


def end_of(pins: PinSet, situation: Situation) -> int | None:
    """When the pins for the host begin to refuse all."""
    policy = policy_in(pins, situation.pattern)
    if policy is None or policy.on_expiry != "fail-closed":
        return None
    return _seconds(policy.expires, situation)


def _seconds(moment: datetime | None, situation: Situation) -> int | None:
    return (moment - situation.now) // SECOND if moment else None


# What clients notice of a rotation, sooner or later; the other steps are words in a journal.
NOTICED = frozenset({"stage", "remove", "publish", "push", "serve"})

# Each version is counted at each hour: this many over LONGEST take some 350 MB.
MOST_STEPS = 500


@dataclass(frozen=True)
class Dated:
    """A step with the moment at which it is taken, and its number in the plan or file."""

    number: int
    step: Step
    at: datetime


@dataclass(frozen=True)
class Script:
    """All that happens, each part in the order of time. ``until`` is where the simulation ends."""

    begin: datetime
    steps: tuple[Dated, ...]
    releases: tuple[Release, ...]
    servings: tuple[Serving, ...]
    binaries: tuple[Release, ...]
    until: int


def dated(steps: Iterable[Step], now: datetime) -> tuple[Dated, ...]:
    """The steps of a plan, each as early as the plan allows."""
    found = []
    for number, step in enumerate(steps, 1):
        now = max(now, step.not_before or now)
        found.append(Dated(number, step, now))
    return tuple(found)


def moved(steps: Sequence[Dated], moves: Mapping[int, timedelta]) -> tuple[Dated, ...]:
    """Some steps earlier or later, and the others where they are. Raises ``InputError``."""
    known = {each.number: each for each in steps}
    for number in moves:
        if number not in known:
            raise InputError(f"there is no step {number}", fix=f"from 1 to {len(steps)}")
        if known[number].step.act not in NOTICED:
            raise InputError(
                f"step {number} ({known[number].step.act}) changes nothing that a client sees",
                fix="move the step that serves or publishes",
            )
    return tuple(replace(each, at=each.at + moves.get(each.number, 0 * SECOND)) for each in steps)


def script(situation: Situation, steps: Sequence[Dated]) -> Script:
    """Take each step at its date.

    Raises ``InputError`` where one lies in the past or too far ahead, or nothing is out.
    """
    ordered = sorted(steps, key=lambda each: each.at)
    _check(situation, ordered)
    begin, adopt = situation.now, situation.timing.adopt
    releases, servings = of_the_field(situation), [Serving(0, assumed(situation))]
    _take(situation, ordered, releases, servings)
    last = ordered[-1].at if ordered else begin
    hours = -(-(last - begin + adopt) // (3600 * SECOND)) + 24
    return Script(
        begin, tuple(steps), tuple(releases), tuple(servings), in_binaries(situation), hours * 3600
    )


def _check(situation: Situation, ordered: Sequence[Dated]) -> None:
    now, adopt = situation.now, situation.timing.adopt
    if not alive(situation):
        raise InputError(
            "no version is recorded as being in the field",
            fix="record what is out: certpin rotate publish",
        )
    if len(ordered) > MOST_STEPS:
        raise InputError(f"{len(ordered)} steps are too many", fix=f"at most {MOST_STEPS}")
    if ordered and ordered[0].at < now:
        raise InputError(
            f"step {ordered[0].number} would be taken before the simulation begins",
            fix=f"let it be at {in_utc(now)} or later",
        )
    if (ordered[-1].at - now if ordered else 0 * SECOND) + adopt > LONGEST:
        raise InputError(
            f"it would go on for more than {format_duration(LONGEST)}",
            fix="give earlier dates, or shorter delays",
        )


def _take(
    situation: Situation, steps: Sequence[Dated], releases: list[Release], servings: list[Serving]
) -> None:
    policy = situation.policy
    draft, end = set(policy.live_pins), end_of(situation.pins, situation)
    latest = situation.field.latest
    number = max(situation.pins.version, latest.number + 1 if latest else 1)
    for each in steps:
        at, pin = (each.at - situation.now) // SECOND, each.step.pin
        if each.step.act == "publish":
            pins = frozenset(draft) if policy.mode == "enforce" else None
            compromised = policy.compromised
            releases.append(Release(number, at, pins, end, None, each.number, compromised))
            number += 1
        elif each.step.act == "push":
            releases += _pushed(situation, releases, each.number, at)
        elif pin and each.step.act == "stage":
            draft.add(pin)
        elif pin and each.step.act == "remove":
            draft.discard(pin)
        elif pin and each.step.act == "serve":
            servings.append(Serving(at, (frozenset({pin}),), each.number))


def _pushed(
    situation: Situation, out: Sequence[Release], step: int, at: int
) -> tuple[Release, ...]:
    """The version that waits; none where clients have got a later one meanwhile."""
    latest = situation.field.latest
    if latest is None or not latest.waiting or any(latest.number == each.number for each in out):
        raise InputError(
            f"step {step} (push) hands out nothing: no version waits for it",
            fix="leave it out: what is published here is out at once",
        )
    if any(latest.number < each.number for each in out):
        return ()
    return (replace(release_of(latest, situation), at=at, step=step),)
