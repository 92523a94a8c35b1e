"""``failures-surge``: far more failures at a host than is usual there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from certpin_watch.alerts.evidence import BACK, HOUR
from certpin_watch.alerts.rules._counting import by_word, clients, command, shares
from certpin_watch.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from certpin_watch.alerts.evidence import Evidence

# Of a host's week, the hour that a quarter of its hours are above: hours of the day differ, and a
# surge of a day does not become what is usual.
_QUANTILE = 0.75


def find(evidence: Evidence) -> Iterator[Finding]:
    """The last two hours, of which one is not over yet, against the week before."""
    this = evidence.now - evidence.now % HOUR
    for host, hours in sorted(evidence.hours.items()):
        watched = evidence.watched(host)
        now = max(hours.get(this, 0), hours.get(this - HOUR, 0))
        usually = usual(hours, this - HOUR)
        if watched is None or not surges(now, usually, evidence):
            continue
        name = watched.pins.name
        groups = [each for each in evidence.groups if each.host == host]
        where = shares(groups, {"network": "in the network", "app_version": "with the app version"})
        large = now >= 10 * max(usually, evidence.settings.few)
        told_from = evidence.spread.get(evidence.share(host), 0)
        yield Finding(
            "failures-surge",
            by_word(evidence, told_from) if large else "warning",
            host,
            name,
            f"{now} failures in an hour, where {usually} are usual"
            + (f"; in the last day {where}" if where else ""),
            command("check", host, pins=watched.path),
            {
                "hour": now,
                "usual": usually,
                "clients": clients(evidence, groups, name),
                "told_from": told_from,
            },
        )


def usual(hours: Mapping[int, int], before: int) -> int:
    """What an hour has, but for the busiest quarter of them. An hour without any counts as one."""
    week = sorted(hours.get(before - n * HOUR, 0) for n in range(1, BACK // HOUR))
    return week[int(len(week) * _QUANTILE)]


def surges(now: int, usually: int, evidence: Evidence) -> bool:
    """Few are none. Of small numbers some are large by chance: three standard deviations are."""
    settings = evidence.settings
    chance = usually + 3 * math.sqrt(usually)
    return now >= 4 * settings.few and now > max(settings.surge * usually, chance)
