"""A tiny model of clients, independent of the gate: their versions, and lockouts.

A client that fetches holds a version that was the newest at some time of the last T_adopt. A
client of a binary holds that binary's version until the binary is gone. A client accepts a key of
its version until the pins of that version expire.
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
        """The versions of the clients that are locked out at a time."""
        return [
            each
            for each in self.held(at)
            if not self.served <= each.pins or (each.end is not None and at >= each.end)
        ]

    def newest(self, at: datetime) -> int:
        """The number of the version that clients fetch at a time; 0 if there is none."""
        out = [v.number for v in self.versions if v.fetched is not None and v.fetched <= at]
        return max(out, default=0)

    def _fetched(self, version: Held, at: datetime) -> bool:
        """Return True if it was the newest at some time of the window that ends now."""
        if version.fetched is None or version.fetched > at:
            return False
        changes = [v.fetched for v in self.versions if v.fetched is not None and v.fetched <= at]
        window = [at - self.delay, *(change for change in changes if change > at - self.delay)]
        # At the beginning of the window, the newest version is the one of that time.
        return any(self.newest(moment) == version.number for moment in window)


def _bundled(version: Held, at: datetime) -> bool:
    started = version.bundled is not None and version.bundled <= at
    return started and (version.gone is None or at < version.gone)
