"""The field: which versions of a pin set clients still hold, at a moment.

A version that is fetched lives until a higher one has been out for T_adopt. A version in a binary
lives until somebody says that it has ended: nobody can tell from here who still runs that binary.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from certpin.pins import HostPattern, HostPolicy, Pin, PinSet
    from certpin.rotation.timing import Timing


@dataclass(frozen=True)
class Version:
    """A pin set that was given to clients. Every moment has a time zone.

    ``fetched`` is when it could first be fetched, ``bundled`` when it went into a binary; ``None``
    where it never did. ``ended`` is when somebody measured that no client holds it any more.
    ``clients`` is how many hold it, ``None`` where nobody knows. ``waiting`` is a signed set that
    nobody has pushed yet, as far as is known: some client may hold it, but none that asks gets it.
    ``told`` is the last day on which a client told that it holds it, and ``gone`` from when on so
    few do that they may be lost: both are measured (``certpin.rotation.measured``).
    """

    pins: PinSet
    fetched: datetime | None = None
    bundled: datetime | None = None
    ended: datetime | None = None
    clients: int | None = None
    waiting: bool = False
    told: datetime | None = None
    gone: datetime | None = None

    @property
    def number(self) -> int:
        """Its version."""
        return self.pins.version

    @property
    def since(self) -> datetime | None:
        """The first moment at which a client could hold it."""
        return min(filter(None, (self.fetched, self.bundled)), default=None)

    def accepts(self, pattern: HostPattern, pin: Pin) -> bool:
        """Whether its clients accept a key with this pin.

        A version that has no policy for the host, or only reports, refuses nothing. Not looked at:
        which place of the chain may match, and the date on which its pins end.
        """
        policy = policy_in(self.pins, pattern)
        return policy is None or policy.mode == "report" or pin in policy.live_pins


@dataclass(frozen=True)
class Field:
    """Every version that ever went out. Two of one number are two: both may be out there."""

    versions: tuple[Version, ...] = ()

    @property
    def latest(self) -> Version | None:
        """The one with the highest number."""
        return max(self.versions, key=lambda each: each.number, default=None)

    def dies(self, version: Version, timing: Timing) -> datetime | None:
        """The first moment at which no client holds it; ``None`` where nobody can say.

        Who told it after that moment was slower than anybody promised: it lives for T_adopt more.
        """
        end = self._promised(version, timing)
        if version.gone is not None:
            return version.gone if end is None else min(end, version.gone)
        if version.told is None or not self.outlives(version, timing):
            return end
        if version.bundled is not None or self.superseded(version) is None:
            return None
        return version.told + timing.adopt

    def outlives(self, version: Version, timing: Timing) -> bool:
        """Whether a client told a version when none should have held it any more."""
        end = self._promised(version, timing)
        return end is not None and version.told is not None and version.told >= end

    def superseded(self, version: Version) -> datetime | None:
        """When those that fetch a version could first have a higher one; ``None`` if not yet."""
        if version.fetched is None:
            return None
        following = [
            max(each.fetched, version.fetched)
            for each in self.versions
            if each.fetched is not None and not each.waiting and each.number > version.number
        ]
        return min(following, default=None)

    def _promised(self, version: Version, timing: Timing) -> datetime | None:
        """When it dies by what its owner said: that it has ended, or how slow clients are."""
        if version.ended is not None:
            return version.ended
        out = None if version.bundled is not None else self.superseded(version)
        return None if out is None else out + timing.adopt

    def alive(self, at: datetime, timing: Timing) -> tuple[Version, ...]:
        """The versions that some client may hold, lowest number first."""
        found = [each for each in self.versions if self._lives(each, at, timing)]
        return tuple(sorted(found, key=lambda each: each.number))

    def with_version(self, pins: PinSet, at: datetime, *, bundled: bool = False) -> Field:
        """The field after a pin set went out, to be fetched or in a binary."""
        version = Version(pins, bundled=at) if bundled else Version(pins, fetched=at)
        return replace(self, versions=(*self.versions, version))

    def _lives(self, version: Version, at: datetime, timing: Timing) -> bool:
        since, until = version.since, self.dies(version, timing)
        return since is not None and since <= at and (until is None or at < until)


def policy_in(pins: PinSet, pattern: HostPattern) -> HostPolicy | None:
    """The policy of a pattern in a pin set: its own, or for a host the one that covers it."""
    for policy in pins.policies:
        if policy.pattern == pattern:
            return policy
    return None if pattern.wildcard else pins.policy_for(pattern.name)


def count(versions: Iterable[Version]) -> int | None:
    """How many clients hold one of these versions; ``None`` where that is not known of one."""
    total = 0
    for version in versions:
        if version.clients is None:
            return None
        total += version.clients
    return total
