"""Which versions of the pin set clients report, and how far a rotation may rely on that.

Anyone who reaches the collector can send false reports, and apps without a reporter send none.
Therefore:

1. By default, reports only delay a rotation. A version that is reported after its expected end
   stays alive until T_adopt after its last report. False reports can delay a rotation, and the
   delay is visible; they can't make an unsafe step look safe.
2. Reports shorten the wait only if the user gives thresholds (``Threshold``). Then a version ends
   when, on each of ``Threshold.days`` days in a row, so few clients report it that they may be
   lost. The limit is a share of a number that the user gives, never of the reports: a flood of
   false reports of the new version doesn't reduce the number of clients that report the old one.
   Only the delay until the last user opens the app is shortened, and never the life of a version
   in a binary.

Reports never say that a version was published, or that it accepts a pin: the journal does.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING

from certpin.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from certpin.rotation.adoption import DeployedVersions, Timing, Version

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
    """The condition under which so few clients hold an old version that they may be lost.

    Attributes:
        share: how large a share of ``clients`` must hold something newer, on each of ``days``
            whole days in a row.
        clients: how many clients must report each day; with fewer, no version ends early.
        days: the number of whole days in a row, at least ``CYCLE``.

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
        """How many clients may still hold the old version, and so may be locked out."""
        return int((1 - self.share) * self.clients)


def measured(
    deployed: DeployedVersions,
    reports: Iterable[ReportedUsage],
    timing: Timing,
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
            last_reported=max(counts[version.number], default=None),
            negligible_since=_negligible_since(deployed, version, counts, timing, now, threshold)
            if threshold
            else None,
        )
        for version in deployed.versions
    ]
    return replace(deployed, versions=tuple(versions))


def _clients(version: Version, days: Mapping[datetime, int], now: datetime) -> int | None:
    """Return how many clients hold a version: its largest daily count in the last week.

    At least the count of the journal. Without reports the count is unknown (``None``), not 0: the
    app may have no reporter.
    """
    recent = [number for day, number in days.items() if day > now - (CYCLE + 1) * DAY]
    return max([*recent, *([] if version.clients is None else [version.clients])], default=None)


def _negligible_since(
    deployed: DeployedVersions,
    version: Version,
    counts: Mapping[int, Mapping[datetime, int]],
    timing: Timing,
    now: datetime,
    threshold: Threshold,
) -> datetime | None:
    """Return since when so few clients fetch and hold a version that they may be lost.

    ``None`` if they are too many or unknown. All ``threshold.days`` days that are counted must come
    after the delays other than ``opened`` have passed.
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
