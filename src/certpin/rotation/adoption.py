"""Whether every client accepts a pin: derived from the versions in the field, never declared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin.rotation.field import count

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.pins import Pin, State
    from certpin.rotation.field import Version
    from certpin.rotation.situation import Situation


@dataclass(frozen=True)
class Adoption:
    """How far a pin has got.

    ``moment`` is since when it is adopted, or from when on it will be if nothing else is published;
    ``None`` where nobody can say: it isn't out, or a binary without it is. ``refusing`` are the
    versions alive that do not accept it.
    """

    pin: Pin
    adopted: bool
    moment: datetime | None
    refusing: tuple[Version, ...] = ()

    @property
    def clients(self) -> int | None:
        """How many clients would refuse it; ``None`` where that is not known."""
        return count(self.refusing) if self.refusing else (0 if self.adopted else None)

    def __bool__(self) -> bool:
        raise TypeError("an adoption is not true or false: ask whether it is adopted")


def adoption(situation: Situation, pin: Pin) -> Adoption:
    """Look at each version alive."""
    field, timing = situation.field, situation.timing
    alive = field.alive(situation.now, timing)
    refusing = tuple(each for each in alive if not each.accepts(situation.pattern, pin))
    if refusing or not alive:
        ends = [field.dies(each, timing) for each in refusing]
        known = [end for end in ends if end is not None]
        moment = max(known) if known and len(known) == len(ends) else None
        return Adoption(pin, adopted=False, moment=moment, refusing=refusing)
    return Adoption(pin, adopted=True, moment=_since(situation, pin))


def standing(situation: Situation, pin: Pin) -> State:
    """Where a pin stands: what the draft says, else the journal.

    What follows from the field is derived, whatever was declared: STAGED until a version holds it,
    PUBLISHED until every client does, then ADOPTED. A pin that nobody has heard of is GENERATED:
    its key exists, since somebody names it.
    """
    entry = situation.entry(pin)
    declared = entry.state if entry else situation.past.states.get(pin, "generated")
    if entry and declared in {"generated", "staged", "published", "adopted"}:
        return _derived(situation, pin)
    return declared


def _derived(situation: Situation, pin: Pin) -> State:
    latest = situation.field.latest
    if latest is None or not latest.accepts(situation.pattern, pin):
        return "staged"
    return "adopted" if adoption(situation, pin).adopted else "published"


def _since(situation: Situation, pin: Pin) -> datetime | None:
    """When the last version that refused it died, or the first that accepts it came out."""
    field, timing, pattern = situation.field, situation.timing, situation.pattern
    accepting = [each.since for each in field.versions if each.accepts(pattern, pin)]
    refusing = [
        field.dies(each, timing) for each in field.versions if not each.accepts(pattern, pin)
    ]
    first = min(filter(None, accepting), default=None)
    return max(filter(None, (first, *refusing)), default=None)
