"""What became of a simulated fleet: who was locked out, when, by what, and who held what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn

if TYPE_CHECKING:
    from datetime import datetime

# ``beginning``: refused when the simulation began. ``publish`` and ``serve`` may be from before it.
Event = Literal["beginning", "publish", "serve", "expiry"]


@dataclass(frozen=True)
class Cause:
    """What locks clients out: a step of its number, or an event that is none.

    ``version`` is what was published, or whose pins have come to their end.
    """

    event: Event
    step: int | None = None
    version: int | None = None


@dataclass(frozen=True)
class Lockout:
    """The clients that one cause locked out, each counted once.

    ``first`` is when the first is locked out, ``last`` when the last one no longer is: the end of
    the simulation where some still are.
    """

    cause: Cause
    clients: int
    first: datetime
    last: datetime


@dataclass(frozen=True)
class Safety:
    """From when on a step would lock nobody out, as everything else is.

    ``fleet`` is that date for the clients that were simulated, ``guaranteed`` that for whatever
    client T_adopt allows; ``None`` where no date helps.
    """

    step: int
    fleet: datetime | None
    guaranteed: datetime | None


@dataclass(frozen=True)
class Hour:
    """The fleet at a moment: the clients that are locked out, and those that hold each version.

    A version that nobody holds is not in ``held``.
    """

    at: datetime
    locked_out: int
    held: dict[int, int]


@dataclass(frozen=True)
class Simulation:
    """The whole outcome. ``locked_out`` counts each client once, ``seconds`` all of their times.

    ``hours`` begins with the beginning. What begins and ends within an hour is not in it.
    """

    clients: int
    locked_out: int
    seconds: int
    lockouts: tuple[Lockout, ...]
    safety: tuple[Safety, ...]
    hours: tuple[Hour, ...]

    @property
    def peak(self) -> Hour:
        """The first hour in which the most clients are locked out."""
        return max(self.hours, key=lambda hour: hour.locked_out)

    def __bool__(self) -> NoReturn:
        raise TypeError("a simulation is not true or false: ask how many were locked out")
