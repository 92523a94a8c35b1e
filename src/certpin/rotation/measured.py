"""What clients told of the versions that they hold, and what may follow from it.

Whoever reaches the collector can tell it anything, and apps without a reporter tell it nothing. So

1. by default it only delays: a version that somebody told after it should have died lives on,
   until nobody has told it for T_adopt. Whoever lies can hold a rotation up, and is seen to;
2. it shortens only where its user asks for that, with thresholds (``Enough``). Then a version dies
   when so few have told it, each day of a whole cycle, that they may be lost. How few is a share of
   a number that the user gives, never of what was told: a flood of lies about the new version does
   not make those who tell of the old one fewer. What is shortened is the time until the last user
   opens the app, and nothing else; never the life of a version in a binary.

Nothing here says that a version is out, or that it accepts a pin: the journal does.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING

from certpin.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from certpin.rotation.adoption import Field, Version
    from certpin.rotation.timing import Timing

DAY = timedelta(days=1)
CYCLE = 7  # days in which an app is used in every way that it is: people have weeks


@dataclass(frozen=True)
class Told:
    """How many clients told, on one day, that they hold a version. ``day`` is its first moment."""

    day: datetime
    version: int
    clients: int


@dataclass(frozen=True)
class Enough:
    """When those that hold an old version are few enough to be lost. Raises ``InputError``.

    ``share`` of ``clients`` has to hold something newer, on each of ``days`` whole days in a row.
    At least ``clients`` have to tell each day, or the watch does not see enough to say anything.
    """

    share: Fraction
    clients: int
    days: int = CYCLE

    def __post_init__(self) -> None:
        if not Fraction(1, 2) < self.share <= 1:
            raise InputError("enough is more than half of them", fix="say 99.9%, or 100%")
        if self.clients < 1:
            raise InputError("nobody is not enough", fix="say how many clients tell each day")
        if not CYCLE <= self.days <= 366:
            raise InputError(f"a cycle has at least {CYCLE} days", fix="say 7, or more")

    @property
    def lost(self) -> int:
        """How many may be left behind."""
        return int((1 - self.share) * self.clients)


def measured(
    field: Field,
    told: Iterable[Told],
    timing: Timing,
    now: datetime,
    enough: Enough | None = None,
) -> Field:
    """The field with what was told of it. A day that has not ended tells of nobody that he left."""
    counts: dict[int, dict[datetime, int]] = defaultdict(lambda: defaultdict(int))
    for each in told:
        if each.day <= now and each.clients > 0:
            counts[each.version][each.day] += each.clients
    versions = [
        replace(
            each,
            clients=_clients(each, counts[each.number], now),
            told=max(counts[each.number], default=None),
            gone=_gone(field, each, counts, timing, now, enough) if enough else None,
        )
        for each in field.versions
    ]
    return replace(field, versions=tuple(versions))


def _clients(version: Version, days: Mapping[datetime, int], now: datetime) -> int | None:
    """The most that told it on one day of the last cycle; never fewer than a person said.

    Where nobody told anything, nobody knows: there may be no reporter in that app.
    """
    lately = [number for day, number in days.items() if day > now - (CYCLE + 1) * DAY]
    return max([*lately, *([] if version.clients is None else [version.clients])], default=None)


def _gone(
    field: Field,
    version: Version,
    counts: Mapping[int, Mapping[datetime, int]],
    timing: Timing,
    now: datetime,
    enough: Enough,
) -> datetime | None:
    """From when on so few hold a version that is fetched; ``None`` where that was not measured.

    Every day of the cycle began when the next version had been out for all that machines need.
    """
    out = field.superseded(version)
    if out is None or version.bundled is not None:
        return None
    from_then_on = out + timing.adopt - timing.opened
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [today - number * DAY for number in range(1, enough.days + 1)]
    if days[-1] < from_then_on:
        return None
    known = {each.number for each in field.versions}
    old = {
        each.number
        for each in field.versions
        if each.number <= version.number and each.bundled is None
    }
    for day in days:
        told = {number: counts.get(number, {}).get(day, 0) for number in known}
        left = sum(told[number] for number in old)
        if sum(told.values()) < enough.clients or left > enough.lost:
            return None
    return today
