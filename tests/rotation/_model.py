"""A tiny model of clients, independent of the gate: their versions, and lockouts.

A client that fetches holds what was the newest version at some moment of the last T_adopt: none
lags behind further. A client of a binary holds that binary's version until it is gone. A client
accepts a key that stands in its version, until the pins of that version end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from certpin.pins import Pin


@dataclass(frozen=True)
class Held:
    """A version as clients hold it."""

    number: int
    pins: frozenset[Pin]
    fetched: datetime | None = None
    bundled: datetime | None = None
    gone: datetime | None = None  # the last binary with it
    end: datetime | None = None  # of its pins


@dataclass
class Fleet:
    """Every version that was published, and the keys that servers use."""

    delay: timedelta
    served: set[Pin]
    versions: list[Held] = field(default_factory=list)

    def held(self, at: datetime) -> list[Held]:
        """The versions that the slowest clients may hold."""
        return [each for each in self.versions if self._fetched(each, at) or _bundled(each, at)]

    def locked_out(self, at: datetime) -> list[Held]:
        """The versions whose clients are refused by a server, at this moment."""
        return [
            each
            for each in self.held(at)
            if not self.served <= each.pins or (each.end is not None and at >= each.end)
        ]

    def newest(self, at: datetime) -> int:
        """The number that a client gets that fetches now; 0 where there is none."""
        out = [v.number for v in self.versions if v.fetched is not None and v.fetched <= at]
        return max(out, default=0)

    def _fetched(self, version: Held, at: datetime) -> bool:
        """Whether it was the newest at some moment of the window that ends now."""
        if version.fetched is None or version.fetched > at:
            return False
        changes = [v.fetched for v in self.versions if v.fetched is not None and v.fetched <= at]
        window = [at - self.delay, *(change for change in changes if change > at - self.delay)]
        # Just behind the window's beginning, the newest is what it was at that very moment.
        return any(self.newest(moment) == version.number for moment in window)


def _bundled(version: Held, at: datetime) -> bool:
    started = version.bundled is not None and version.bundled <= at
    return started and (version.gone is None or at < version.gone)
