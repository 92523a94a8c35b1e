"""Simulate a rotation: how many clients of a fleet are locked out, when, and by which step.

The simulation computes for each client the times from which it holds each release (a version of the
pin set). Between two of these times, and between two changes of the served keys, the client is
either accepted or locked out. Clients are simulated in chunks, so that the fleet is never in memory
as a whole; the result doesn't depend on the size of the chunks.

Importing this module loads numpy, which the extra ``simulate`` installs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, NoReturn

import numpy as np

from certpin.rotation.fleet import ALWAYS, Arrival, Cohort, app_cohort, fetch_cohort
from certpin.rotation.simulate_fleet import NEVER, held_since
from certpin.rotation.simulate_script import Release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from certpin.rotation.fleet import Fleet
    from certpin.rotation.simulate_fleet import Integers
    from certpin.rotation.simulate_script import Chains, Script, Serving

HOUR = 3600  # seconds
_MAX_CHUNK = 2**16  # clients: their data fits into the cache of a processor
_MAX_TIMES = 2**22  # in a chunk, one for each client and release: 32 MiB

# ``beginning``: refused when the simulation begins. ``publish`` and ``serve`` may be before it.
CauseEvent = Literal["beginning", "publish", "serve", "expiry"]


@dataclass(frozen=True)
class LockoutCause:
    """The reason why clients are locked out in a simulation.

    Attributes:
        event: the kind of event that began the lockout: ``publish``, ``serve`` or ``expiry``, or
            ``beginning`` if clients were locked out when the simulation began.
        step: the number of the step that began the lockout; ``None`` if no step did.
        version: the number of the version that was published, or of the version with pins that
            expired; ``None`` for other events.
    """

    event: CauseEvent
    step: int | None = None
    version: int | None = None


@dataclass(frozen=True)
class Lockout:
    """The number of simulated clients that one cause locks out, each client counted once.

    Attributes:
        cause: the reason why they are locked out.
        clients: the number of clients.
        first: when the first client is locked out.
        last: when the last client can connect again; the end of the simulation if some never can.
    """

    cause: LockoutCause
    clients: int
    first: datetime
    last: datetime


@dataclass(frozen=True)
class Safety:
    """The earliest time at which a step of a simulated rotation locks no client out.

    The assumption is that all other steps keep their dates.

    Attributes:
        step: the number of the step.
        guaranteed: the earliest safe time for all clients that are not slower than T_adopt (the sum
            of the delays until every client has a published version); ``None`` if there is none.
    """

    step: int
    guaranteed: datetime | None


@dataclass(frozen=True)
class Hour:
    """The state of the simulated fleet at one full hour.

    Attributes:
        at: the time.
        locked_out: how many clients are locked out.
        held: how many clients hold each version, by version number. Versions that no client holds
            are missing.
    """

    at: datetime
    locked_out: int
    held: dict[int, int]


@dataclass(frozen=True)
class Simulation:
    """The result of a simulation of a rotation.

    Attributes:
        clients: how many clients were simulated.
        locked_out: how many clients are ever locked out, each counted once.
        seconds: the sum, over all clients, of the seconds for which each is locked out.
        lockouts: the clients that each cause locks out, sorted by the first lockout.
        safety: the earliest safe time of each step that publishes or serves a key.
        hours: the state of the fleet at each full hour. A lockout that begins and ends between two
            full hours is not visible in it.
    """

    clients: int
    locked_out: int
    seconds: int
    lockouts: tuple[Lockout, ...]
    safety: tuple[Safety, ...]
    hours: tuple[Hour, ...]

    @property
    def peak(self) -> Hour:
        """The first full hour at which the most clients are locked out, with the fleet's state."""
        return max(self.hours, key=lambda hour: hour.locked_out)

    def __bool__(self) -> NoReturn:
        raise TypeError("a simulation has no truth value: use its attribute locked_out")


def simulate(
    script: Script, fleet: Fleet, *, chunk: int = 0, done: Callable[[], object] = lambda: None
) -> Simulation:
    """Simulate which clients of a fleet are locked out by a script of publishes and served keys.

    Equal arguments give equal results.

    Args:
        script: published versions and served keys. Binaries of the fleet that are not in it are
            ignored.
        fleet: the clients.
        chunk: how many clients to simulate together; 0 for ``chunk_size``.
        done: called without arguments after each chunk.
    """
    chunk = chunk or chunk_size(script)
    tally = Tally(script)
    left: list[tuple[Release, int]] = []
    for cohort, releases in _cohorts(script, fleet):
        fetching = releases is script.releases
        until = [ALWAYS] * len(releases)
        for first in range(0, cohort.clients or 0, chunk):
            since = held_since(cohort, first, min(chunk, (cohort.clients or 0) - first))
            ends = [int(np.max(times)) for times in since[1:]]
            until = list(map(max, until, [*ends, NEVER]))
            tally.add(releases, since)
            done()
        left += [] if fetching else zip(releases, until, strict=True)
    left += [(release, NEVER) for release in _add_binaries(tally, script, fleet)]
    safety = _safety(_SafetyInput(script, left, sum_of_delays(fleet)))
    return _result(script, tally, tuple(safety), fleet.clients)


def sum_of_delays(fleet: Fleet) -> int:
    """Return T_adopt in whole seconds: the sum of the delays until each client has a version."""
    return fleet.timing.adopt // timedelta(seconds=1)


def chunk_size(script: Script) -> int:
    """Return the number of clients to simulate at once.

    It is lower if ``script``, the input of the simulation, has many releases, to save memory.
    """
    return min(_MAX_CHUNK, -(-_MAX_TIMES // len(script.releases)))


def _cohorts(script: Script, fleet: Fleet) -> Iterator[tuple[Cohort, Sequence[Release]]]:
    """Yield each group of clients that fetch or install the same releases, with these releases.

    The releases (versions of the pin set) are in the order in which the clients get them.
    ``script`` has the releases, and ``fleet`` the numbers of clients and their delays. Clients that
    keep one binary for ever are not included. Times are seconds since the beginning of the
    simulation.
    """
    sizes = fleet.sizes
    fetched = [Arrival(each.number, each.at, fleet.arrivals, each.by) for each in script.releases]
    yield Cohort(sizes.fetching, fetch_cohort(fetched)), script.releases
    for app in script.apps:
        arrivals = app_cohort(app.entries, fetched if script.fetched else (), app.begin)
        by_number = {each.number: each for each in (*script.releases, *app.releases)}
        by_number[0] = Release(0, 0, ())
        releases = [by_number[arrival.number] for arrival in arrivals]
        yield Cohort(sizes.apps.get(app.name, 0), arrivals), releases


def _add_binaries(tally: Tally, script: Script, fleet: Fleet) -> list[Release]:
    """Add the clients of the simulated binaries of unknown apps to the tally.

    These clients keep the version in their binary for ever. The clients of one binary are added as
    one group, because they always hold the same version.

    Args:
        tally: the counts, which are changed.
        script: the input of the simulation, with the versions in the binaries.
        fleet: the clients.

    Returns:
        The versions in binaries that some client holds.
    """
    counts = fleet.sizes.binaries
    held = [release for release in script.binaries if counts.get(release.number)]
    for release in held:
        weight = counts[release.number] or 0
        tally.add([release], [np.full(1, ALWAYS, np.int64)], weight)
    return held


def _result(script: Script, tally: Tally, safety: tuple[Safety, ...], clients: int) -> Simulation:
    def moment(seconds: int) -> datetime:
        return script.begin + timedelta(seconds=seconds)

    lockouts = [
        Lockout(cause, total.clients, moment(total.first), moment(total.last))
        for cause, total in tally.causes.items()
    ]
    hours = zip(tally.refused_by_hour.tolist(), _held_by_hour(tally), strict=True)
    return Simulation(
        clients,
        tally.locked_out,
        tally.seconds,
        tuple(sorted(lockouts, key=lambda lockout: lockout.first)),
        safety,
        tuple(Hour(moment(at * HOUR), out, held) for at, (out, held) in enumerate(hours)),
    )


def _held_by_hour(tally: Tally) -> list[dict[int, int]]:
    """Return for each full hour the number of clients that hold each version, by version number.

    ``tally`` has the counts of the simulation. Versions are processed one at a time, because the
    data of all at once would need much memory.
    """
    found: list[dict[int, int]] = [{} for _ in range(tally.hours)]
    for number, counts in tally.held_by_hour():
        if not number:  # clients that run no release of their app any more
            continue
        hours = np.flatnonzero(counts)
        for hour, count in zip(hours.tolist(), counts[hours].tolist(), strict=True):
            found[hour][number] = count
    return found


@dataclass(frozen=True)
class Span:
    """A period of a simulation in which the served keys don't change and no pins expire.

    Attributes:
        begin: the first second of the period, counted from the beginning of the simulation.
        end: the second at which the next period begins.
        chains: the chains that servers present.
        cause: the event that began the period.
    """

    begin: int
    end: int
    chains: Chains
    cause: LockoutCause


@dataclass
class CauseTotal:
    """The number of clients that one cause locks out, and when these lockouts begin and end.

    Seconds count from the beginning of the simulation.

    Attributes:
        clients: the number of clients.
        first: when the first client is locked out.
        last: when the last client can connect again.
    """

    clients: int = 0
    first: int = NEVER
    last: int = ALWAYS


class Tally:
    """Counts, over all groups of simulated clients, lockouts and the versions that clients hold.

    Times are seconds since the beginning of the simulation.

    Clients are added in groups. For each client of a group, the times are known from which the
    client holds each release (a version of the pin set). All clients with one binary behave alike,
    so they are added as one client with a weight: their number.
    """

    def __init__(self, script: Script) -> None:
        self.spans = spans(script)
        self.locked_out = self.seconds = 0
        self.causes: dict[LockoutCause, CauseTotal] = {}
        self.hours = script.until // HOUR
        self._refused = self._empty()
        self._held: dict[int, Integers] = {}

    @property
    def refused_by_hour(self) -> Integers:
        """The number of clients that are locked out at each full hour, as an array."""
        return self._by_hour(self._refused)

    def held_by_hour(self) -> Iterator[tuple[int, Integers]]:
        """Yield each version number, with an array of its numbers of clients at each full hour.

        The index in the array is the number of hours since the beginning of the simulation.
        """
        for number, changes in self._held.items():
            yield number, self._by_hour(changes)

    def add(self, releases: Sequence[Release], since: Sequence[Integers], weight: int = 1) -> None:
        """Count a group of clients, which hold these releases one after the other.

        Args:
            releases: the releases (versions of the pin set) in the order in which clients hold
                them.
            since: for each release, an array with the second from which each client holds it. The
                client holds it until the second of the next release.
            weight: how many clients each entry of the arrays represents.
        """
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

    def _hold(self, releases: Sequence[Release], since: Sequence[Integers], weight: int) -> None:
        before = None
        for release, begin in zip(releases, since, strict=True):
            changes = self._changes(begin) * weight
            self._held.setdefault(release.number, self._empty())[:] += changes
            if before is not None:
                self._held[before] -= changes
            before = release.number

    def _lock_out(
        self, group: _Group, by: tuple[Span, Release], at: Integers, start: Integers, stop: Integers
    ) -> None:
        """Count clients as locked out. A client that is locked out already keeps its cause.

        Args:
            group: the group of clients.
            by: the period, and the release (version of the pin set) that refuses the servers in
                that period.
            at: the indexes of the clients in the group.
            start: for each of these clients, the second from which it is locked out.
            stop: for each of these clients, the second from which it can connect again.
        """
        (span, release), fresh = by, start > group.until[at]
        in_span = fresh & (start == span.begin)
        published = LockoutCause("publish", release.step, release.number)
        expired = LockoutCause("expiry", version=release.number)
        begun = expired if span.cause.event == "expiry" else span.cause
        group.blame(self.causes, begun, at[in_span], start[in_span])
        group.blame(self.causes, published, at[fresh & ~in_span], start[fresh & ~in_span])
        group.until[at] = stop
        group.extend(self.causes, at, stop)
        self.seconds += int((stop - start).sum()) * group.weight
        self._refused += (self._changes(start) - self._changes(stop)) * group.weight

    def _empty(self) -> Integers:
        return np.zeros(self.hours + 2, np.int64)

    def _by_hour(self, changes: Integers) -> Integers:
        found: Integers = np.cumsum(changes)[: self.hours]
        return found

    def _changes(self, moments: Integers) -> Integers:
        """Return the number of the times in ``moments`` that belong to each full hour, as an array.

        ``moments`` is an array of seconds at which clients change their state, such as the
        beginning of a lockout. Each is rounded up to a full hour.
        """
        hours = (np.clip(moments, 0, (self.hours + 1) * HOUR) + (HOUR - 1)) // HOUR
        return np.bincount(hours, minlength=self.hours + 2)


class _Group:
    """A group of simulated clients, with the last lockout of each: its end and its cause.

    ``until`` is an array with the time until which each client was last locked out. ``weight`` is
    the number of clients for each entry of the array.
    """

    def __init__(self, size: int, weight: int) -> None:
        self.weight = weight
        self.until = np.full(size, ALWAYS, np.int64)
        self._cause = np.zeros(size, np.int64)
        self._causes: list[LockoutCause] = []

    def blame(
        self,
        causes: dict[LockoutCause, CauseTotal],
        cause: LockoutCause,
        at: Integers,
        start: Integers,
    ) -> None:
        """Count clients of this group as newly locked out by ``cause``.

        Args:
            causes: the totals by cause, which are changed in place.
            cause: the cause of the lockout.
            at: the indexes of the clients in the group.
            start: for each of these clients, the second at which it is locked out.
        """
        if not at.size:
            return
        if cause not in self._causes:
            self._causes.append(cause)
        self._cause[at] = self._causes.index(cause)
        found = causes.setdefault(cause, CauseTotal())
        found.clients += int(at.size) * self.weight
        found.first = min(found.first, int(np.min(start)))

    def extend(self, causes: dict[LockoutCause, CauseTotal], at: Integers, stop: Integers) -> None:
        """Record, in the totals of their causes, until when clients of this group are locked out.

        Args:
            causes: the totals by cause, which are changed in place. The latest time of each cause
                is kept.
            at: the indexes of the clients in the group.
            stop: for each of these clients, the second from which it can connect again.
        """
        for number, cause in enumerate(self._causes):
            ends = stop[self._cause[at] == number]
            if ends.size:
                causes[cause].last = max(causes[cause].last, int(ends.max()))


def spans(script: Script) -> list[Span]:
    """Divide a simulation into periods without changes, each with the event that begins it.

    ``script`` is the input of the simulation. A period ends when servers change their chains, or
    pins of a release expire.
    """
    of_apps = [release for app in script.apps for release in app.releases]
    known = (*script.releases, *script.binaries, *of_apps)
    ends = {each.end for each in known if each.end is not None}
    changes = [(at, LockoutCause("expiry")) for at in ends]
    changes += [
        (serving.at, LockoutCause("serve", serving.step)) for serving in script.servings[1:]
    ]
    changes = [change for change in changes if 0 <= change[0] < script.until]
    changes = [(0, LockoutCause("beginning")), *sorted(changes, key=lambda change: change[0])]
    ends_at = [*(at for at, _ in changes[1:]), script.until]
    return [
        Span(at, end, _served(script, at), cause)
        for (at, cause), end in zip(changes, ends_at, strict=True)
    ]


def _served(script: Script, at: int) -> Chains:
    return [serving.chains for serving in script.servings if serving.at <= at][-1]


@dataclass(frozen=True)
class _SafetyInput:
    """The data from which the earliest safe date of each step of a simulation is computed.

    Times are seconds since the beginning of the simulation.

    Attributes:
        script: the published versions and served keys.
        left: each release (a version of the pin set) that users of an app or of a binary hold, with
            the time at which the last of them got another release; ``NEVER`` if some keep it.
        adopt: T_adopt, the sum of the clients' delays, in seconds.
    """

    script: Script
    left: Sequence[tuple[Release, int]]
    adopt: int


def _safety(known: _SafetyInput) -> list[Safety]:
    """Return the earliest safe date of each step that serves or publishes, by step number.

    ``known`` has the input of the simulation, and values computed from it.
    """
    found = [_serving_safety(known, serving) for serving in known.script.servings if serving.step]
    found += [_release_safety(known, release) for release in known.script.releases if release.step]
    return sorted(found, key=lambda safety: safety.step)


def _serving_safety(known: _SafetyInput, serving: Serving) -> Safety:
    """Return the earliest safe date for the step that lets servers present other chains.

    ``serving`` has the step and the chains. A release is a version of the pin set. At the returned
    date, all clients that fetch releases have one that accepts the chains, and no user of an app
    has a release any more that refuses them. Not checked: whether a release that is published after
    the step refuses the chains again. ``known`` has the input of the simulation.
    """
    first = _accepting(known.script.releases, serving.chains, serving.at)
    step, script = serving.step or 0, known.script
    left = [at for release, at in known.left if release.refuses(serving.chains, serving.at)]
    if first is None or NEVER in left:
        return Safety(step, None)
    release = script.releases[first]
    after = release.at + known.adopt if release.by is None else release.by
    at = max([0, *left, after if first else 0])
    return Safety(step, script.begin + timedelta(seconds=at))


def _accepting(releases: Sequence[Release], chains: Chains, at: int) -> int | None:
    """Return the index of the first release from which on clients accept these chains, or None.

    That is the first accepting release after the last refusing one. Refusing releases that are
    published after the time ``at`` don't count as the last one. None means that no release accepts
    the chains.

    Args:
        releases: the releases (versions of the pin set) in the order in which clients fetch them.
        chains: the chains that servers present.
        at: the time of the step, in seconds since the beginning of the simulation.
    """
    refusing = [index for index, each in enumerate(releases) if each.refuses(chains, each.at)]
    out = [index for index in refusing if releases[index].at <= at]
    after = out[-1] + 1 if out else 0
    return next((index for index in range(after, len(releases)) if index not in refusing), None)


def _release_safety(known: _SafetyInput, release: Release) -> Safety:
    """Return the earliest safe date for publishing a release (a version of the pin set).

    It is the time from which servers present chains that the release accepts; ``None`` if they
    never do so from the planned date of the publication on. ``known`` has the input of the
    simulation.
    """
    script, step = known.script, release.step or 0
    for serving, following in zip(script.servings, [*script.servings[1:], None], strict=True):
        over = following is not None and following.at <= release.at
        if not over and not release.refuses(serving.chains, max(serving.at, release.at)):
            moment = script.begin + timedelta(seconds=serving.at)
            return Safety(step, moment)
    return Safety(step, None)
