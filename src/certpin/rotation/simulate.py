"""Simulate a fleet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, NoReturn

import numpy as np

from certpin.rotation.simulate_fleet import clients

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from certpin.rotation.simulate_fleet import Clients, Fleet, Whole
    from certpin.rotation.simulate_script import Chains, Release, Script, Serving


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


@dataclass(frozen=True)
class Known:
    """A script; for each release when the last client got it; how many hold each binary.

    Moments are seconds since the beginning. ``adopt`` is T_adopt in seconds.
    """

    script: Script
    last: Sequence[int]
    binaries: Mapping[Release, int]
    adopt: int


def safety(known: Known) -> Iterator[Safety]:
    """For each step that serves or publishes, in the order of their numbers."""
    found = [_of_serving(known, each) for each in known.script.servings if each.step]
    found += [_of_release(known, each) for each in known.script.releases if each.step]
    yield from sorted(found, key=lambda each: each.step)


def _of_serving(known: Known, serving: Serving) -> Safety:
    """When the last client has the first release that accepts it, and each until then after that.

    Not looked at: a release that refuses it again, published after the step.
    """
    first = _accepting(known.script.releases, serving.chains, serving.at)
    step, script = serving.step or 0, known.script
    if first is None or any(
        count and each.refuses(serving.chains, serving.at) for each, count in known.binaries.items()
    ):
        return Safety(step, None, None)
    if first == 0:
        return Safety(step, script.begin, script.begin)
    release = script.releases[first]
    latest = release.at + known.adopt if release.by is None else release.by
    begin = script.begin
    moments = (begin + timedelta(seconds=max(0, at)) for at in (known.last[first], latest))
    return Safety(step, *moments)


def _accepting(releases: Sequence[Release], chains: Chains, at: int) -> int | None:
    """The place of the first release that accepts, behind all that are out and refuse."""
    refusing = [place for place, each in enumerate(releases) if each.refuses(chains, each.at)]
    out = [place for place in refusing if releases[place].at <= at]
    after = out[-1] + 1 if out else 0
    return next((place for place in range(after, len(releases)) if place not in refusing), None)


def _of_release(known: Known, release: Release) -> Safety:
    """When servers begin to serve what it accepts; before it, if they do already."""
    script, step = known.script, release.step or 0
    for serving, following in zip(script.servings, [*script.servings[1:], None], strict=True):
        over = following is not None and following.at <= release.at
        if not over and not release.refuses(serving.chains, max(serving.at, release.at)):
            moment = script.begin + timedelta(seconds=serving.at)
            return Safety(step, moment, moment)
    return Safety(step, None, None)


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


_CHUNK = 2**16  # clients: what they need stays in the cache of a processor
_MOMENTS = 2**22  # of a chunk, one for each client and release: 32 MiB


def simulate(
    script: Script, fleet: Fleet, *, chunk: int = 0, done: Callable[[], object] = lambda: None
) -> Simulation:
    """Take a fleet through a script. The same arguments make the same outcome.

    ``chunk`` is how many clients are looked at together, 0 for ``chunk_of``; ``done`` is called
    after each. Not looked at: binaries of the fleet that the script does not have.
    """
    chunk = chunk or chunk_of(script)
    tally, last = Tally(script), [ALWAYS] * len(script.releases)
    binaries = np.zeros(len(fleet.binaries) + 1, np.int64)
    for first in range(0, fleet.clients, chunk):
        some = clients(fleet, first, min(chunk, fleet.clients - first))
        binaries += np.bincount(some.binary, minlength=binaries.size)
        since = _since(some, script.releases)
        if since[0].size:
            last = [max(at, int(each.max())) for at, each in zip(last, since, strict=True)]
            tally.add(script.releases, since)
        done()
    held = _of_binaries(tally, script, fleet, binaries)
    known = Known(script, last, held, sum(fleet.delays.values()))
    return _outcome(script, tally, known, fleet.clients)


def chunk_of(script: Script) -> int:
    """How many clients are looked at together: fewer where there are many releases."""
    return min(_CHUNK, -(-_MOMENTS // len(script.releases)))


def _since(some: Clients, releases: Sequence[Release]) -> list[Whole]:
    """The moments from which each client without a binary holds each release: never back."""
    fetching = some.binary == len(some.fleet.binaries)
    size = int(np.count_nonzero(fetching))
    found = [np.full(size, ALWAYS, np.int64)]
    for release in releases[1:]:
        held = some.hold_from(release.at)
        held = held if size == held.size else held[fetching]
        if release.by is not None:
            np.minimum(held, release.by, out=held)
        found.append(np.maximum(held, found[-1], out=held))
    return found


def _of_binaries(tally: Tally, script: Script, fleet: Fleet, counts: Whole) -> dict[Release, int]:
    """Add the clients of each binary as one: they all hold the same all the time."""
    shares = {
        number: int(count) for (number, _), count in zip(fleet.binaries, counts, strict=False)
    }
    held = {each: shares.get(each.number, 0) for each in script.binaries}
    for release, count in held.items():
        if count:
            tally.add([release], [np.full(1, ALWAYS, np.int64)], count)
    return held


def _outcome(script: Script, tally: Tally, known: Known, count: int) -> Simulation:
    def moment(seconds: int) -> datetime:
        return script.begin + timedelta(seconds=seconds)

    lockouts = [
        Lockout(cause, each.clients, moment(each.first), moment(each.last))
        for cause, each in tally.causes.items()
    ]
    return Simulation(
        count,
        tally.locked_out,
        tally.seconds,
        tuple(sorted(lockouts, key=lambda each: each.first)),
        tuple(safety(known)),
        tuple(
            Hour(moment(at * HOUR), out, held)
            for at, (out, held) in enumerate(
                zip(tally.refused_by_hour.tolist(), _held(tally), strict=True)
            )
        ),
    )


def _held(tally: Tally) -> list[dict[int, int]]:
    """What is held at each hour. One version after the other: all at once would be much memory."""
    found: list[dict[int, int]] = [{} for _ in range(tally.hours)]
    for number, counts in tally.held_by_hour():
        hours = np.flatnonzero(counts)
        for hour, count in zip(hours.tolist(), counts[hours].tolist(), strict=True):
            found[hour][number] = count
    return found
