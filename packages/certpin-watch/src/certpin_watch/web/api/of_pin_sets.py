"""The watched pin sets, and who holds which version of them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from certpin_watch.store.queries import adoption
from certpin_watch.web.api import asking
from certpin_watch.web.api.resource import Resource, there

if TYPE_CHECKING:
    from datetime import datetime

    from certpin_watch.snapshot import WatchedSet
    from certpin_watch.web.api.resource import Ask


class PinSetFacts(msgspec.Struct, frozen=True):
    """A watched pin set. ``alive`` are the versions that clients may hold."""

    name: str
    version: int
    hosts: int
    published: int | None
    alive: tuple[int, ...]
    adopt_seconds: int


def _pin_sets(ask: Ask) -> list[PinSetFacts]:
    return [_pin_set(each, ask.now) for each in ask.watch.watched.snapshot().sets]


def _pin_set(watched: WatchedSet, now: datetime) -> PinSetFacts:
    latest, adopt = watched.field.latest, watched.timing.adopt
    return PinSetFacts(
        watched.pins.name,
        watched.pins.version,
        len(watched.pins.policies),
        latest.number if latest else None,
        tuple(each.number for each in watched.alive(now)),
        int(adopt / timedelta(seconds=1)),
    )


def _adoption(ask: Ask) -> adoption.Adoption:
    sets = ask.watch.watched.snapshot().sets
    found = there(next((each for each in sets if each.pins.name == ask.path["name"]), None))
    return adoption.adoption(ask.connection, found, ask.now, days=ask.query["days"])


_DAYS = asking.number("days", "How many days back.", 90, 1, adoption.MOST_DAYS)

RESOURCES: tuple[Resource, ...] = (
    Resource("/pin-sets", "The watched pin sets.", list[PinSetFacts], _pin_sets),
    Resource(
        "/pin-sets/{name}/adoption",
        "Which version clients say that they hold. Claims, not facts.",
        adoption.Adoption,
        _adoption,
        (_DAYS,),
    ),
)
