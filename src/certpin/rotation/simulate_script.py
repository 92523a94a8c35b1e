"""What happens to a simulated fleet: what is out, what is served, and each step at its date.

Steps are taken as they stand, in the order of their dates, and no guard refuses one: a wrong order
is what some simulations are about. Moments are whole seconds since the beginning; parts of a second
are dropped.

Not modelled: at which place of the chain a pin may match, two versions of one number (the first
counts), and a compromise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from certpin.errors import InputError
from certpin.rotation.field import policy_in
from certpin.rotation.simulate_fleet import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from certpin.pins import Pin, PinSet
    from certpin.rotation.field import Version
    from certpin.rotation.situation import Situation
    from certpin.rotation.step import Step

    Chains = tuple[frozenset[Pin], ...]

# What clients notice of a rotation, sooner or later; the other steps are words in a journal.
NOTICED = frozenset({"stage", "remove", "publish", "push", "serve"})


@dataclass(frozen=True)
class Dated:
    """A step with the moment at which it is taken, and its number in the plan or file."""

    number: int
    step: Step
    at: datetime


@dataclass(frozen=True)
class Release:
    """A version as clients hold it.

    ``at`` is when it could first be fetched. ``pins`` are those that accept, ``None`` where nothing
    is refused. From ``end`` on it refuses all. ``by`` is when all have it at the latest, since
    somebody measured that the one before has ended. ``step`` is its number, if it is a step.
    """

    number: int
    at: int
    pins: frozenset[Pin] | None
    end: int | None = None
    by: int | None = None
    step: int | None = None

    def refuses(self, chains: Chains, at: int) -> bool:
        """Whether one of the servers is refused by its clients at a moment."""
        if self.pins is None:
            return False
        ended = self.end is not None and at >= self.end
        return ended or any(not self.pins & chain for chain in chains)


@dataclass(frozen=True)
class Serving:
    """The pins of what each server serves, from a moment on; none where nobody knows."""

    at: int
    chains: Chains
    step: int | None = None


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

    Raises ``InputError`` where one lies in the past, or nothing is out.
    """
    ordered = sorted(steps, key=lambda each: each.at)
    if ordered and ordered[0].at < situation.now:
        raise InputError(
            f"step {ordered[0].number} would be taken before the simulation begins",
            fix="move it less",
        )
    begin, adopt = situation.now, situation.timing.adopt
    if not _alive(situation):
        raise InputError(
            "no version is recorded as being in the field",
            fix="record what is out: certpin rotate publish",
        )
    releases, servings = _of_the_field(situation), [Serving(0, assumed(situation))]
    _take(situation, ordered, releases, servings)
    last = ordered[-1].at if ordered else begin
    hours = -(-(last - begin + adopt) // (3600 * SECOND)) + 24
    binaries = [_release(each, situation) for each in _alive(situation) if each.bundled]
    return Script(
        begin, tuple(steps), tuple(releases), tuple(servings), tuple(binaries), hours * 3600
    )


def assumed(situation: Situation) -> Chains:
    """What is served now: as it was seen, else one server with the draft's ACTIVE pins."""
    if situation.sightings:
        return tuple(each.pins for each in situation.sightings)
    active = [each for each in situation.policy.pins if each.state == "active"]
    chain = {each.pin for each in active if each.role != "backup"} or {e.pin for e in active}
    return (frozenset(chain),) if chain else ()


def _take(
    situation: Situation, steps: Sequence[Dated], releases: list[Release], servings: list[Serving]
) -> None:
    policy = situation.policy
    draft, end = set(policy.live_pins), _end(situation.pins, situation)
    latest = situation.field.latest
    number = max(situation.pins.version, latest.number + 1 if latest else 1)
    for each in steps:
        at, pin = (each.at - situation.now) // SECOND, each.step.pin
        if each.step.act == "publish":
            pins = frozenset(draft) if policy.mode == "enforce" else None
            releases.append(Release(number, at, pins, end, step=each.number))
            number += 1
        elif latest and each.step.act == "push":
            releases.append(replace(_release(latest, situation), at=at, step=each.number))
        elif pin and each.step.act == "stage":
            draft.add(pin)
        elif pin and each.step.act == "remove":
            draft.discard(pin)
        elif pin and each.step.act == "serve":
            servings.append(Serving(at, (frozenset({pin}),), each.number))


def _of_the_field(situation: Situation) -> list[Release]:
    """The versions that are fetched, from the last one on that everybody has got."""
    out = sorted(
        (each for each in situation.field.versions if each.fetched and not each.waiting),
        key=lambda each: each.number,
    )
    # Nobody fetches: then those without a binary of their own hold the newest one.
    out = out or sorted(_alive(situation), key=lambda each: each.number)[-1:]
    releases: list[Release] = []
    ended: int | None = None
    for version in out:
        found = replace(_release(version, situation), by=ended)
        if not releases or found.number > releases[-1].number:
            # Clients never go back: who comes later with a higher number is what counts.
            releases = [each for each in releases if each.at <= found.at]
            releases.append(found)
            ended = _seconds(version.ended, situation)
    adopt = situation.timing.adopt // SECOND
    known = [at for at, each in enumerate(releases) if each.at + adopt <= 0]
    return releases[known[-1] :] if known else releases


def _alive(situation: Situation) -> tuple[Version, ...]:
    return situation.field.alive(situation.now, situation.timing)


def _release(version: Version, situation: Situation) -> Release:
    policy = policy_in(version.pins, situation.pattern)
    refusing = policy is not None and policy.mode == "enforce"
    pins = frozenset(policy.live_pins) if policy and refusing else None
    at = _seconds(version.fetched, situation) or 0
    return Release(version.number, at, pins, _end(version.pins, situation))


def _end(pins: PinSet, situation: Situation) -> int | None:
    """When the pins for the host begin to refuse all."""
    policy = policy_in(pins, situation.pattern)
    if policy is None or policy.on_expiry != "fail-closed":
        return None
    return _seconds(policy.expires, situation)


def _seconds(moment: datetime | None, situation: Situation) -> int | None:
    return (moment - situation.now) // SECOND if moment else None
