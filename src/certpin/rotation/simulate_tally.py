"""Counting over a fleet that never is in memory as a whole: each group of clients is added to it.

A group is many clients with the moments from which they hold each release, or one with the weight
of all that hold the same binary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from certpin.rotation.simulate_outcome import Cause

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from certpin.rotation.simulate_clients import Whole
    from certpin.rotation.simulate_release import Chains, Release
    from certpin.rotation.simulate_script import Script

HOUR = 3600
ALWAYS = -(2**62)  # a moment before all others
NEVER = 2**62


@dataclass(frozen=True)
class Span:
    """A time in which neither what is served changes nor the end of any pins comes."""

    begin: int
    end: int
    chains: Chains
    cause: Cause


def spans(script: Script) -> list[Span]:
    """The simulation from beginning to end, each span with what began it."""
    ends = {each.end for each in (*script.releases, *script.binaries) if each.end is not None}
    changes = [(at, Cause("expiry")) for at in ends]
    changes += [(each.at, Cause("serve", each.step)) for each in script.servings[1:]]
    changes = [each for each in changes if 0 <= each[0] < script.until]
    changes = [(0, Cause("beginning")), *sorted(changes, key=lambda each: each[0])]
    ends_at = [*(at for at, _ in changes[1:]), script.until]
    return [
        Span(at, end, _served(script, at), cause)
        for (at, cause), end in zip(changes, ends_at, strict=True)
    ]


def _served(script: Script, at: int) -> Chains:
    return [each.chains for each in script.servings if each.at <= at][-1]


@dataclass
class Sum:
    """What one cause has done: clients, and the seconds of the first and the last of it."""

    clients: int = 0
    first: int = NEVER
    last: int = ALWAYS


class Tally:
    """The sums. Numbers of clients, and seconds since the beginning."""

    def __init__(self, script: Script) -> None:
        self.spans = spans(script)
        self.locked_out = self.seconds = 0
        self.causes: dict[Cause, Sum] = {}
        self.hours = script.until // HOUR
        self._refused = self._empty()
        self._held: dict[int, Whole] = {}

    @property
    def refused_by_hour(self) -> Whole:
        """The clients that are locked out at each full hour."""
        return self._by_hour(self._refused)

    def held_by_hour(self) -> Iterator[tuple[int, Whole]]:
        """The clients that hold each version at each full hour."""
        for number, each in self._held.items():
            yield number, self._by_hour(each)

    def add(self, releases: Sequence[Release], since: Sequence[Whole], weight: int = 1) -> None:
        """Add clients that hold each of these releases from ``since`` until the next one."""
        self._hold(releases, since, weight)
        group = _Group(since[0].size, weight)
        until = [*since[1:], np.full(since[0].shape, NEVER, np.int64)]
        for span in self.spans:
            for release, begin, end in zip(releases, since, until, strict=True):
                if release.refuses(span.chains, span.begin):
                    start, stop = np.maximum(begin, span.begin), np.minimum(end, span.end)
                    if (at := np.flatnonzero(start < stop)).size:
                        self._lock_out(group, (span, release), at, start[at], stop[at])
        self.locked_out += int(np.count_nonzero(group.until != ALWAYS)) * weight

    def _hold(self, releases: Sequence[Release], since: Sequence[Whole], weight: int) -> None:
        before = None
        for release, begin in zip(releases, since, strict=True):
            changes = self._changes(begin) * weight
            self._held.setdefault(release.number, self._empty())[:] += changes
            if before is not None:
                self._held[before] -= changes
            before = release.number

    def _lock_out(
        self, group: _Group, by: tuple[Span, Release], at: Whole, start: Whole, stop: Whole
    ) -> None:
        """Count them; who was refused the moment before has a cause already, and keeps it."""
        (span, release), fresh = by, start > group.until[at]
        in_span = fresh & (start == span.begin)
        published = Cause("publish", release.step, release.number)
        ended = Cause("expiry", version=release.number)
        begun = ended if span.cause.event == "expiry" else span.cause
        group.blame(self.causes, begun, at[in_span], start[in_span])
        group.blame(self.causes, published, at[fresh & ~in_span], start[fresh & ~in_span])
        group.until[at] = stop
        group.extend(self.causes, at, stop)
        self.seconds += int((stop - start).sum()) * group.weight
        self._refused += (self._changes(start) - self._changes(stop)) * group.weight

    def _empty(self) -> Whole:
        return np.zeros(self.hours + 2, np.int64)

    def _by_hour(self, changes: Whole) -> Whole:
        found: Whole = np.cumsum(changes)[: self.hours]
        return found

    def _changes(self, moments: Whole) -> Whole:
        """How many of these moments each full hour is the first one at or after."""
        hours = (np.clip(moments, 0, (self.hours + 1) * HOUR) + (HOUR - 1)) // HOUR
        return np.bincount(hours, minlength=self.hours + 2)


class _Group:
    """Some clients while they are added: until when each was refused last, and by whose fault."""

    def __init__(self, size: int, weight: int) -> None:
        self.weight = weight
        self.until = np.full(size, ALWAYS, np.int64)
        self._fault = np.zeros(size, np.int64)
        self._causes: list[Cause] = []

    def blame(self, causes: dict[Cause, Sum], cause: Cause, at: Whole, start: Whole) -> None:
        """Clients that are newly locked out."""
        if not at.size:
            return
        if cause not in self._causes:
            self._causes.append(cause)
        self._fault[at] = self._causes.index(cause)
        found = causes.setdefault(cause, Sum())
        found.clients += int(at.size) * self.weight
        found.first = min(found.first, int(start.min()))

    def extend(self, causes: dict[Cause, Sum], at: Whole, stop: Whole) -> None:
        """Clients that are locked out until these moments, by whatever did it first."""
        for number, cause in enumerate(self._causes):
            ends = stop[self._fault[at] == number]
            if ends.size:
                causes[cause].last = max(causes[cause].last, int(ends.max()))
