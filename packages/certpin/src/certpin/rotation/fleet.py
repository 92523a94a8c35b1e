"""A fleet of distinct clients: the version that each holds at a time, and the number at risk.

The safety rules (the gate) and the simulation use these functions, so that their numbers are the
same. The numbers are *expected numbers* of clients, rounded up. They are computed, not sampled.

A fleet consists of cohorts. A cohort is a group of clients that get versions in the same way: the
clients that fetch versions, the users of one app, or the clients with one binary of an unknown app.
A client is in one cohort, and holds one version at a time.

Each version has a curve: the share of the cohort that has it, by the time since it came out. The
clients of a cohort are numbered from the fastest to the slowest, in the same order for each curve.
So if a version has arrived at N clients, these are the clients 0 to N - 1. A client holds the last
of the versions that have arrived at it.

Times are seconds since 1970, without fractions.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from certpin.errors import InputError
from certpin.rotation.arrivals import (
    SECOND,
    USUAL_STRAGGLERS,
    WHOLE,
    Arrivals,
    OpeningCurve,
    app_arrivals,
    check_openings,
    fetch_arrivals,
)
from certpin.rotation.situation import AdoptionDelays

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from fractions import Fraction

    from certpin.rotation.releases import AppRelease
    from certpin.rotation.situation import DeployedVersions, Situation, Version

MAX_CLIENTS = 1_000_000_000
ALWAYS = -(2**62)  # before every other time

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Arrival:
    """When the clients of a cohort (clients that behave alike) get one version of the pin set.

    Times are seconds since 1970, or since the beginning of a simulation.

    Several pin sets may have been published under one version number. Then each pin set has its own
    ``Arrival``.

    Attributes:
        number: the number of the version. The number 0 means that from ``at`` on the clients hold
            no version, because the last release of their app has ended.
        at: the time at which the version came out; ``ALWAYS`` for the version that every client has
            from the beginning.
        curve: the share of the cohort that has the version, by the time since it came out.
        by: the time from which every client has the version, even if the share of the curve is
            still below 1; ``None`` if only the curve counts.
        after: the arrival of a version that a client must have before it can get this one; ``None``
            if there is no such condition.
        until: the time at which another pin set with the same number replaced this one. Clients
            that fetched this one before keep it; all others get the other one. ``None`` if it was
            not replaced.
        copy: the index of this pin set among those with its number, in the order of their times.
    """

    number: int
    at: int
    curve: Arrivals
    by: int | None = None
    after: Arrival | None = None
    until: int | None = None
    copy: int = 0

    def reached(self, clients: int, at: int) -> int:
        """Return the number of clients in the cohort that have the version at the second ``at``.

        ``clients`` is the number of all clients in the cohort.
        """
        at = at if self.until is None else min(at, self.until)
        if self.by is not None and at >= max(self.by, self.at):
            return clients
        count = self.curve.reached(clients, at - self.at)
        return min(count, self.after.reached(clients, at)) if self.after else count


@dataclass(frozen=True)
class Cohort:
    """Clients that get their versions of the pin set in the same way.

    Attributes:
        clients: the number of clients; ``None`` if unknown.
        arrivals: the versions, each of which replaces those before it. All clients have the first
            one from the beginning.
    """

    clients: int | None
    arrivals: tuple[Arrival, ...]

    def held(self, at: int) -> dict[int, int]:
        """Return the number of clients that hold each version at the second ``at``, by version.

        Versions that no client holds are left out. The sum is at most the number of clients; if
        that number is unknown, it counts as 0.
        """
        found: dict[int, int] = {}
        for arrival, count in self.holders(at):
            if arrival.number:
                found[arrival.number] = found.get(arrival.number, 0) + count
        return found

    def holders(self, at: int) -> Iterator[tuple[Arrival, int]]:
        """Yield each version that clients of the cohort hold at the time ``at``, and their number.

        ``at`` is a second, as in ``arrivals``. A version is given as its ``Arrival``.
        """
        counted = 0
        for arrival in reversed(self.arrivals):
            count = arrival.reached(self.clients or 0, at)
            if count > counted:
                yield arrival, count - counted
                counted = count


@dataclass(frozen=True)
class FleetSizes:
    """The number of clients in each cohort; ``None`` if unknown. No client is counted twice.

    A cohort is a group of clients that get versions of the pin set in the same way.

    Attributes:
        fetching: the number of clients that fetch versions and don't belong to one of ``apps``.
        apps: the number of users of each app, by the app's name.
        binaries: the number of clients of each binary of an unknown app, by the number of the
            version that the binary contains.
    """

    fetching: int | None
    apps: dict[str, int | None] = field(default_factory=dict)
    binaries: dict[int, int | None] = field(default_factory=dict)

    @property
    def total(self) -> int | None:
        """The number of clients in all cohorts; ``None`` if the size of a cohort is unknown."""
        sizes = [self.fetching, *self.apps.values(), *self.binaries.values()]
        known = [size for size in sizes if size is not None]
        return sum(known) if len(known) == len(sizes) else None


@dataclass(frozen=True)
class Fleet:
    """The number of clients in a simulation, and their behaviour. Shares are exact, from 0 to 1.

    Attributes:
        clients: the number of all clients.
        timing: the delays of the clients.
        curve: how often users open the app: pairs of a share of users, and the longest time between
            two openings among that share. Shares and times ascend, and the last share is 1. Empty
            for ``usual_curve``.
        stragglers: the share of the slowest clients, which get a version only after the sum of all
            delays.
        binaries: by version number, the share of clients with an app that was built with this
            version. It is only for apps that have no release in the journal.
        apps: by name, the share of clients that use each app.

    Raises:
        InputError: a value is out of range.
    """

    clients: int = 100_000
    timing: AdoptionDelays = field(default_factory=AdoptionDelays)
    curve: OpeningCurve = ()
    stragglers: Fraction = USUAL_STRAGGLERS
    binaries: tuple[tuple[int, Fraction], ...] = ()
    apps: tuple[tuple[str, Fraction], ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.clients <= MAX_CLIENTS:
            raise InputError(f"{self.clients} clients", fix=f"from 1 to {MAX_CLIENTS}")
        if sum(share for _, share in (*self.binaries, *self.apps)) > 1:
            raise InputError(
                "the shares of the binaries and apps add up to more than 100%",
                fix="give at most 100%",
            )
        check_openings(self.curve, self.timing)

    @property
    def sizes(self) -> FleetSizes:
        """The number of clients in each cohort (group): at least one if its share is above 0."""
        left, counts = self.clients, []
        for _, share in (*self.binaries, *self.apps):
            counts.append(min(left, round(share * self.clients) or int(share > 0)))
            left -= counts[-1]
        names = [number for number, _ in self.binaries]
        binaries: dict[int, int | None] = dict(zip(names, counts, strict=False))
        apps = zip((name for name, _ in self.apps), counts[len(names) :], strict=True)
        return FleetSizes(left, dict(apps), binaries)

    @property
    def arrivals(self) -> Arrivals:
        """The share of clients that have a fetched version, by the time since it came out."""
        return fetch_arrivals(self.timing, self.curve, self.stragglers)


def clients_at_risk(
    situation: Situation,
    versions: Iterable[Version],
    at: datetime | None = None,
) -> int | None:
    """Return the expected number of clients that hold one of these versions, each counted once.

    If the number of clients that reported these versions is higher than the expected number, it is
    returned instead, but at most the number of all clients.

    Args:
        situation: the facts about a host. Its deployed versions and delays are used.
        versions: published versions that some client may hold.
        at: the time; by default ``situation.now``.

    Returns:
        The number. ``None`` if the number of clients that may hold one of the versions is unknown,
        and no client reported one.
    """
    versions = list(versions)
    numbers = {version.number for version in versions}
    copies = {
        (each.number, _same_number(situation.deployed, each.number).index(each))
        for each in versions
        if each in _same_number(situation.deployed, each.number)
    }
    moment = seconds_of(at or situation.now)
    sizes = deployed_sizes(situation.deployed)
    curve = fetch_arrivals(situation.timing)
    expected: int | None = 0
    for cohort in cohorts(situation.deployed, sizes, curve):
        if cohort.clients is None and numbers & {each.number for each in cohort.arrivals}:
            expected = None
        elif expected is not None:
            expected += sum(
                count
                for each, count in cohort.holders(moment)
                if each.number in numbers and _is_of(each, copies)
            )
    reported = [version.reported for version in versions if version.reported is not None]
    if not reported:
        return expected
    limit = max(sizes.total or 0, situation.deployed.reporting or 0)
    return max(expected or 0, min(sum(reported), limit))


def deployed_sizes(deployed: DeployedVersions) -> FleetSizes:
    """Return the number of clients in each cohort.

    A cohort is a group of clients that get versions of the pin set in the same way. Its number is
    that of its newest version or app release in ``deployed`` with a known number. For a version, it
    is the larger one of the journal and the clients' reports; for an app, it is that of the
    journal, or else of the app store. If clients reported more in total, the number of clients that
    fetch versions is raised.
    """
    fetching, binaries = None, {}
    apps: dict[str, int | None] = {}
    fetched = sorted(
        (each for each in deployed.versions if each.fetched), key=lambda each: each.number
    )
    for version in fetched:
        if version.clients is not None and not is_unnamed(version):
            fetching = version.clients
    for version in deployed.versions:
        if is_unnamed(version):
            binaries[version.number] = version.clients
    for release in sorted(named_releases(deployed), key=lambda each: each[1].shipped):
        name, clients = release[1].app, release[1].clients
        apps[name] = apps.get(name) if clients is None else clients
    if not fetched or (fetching is None and all(map(is_unnamed, fetched))):
        fetching = 0
    if deployed.reporting and fetched:
        others = sum(size or 0 for size in (*apps.values(), *binaries.values()))
        fetching = max(fetching or 0, deployed.reporting - others)
    return FleetSizes(fetching, apps, binaries)


def client_count(situation: Situation) -> int | None:
    """Return the number of clients that hold any version of the pin set.

    Return ``None`` if it is unknown for a group of clients that get versions in the same way, or if
    no published version is known that a client may hold.
    """
    return deployed_sizes(situation.deployed).total if situation.alive else None


def cohorts(deployed: DeployedVersions, sizes: FleetSizes, curve: Arrivals) -> list[Cohort]:
    """Return the cohorts of a fleet: fetching clients, users of each app, users of other binaries.

    Args:
        deployed: the published versions.
        sizes: the number of clients in each cohort.
        curve: the share of clients that have a fetched version, by the time since it came out.
    """
    fetched = [
        arrival
        for version, by in fetch_order(deployed)
        for arrival in _fetched_arrivals(deployed, version, curve, by)
    ]
    found = [Cohort(sizes.fetching, fetch_cohort(fetched))] if fetched else []
    for name, clients in sizes.apps.items():
        entries = [each for each in named_releases(deployed) if each[1].app == name]
        found.append(Cohort(clients, app_cohort(entries, fetched)))
    for number, clients in sizes.binaries.items():
        ends = [each.ended for each in deployed.versions if each.number == number and each.ended]
        gone = [everyone(0, seconds_of(end)) for end in ends]
        found.append(Cohort(clients, (everyone(number, ALWAYS), *gone)))
    return found


def _same_number(deployed: DeployedVersions, number: int) -> list[Version]:
    """Return the different pin sets with the version number ``number`` that clients fetch.

    They are sorted by time. Usually there is one. If there are several, different people published
    pin sets under the same number by mistake. A client that has one of them never takes another
    one. ``deployed`` has the published versions.
    """
    return [version for _, version in deployed.fetchable.get(number, ())]


def _fetched_arrivals(
    deployed: DeployedVersions, version: Version, curve: Arrivals, by: int | None
) -> list[Arrival]:
    """Return when clients get a fetched version: one arrival for each pin set with its number.

    Usually one pin set has the number. If a second one was published later under the same number,
    the clients that had not fetched the first one by then get the second one instead, at the time
    at which they would have got the first one. In the result, the latest pin set comes first.

    Args:
        deployed: the published versions.
        version: the version.
        curve: the share of clients that have a fetched version, by the time since it came out.
        by: the time (Unix seconds) by which every client has the version; ``None`` if not recorded.
    """
    known = _same_number(deployed, version.number)
    times = [seconds_of(each.fetched) for each in known if each.fetched]
    return [
        Arrival(version.number, times[0], curve, by, None, until, copy)
        for copy, until in reversed(list(enumerate([*times[1:], None])))
    ]


def _is_of(arrival: Arrival, copies: set[tuple[int, int]]) -> bool:
    """Return True if the pin set that clients get with ``arrival`` is in ``copies``.

    Args:
        arrival: the arrival of a pin set at clients.
        copies: pin sets, each as its version number and its ``Arrival.copy``: different pin sets
            can have the same number. If none has the number of ``arrival``, the result is True.
    """
    known = {copy for number, copy in copies if number == arrival.number}
    return not known or arrival.copy in known


def fetch_order(deployed: DeployedVersions) -> list[tuple[Version, int | None]]:
    """Return the versions that clients fetch one after the other.

    Clients never replace a version by a lower one. So a version that was published after a higher
    one is left out. ``deployed`` has the published versions.

    Returns:
        Pairs of a version, and the time (Unix seconds) by which every client has it. This is the
        time at which the journal recorded that no client has the previous version any more;
        ``None`` if there is no such record.
    """
    fetched = sorted(
        (each for each in deployed.versions if each.fetched and not each.pending),
        key=lambda version: version.number,
    )
    found: list[tuple[Version, int | None]] = []
    ended: int | None = None
    for version in fetched:
        if found and version.number <= found[-1][0].number:
            continue
        if version.fetched is not None:
            at = version.fetched
            while found and (before := found[-1][0].fetched) and before > at:
                found.pop()
        found.append((version, ended))
        ended = seconds_of(version.ended) if version.ended else None
    return found


def fetch_cohort(fetched: Sequence[Arrival]) -> tuple[Arrival, ...]:
    """Return a copy of ``fetched`` in which every client has the first version from the beginning.

    Args:
        fetched: the arrivals of the versions that clients fetch, in the order in which clients get
            them.
    """
    first = replace(everyone(fetched[0].number, ALWAYS), copy=fetched[0].copy)
    return (first, *fetched[1:])


def app_cohort(
    entries: Iterable[tuple[Version, AppRelease]], fetched: Sequence[Arrival], begin: int = 0
) -> tuple[Arrival, ...]:
    """Return the arrivals of versions at the users of an app, from its first known release on.

    A user of an app that fetches versions holds the highest one that was fetched or bundled. Once a
    release of the app fetches versions, all later releases are assumed to do so.

    Args:
        entries: the releases of the app, with their versions.
        fetched: the arrivals of versions that clients fetch.
        begin: the time, in seconds since 1970, from which the times in ``fetched`` and in the
            result are counted.
    """
    found: list[Arrival] = []
    updating: Arrival | None = None
    by: int | None = None
    for version, release in sorted(entries, key=lambda each: (each[1].shipped, each[0].number)):
        limits = [by, seconds_of(release.forced) - begin if release.forced else None]
        arrival = Arrival(
            version.number,
            seconds_of(release.shipped) - begin,
            app_arrivals(release),
            min((limit for limit in limits if limit is not None), default=None),
        )
        found.append(arrival if found else everyone(version.number, ALWAYS))
        if release.updates and updating is None:
            updating = found[-1]
        ends = [seconds_of(end) - begin for end in (release.end, version.ended) if end]
        by = min(ends, default=None)
    gone = [] if by is None else [everyone(0, by)]
    if updating is None:
        return (*found, *gone)
    first = found.index(updating)
    rest = [*found[first:], *(replace(each, after=updating) for each in fetched)]
    return (*found[:first], *sorted(rest, key=lambda each: each.number), *gone)


def named_releases(deployed: DeployedVersions) -> list[tuple[Version, AppRelease]]:
    """Return each app release with a known name of the app, and the pin set version in its binary.

    Releases of apps without a recorded name are left out (see ``is_unnamed``). A version appears
    once for each release that contains it. ``deployed`` has the published versions.
    """
    return [
        (version, each) for version in deployed.versions for each in version.releases if each.app
    ]


def is_unnamed(version: Version) -> bool:
    """Return True if a version is bundled in the binary of an app without a recorded name."""
    if version.bundled is None:
        return False
    return not version.releases or not all(each.app for each in version.releases)


def seconds_of(moment: datetime) -> int:
    """Return a time as seconds since 1970, without fractions."""
    return (moment - _EPOCH) // SECOND


def everyone(number: int, at: int) -> Arrival:
    """Return the arrival of a version that every client has from the second ``at`` on.

    ``number`` is the number of the version.
    """
    return Arrival(number, at, Arrivals(((0, WHOLE),)))
