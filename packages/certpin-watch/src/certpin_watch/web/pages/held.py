"""Pictures of who holds which version of a pin set, and how long each may be held."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from certpin_watch.web.pictures.scale import Span
from certpin_watch.web.pictures.stacked import COLOURS, Bars, Series, stacked
from certpin_watch.web.pictures.timeline import Lane, Stay, Timeline, timeline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markupsafe import Markup

    from certpin_watch.snapshot import WatchedSet
    from certpin_watch.store.queries.adoption import Adoption

_DAY = timedelta(days=1)
_MOST_VERSIONS = 8  # of the picture of lives


def shown(found: Adoption) -> list[int]:
    """The versions of the picture: those that are alive or were told most, the oldest first."""
    weight: dict[int, int] = {}
    for each in found.days:
        weight[each.version] = weight.get(each.version, 0) + each.clients
    return sorted(sorted(weight, key=lambda each: -weight[each])[: COLOURS - 1])


def _series(found: Adoption) -> tuple[tuple[datetime, ...], tuple[Series, ...]]:
    days = [found.since + at * _DAY for at in range(_length(found))]
    names = shown(found)
    counts = {version: [0] * len(days) for version in [*names, 0]}
    for each in found.days:
        at = (each.day - found.since) // _DAY
        if 0 <= at < len(days):
            counts[each.version if each.version in names else 0][at] += each.clients
    named = [Series(f"version {version}", tuple(counts[version])) for version in names]
    if any(counts[0]):
        named.append(Series("all others", tuple(counts[0])))
    return tuple(days), tuple(named)


def _length(found: Adoption) -> int:
    last = max((each.day for each in found.days), default=found.since)
    return (last - found.since) // _DAY + 1


def curve(found: Adoption, now: datetime) -> Markup | None:
    """Shares of each day: how many told differs from day to day, and how many there are, nobody
    knows.
    """
    days, named = _series(found)
    if not named:
        return None
    bars = Bars(days, max(now, days[-1] + _DAY), named, "clients that told", shares=True)
    return stacked("adoption", "Share of clients that hold each version, by day", bars, height=220)


def lives(watched: WatchedSet, now: datetime) -> Markup | None:
    """From when to when each version may be in the hands of clients."""
    field, timing = watched.field, watched.timing
    versions = sorted(field.versions, key=lambda each: -each.number)[:_MOST_VERSIONS]
    known = [(each, since) for each in versions if (since := each.since) is not None]
    if not known:
        return None
    ends = [field.end_of_life(each, timing) for each, _ in known]
    until = max([now + 20 * _DAY, *(end + 5 * _DAY for end in ends if end)])
    span = Span(max(min(since for _, since in known), now - 400 * _DAY), until)
    lanes = []
    for (each, since), end in zip(known, ends, strict=True):
        how = "in a binary" if each.bundled else "fetched"
        lanes.append(Lane(f"version {each.number}, {how}", tuple(_stays(since, end, now, until))))
    return timeline("lives", "How long each version may be held", Timeline(span, now, tuple(lanes)))


def _stays(since: datetime, end: datetime | None, now: datetime, until: datetime) -> Iterator[Stay]:
    if end is not None and end <= now:
        yield Stay("retiring", since, end, words="was held")
        return
    yield Stay("active", since, now, words="may be held")
    yield Stay("active", now, end or until, foretold=True, words=" ")
