"""Which versions of the pin set clients report, and how far a rotation may rely on that.

Anyone who reaches the collector can send false reports, and apps without a reporter send none.
Therefore:

1. By default, reports only delay a rotation. A version that is reported after its expected end
   counts as held by clients until T_adopt (the sum of the clients' delays) after its last report.
   False reports can delay a rotation, and the delay is visible; they can't make an unsafe step look
   safe.
2. Reports shorten the wait only if the user gives thresholds (``Threshold``). Then a version ends
   when, on each of ``Threshold.days`` days in a row, so few clients report it that the user accepts
   their lockout. The limit is a share of a number that the user gives, never of the reports: a
   flood of false reports of the new version doesn't reduce the number of clients that report the
   old one. Only the delay until the last user opens the app is shortened, and never the life of a
   version in a binary.

Reports never say that a version was published, or that it accepts a pin: only the journal does.

Statistics of app stores replace the adoption curves of releases, which are guesses, by measured
ones (``measured_releases``). These curves change the number of clients at risk, and end no version.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING

from certpin.errors import InputError
from certpin.rotation.releases import MAX_DAYS, MAX_POINTS, later_releases

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from certpin.rotation.exports import ReleaseUsage
    from certpin.rotation.releases import AdoptionCurve, AppRelease
    from certpin.rotation.situation import AdoptionDelays, DeployedVersions, Version

DAY = timedelta(days=1)
CYCLE = 7  # days: apps are used differently on each day of the week


@dataclass(frozen=True)
class ReportedUsage:
    """The number of clients that reported, on one day, that they hold a version of the pin set.

    Attributes:
        day: the first moment of the day, with a time zone.
        version: the number of the version.
        clients: the number of clients.
    """

    day: datetime
    version: int
    clients: int


@dataclass(frozen=True)
class Threshold:
    """The conditions under which an old version of the pin set counts as unused.

    Some clients may still report the old version. The user accepts that these are locked out.

    Attributes:
        share: the share of clients that must have left the old version: more than 1/2 and at most
            1. On each of ``days`` whole days in a row, the old version and older ones must be
            reported by at most ``(1 - share) * clients`` clients.
        clients: the least number of clients that must report any version on each of these days.
        days: the number of whole days in a row, at least seven (``CYCLE``).

    Raises:
        InputError: a value is out of range.
    """

    share: Fraction
    clients: int
    days: int = CYCLE

    def __post_init__(self) -> None:
        if not Fraction(1, 2) < self.share <= 1:
            raise InputError("the share must be more than half", fix="give 99.9%, or 100%")
        if self.clients < 1:
            raise InputError(
                "the number of clients must be at least 1",
                fix="give the number of clients that report each day",
            )
        if not CYCLE <= self.days <= 366:
            raise InputError(
                f"the number of days must be from {CYCLE} to 366", fix=f"give {CYCLE}, or more"
            )

    @property
    def max_lost(self) -> int:
        """The largest number of clients that may report the old version, or an older one, on a day.

        If more clients report them, the old version still counts as used. The user accepts that up
        to this number of clients are locked out.
        """
        return int((1 - self.share) * self.clients)


def measured(
    deployed: DeployedVersions,
    reports: Iterable[ReportedUsage],
    timing: AdoptionDelays,
    now: datetime,
    threshold: Threshold | None = None,
) -> DeployedVersions:
    """Return a copy of the deployed versions that also has the usage that clients reported.

    Args:
        deployed: the versions, as read from the journal.
        reports: how many clients reported each version, by day. Unknown versions are ignored.
        timing: the delays of the clients.
        now: the current time. The current day has not ended, so it never counts as one on which few
            clients reported.
        threshold: the conditions under which a version ends before its expected end; ``None`` if no
            version may end early.
    """
    counts: dict[int, dict[datetime, int]] = defaultdict(lambda: defaultdict(int))
    for usage in reports:
        if usage.day <= now and usage.clients > 0:
            counts[usage.version][usage.day] += usage.clients
    versions = [
        replace(
            version,
            clients=_clients(version, counts[version.number], now),
            reported=_reported(counts[version.number], now),
            last_reported=max(counts[version.number], default=None),
            negligible_since=_negligible_since(deployed, version, counts, timing, now, threshold)
            if threshold
            else None,
        )
        for version in deployed.versions
    ]
    totals: dict[datetime, int] = defaultdict(int)
    for known in {version.number for version in deployed.versions}:
        for day, clients in counts[known].items():
            totals[day] += clients
    return replace(deployed, versions=tuple(versions), reporting=_reported(totals, now))


def measured_releases(
    deployed: DeployedVersions, usage: Iterable[ReleaseUsage]
) -> DeployedVersions:
    """Return a copy of the deployed versions with adoption curves that app stores measured.

    A curve has, for each day, the share of devices with the release or a later recorded one. A
    device with an unknown release counts as one with an older release. A curve never falls: if the
    share of a later day is lower, the earlier days get that lower share. If the journal has no
    number of clients for an app, the number of devices on the last day is used, provided that the
    store counts every device.

    Args:
        deployed: the versions, with the recorded releases.
        usage: how many devices have each release, by day. Unknown apps are ignored.
    """
    known = [each for version in deployed.versions for each in version.releases if each.app]
    devices: dict[str, dict[datetime, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    whole: dict[str, bool] = {}
    for each in usage:
        devices[each.app][each.day][each.release] = each.devices
        whole[each.app] = each.whole
    changed = {}
    for release in known:
        days = devices.get(release.app)
        if not days:
            continue
        names = {release.name, *(each.name for each in later_releases(release, known))}
        curve = _measured_curve(release, names, days)
        last = sum(days[max(days)].values())
        clients = last if release.clients is None and whole[release.app] else release.clients
        changed[release] = replace(
            release,
            curve=curve or release.curve,
            measured=release.measured or bool(curve),
            clients=clients,
        )
    versions = [
        replace(version, releases=tuple(changed.get(each, each) for each in version.releases))
        for version in deployed.versions
    ]
    return replace(deployed, versions=tuple(versions))


def _measured_curve(
    release: AppRelease, names: Collection[str], days: Mapping[datetime, Mapping[str, int]]
) -> AdoptionCurve:
    """Return the adoption curve of a release from daily device counts; empty without counts.

    Args:
        release: the release. Days of the curve count from its ``shipped``.
        names: the names of the releases that count: this release and the later ones.
        days: for each day, the number of devices with each release.
    """
    points: list[tuple[int, Fraction]] = []
    lowest = Fraction(1)
    for day in sorted(days, reverse=True):
        number = (day.date() - release.shipped.astimezone(UTC).date()).days
        total = sum(days[day].values())
        if number < 0 or number > MAX_DAYS or not total or len(points) == MAX_POINTS:
            continue
        share = Fraction(sum(days[day].get(name, 0) for name in names), total)
        lowest = min(lowest, share)
        points.append((number, lowest))
    return tuple(reversed(points))


def _reported(days: Mapping[datetime, int], now: datetime) -> int | None:
    """Return the most clients that reported on one day of the last week; ``None`` without reports.

    ``days`` has the number of clients that reported on each day, and ``now`` is the current time.
    """
    recent = [number for day, number in days.items() if day > now - (CYCLE + 1) * DAY]
    return max(recent, default=None)


def _clients(version: Version, days: Mapping[datetime, int], now: datetime) -> int | None:
    """Return the number of clients that hold a version; ``None`` if unknown.

    The result is the larger one of two numbers: the most clients that reported the version on one
    day of the last week (``days``), and the number in the journal. If there are neither reports nor
    a number in the journal, the result is ``None`` and not 0, because the app may send no reports.
    """
    found = (_reported(days, now), version.clients)
    return max((number for number in found if number is not None), default=None)


def _negligible_since(
    deployed: DeployedVersions,
    version: Version,
    counts: Mapping[int, Mapping[datetime, int]],
    timing: AdoptionDelays,
    now: datetime,
    threshold: Threshold,
) -> datetime | None:
    """Return the time from which so few clients report a version that their lockout is accepted.

    This is the beginning of the current day in UTC, if all of these conditions are met:

    - clients can fetch a higher version, and no app has this one in its binary;
    - on each of the last ``threshold.days`` whole days, at most ``threshold.max_lost`` clients
      reported this version or an older one, and at least ``threshold.clients`` clients reported any
      version;
    - when these days began, clients could already fetch a higher version for at least the sum of
      all delays except ``opened``.

    Otherwise the result is ``None``.

    Args:
        deployed: the published versions.
        version: the version.
        counts: the number of clients that reported, by version and day.
        timing: the delays of the clients.
        now: the current time.
        threshold: the conditions that the user gave.
    """
    out = deployed.superseded_at(version)
    if out is None or version.bundled is not None:
        return None
    cycle_from = out + timing.adopt - timing.opened
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [today - number * DAY for number in range(1, threshold.days + 1)]
    if days[-1] < cycle_from:
        return None
    known = {other.number for other in deployed.versions}
    old = {
        other.number
        for other in deployed.versions
        if other.number <= version.number and other.bundled is None
    }
    for day in days:
        usage = {number: counts.get(number, {}).get(day, 0) for number in known}
        left = sum(usage[number] for number in old)
        if sum(usage.values()) < threshold.clients or left > threshold.max_lost:
            return None
    return today
