"""A small model of clients and the pin sets that they have: which clients are locked out.

It has no code in common with ``certpin.rotation``. A client that fetches has some version that was
the newest one within the last T_adopt, the longest time that an update takes. A client with a
bundled version has it until its app is gone. A client accepts the keys that its version pins, until
those pins expire.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from certpin.pins import Pin


@dataclass(frozen=True)
class Held:
    """A version of the pin set as clients have it: its live pins, and when it reached them."""

    number: int
    pins: frozenset[Pin]
    fetched: datetime | None = None
    bundled: datetime | None = None
    gone: datetime | None = None  # the last binary with it
    end: datetime | None = None  # of its pins


@dataclass
class Fleet:
    """All clients of a host: the versions that were published, and the keys that servers present.

    ``delay`` is T_adopt, the longest time until every client has a new version.
    """

    delay: timedelta
    served: set[Pin]
    versions: list[Held] = field(default_factory=list)

    def held(self, at: datetime) -> list[Held]:
        """Return the versions that some client may still have at a time."""
        return [each for each in self.versions if self._fetched(each, at) or _bundled(each, at)]

    def locked_out(self, at: datetime) -> list[Held]:
        """Return the versions with clients that refuse the served keys at a time.

        Such a version lacks the pin of a served key, or its pins have expired.
        """
        return [
            each
            for each in self.held(at)
            if not self.served <= each.pins or (each.end is not None and at >= each.end)
        ]

    def newest(self, at: datetime) -> int:
        """Return the number of the version that clients fetch at a time; 0 if there is none."""
        out = [v.number for v in self.versions if v.fetched is not None and v.fetched <= at]
        return max(out, default=0)

    def _fetched(self, version: Held, at: datetime) -> bool:
        """Return True if a client that fetches pin sets may have this version at a time.

        That is the case if the version was the newest one at some time of the period of length
        ``delay`` that ends at ``at``.
        """
        if version.fetched is None or version.fetched > at:
            return False
        changes = [v.fetched for v in self.versions if v.fetched is not None and v.fetched <= at]
        window = [at - self.delay, *(change for change in changes if change > at - self.delay)]
        # At the beginning of the window, the newest version is the one of that time.
        return any(self.newest(moment) == version.number for moment in window)


def _bundled(version: Held, at: datetime) -> bool:
    started = version.bundled is not None and version.bundled <= at
    return started and (version.gone is None or at < version.gone)
