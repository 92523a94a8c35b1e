"""Which versions of the pin set clients report, and how far a rotation may rely on that.

Anyone who reaches the collector can send false reports, and apps without a reporter send none.
Therefore:

1. By default, reports only delay a rotation. A version that is reported after its expected end
   counts as held by clients until T_adopt (the sum of the clients' delays) after its last report.
   False reports can delay a rotation, and the delay is visible; they can't make an unsafe step look
   safe.
2. Reports shorten the wait only if the user gives thresholds (``Threshold``). Then a version ends
   when, on each of ``Threshold.days`` days in a row, few enough clients report it to accept their
   lockout. The limit is a share of a number that the user gives, never of the reports: a flood of
   false reports of the new version doesn't reduce the number of clients that report the old one.
   Only the delay until the last user opens the app is shortened, and never the life of a version
   in a binary.

Reports never say that a version was published, or that it accepts a pin: the journal does.

Statistics of stores replace the adoption curves of releases, which are guesses, by measured ones
(``measured_releases``). These curves change the number of clients at risk, and end no version.
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
    """How many clients reported, on one day, that they hold a version.

    Attributes:
        day: the first moment of the day, with a time zone.
    """

    day: datetime
    version: int
    clients: int


@dataclass(frozen=True)
class Threshold:
    """The condition under which few enough clients hold an old version to accept their lockout.

    Attributes:
        share: the share of the reporting clients that must hold a newer version of the pin set, on
            each of ``days`` whole days in a row.
        clients: the least number of clients that must report on each of these days.
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
        """How many clients may still hold the old version when it ends. They may be locked out."""
        return int((1 - self.share) * self.clients)


def measured(
    deployed: DeployedVersions,
    reports: Iterable[ReportedUsage],
    timing: AdoptionDelays,
    now: datetime,
    threshold: Threshold | None = None,
) -> DeployedVersions:
    """Return the deployed versions with the usage that clients reported.

    Args:
        deployed: the versions, as the journal has them.
        reports: how many clients reported each version, by day. Unknown versions are ignored.
        timing: the delays of the clients.
        now: the current time. The current day has not ended, so it never counts as one on which
            few clients reported.
        threshold: when a version may end before its expected end; ``None`` for never.
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
    """Return the deployed versions with adoption curves that were measured by stores.

    The share of a release on a day is that of the devices with it or a later recorded release.
    Devices with an unknown release count as if it were older. If the share of a later day is
    lower, that one counts. If the number of an app's clients is not recorded, it is that of the
    last day, if the store counts every device.

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
    """Return the measured adoption curve of a release; empty if unknown.

    It is the share of devices with one of the releases ``names``. ``days`` has the devices with
    each release, by day.
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
    """Return the largest daily number of clients in the last week; ``None`` without reports."""
    recent = [number for day, number in days.items() if day > now - (CYCLE + 1) * DAY]
    return max(recent, default=None)


def _clients(version: Version, days: Mapping[datetime, int], now: datetime) -> int | None:
    """Return how many clients hold a version: the largest daily number of reports in the last week.

    At least the number in the journal. Without both it is unknown (``None``), not 0: the app may
    have no reporter. ``days`` has the number of reports of each day.
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
    """Return since when few enough clients fetch and hold a version to accept their lockout.

    ``None`` if they are too many or unknown. All ``threshold.days`` days that are counted must come
    after the delays other than ``opened`` have passed. ``counts`` has the clients that reported, by
    version and day.
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
