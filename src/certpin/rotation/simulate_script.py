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
from certpin.rotation.breach import in_utc
from certpin.rotation.simulate_fleet import SECOND
from certpin.rotation.simulate_release import (
    Release,
    Serving,
    alive,
    assumed,
    end_of,
    in_binaries,
    of_the_field,
    release_of,
)
from certpin.rotation.timing import LONGEST, format_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from certpin.rotation.situation import Situation
    from certpin.rotation.step import Step

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
