"""Pin sets: which versions clients hold, and what that means for the next step of a rotation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from certpin.rotation import Situation, adoption, format_duration, standing
from certpin.watch.facts import adoption as facts
from certpin.watch.web.pages.asking import Missing
from certpin.watch.web.pages.words import date, number
from certpin.watch.web.pictures.scale import Span
from certpin.watch.web.pictures.stacked import COLOURS, Bars, Series, colour, stacked
from certpin.watch.web.pictures.timeline import Lane, Stay, Timeline, timeline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markupsafe import Markup
    from starlette.responses import Response

    from certpin.watch.facts.adoption import Adoption, Held
    from certpin.watch.watched import WatchedSet
    from certpin.watch.web.pages.asking import Asked

_DAY = timedelta(days=1)
_DAYS = {"30": 30, "90": 90, "365": 365}
_MOST_PINS = 200  # of the table of what waits


@dataclass(frozen=True)
class Waiting:
    """A pin that not every client accepts yet: since some still hold a version without it."""

    host: str
    pin: str
    role: str
    until: datetime | None
    versions: tuple[int, ...]


def overview(asked: Asked) -> Response:
    """All of them."""
    with asked.connection() as connection:
        rows = [
            (each, facts.adoption(connection, each, asked.now, days=8))
            for each in asked.glance.sets
        ]
    return asked.page("pin_sets.html", rows=rows, problems=asked.glance.problems)


def pin_set(asked: Asked) -> Response:
    """One of them."""
    name = asked.request.path_params["name"]
    watched = next((each for each in asked.glance.sets if each.pins.name == name), None)
    if watched is None:
        raise Missing(f"a pin set {name[:80]}")
    days = _DAYS[asked.choice("days", ("90", "30", "365"))]
    with asked.connection() as connection:
        found = facts.adoption(connection, watched, asked.now, days=days)
        last = max((each.day for each in found.days), default=None)
        apps = facts.apps(connection, name, last) if last else ()
    waiting = list(_waiting(watched, asked.now))
    return asked.page(
        "pin_set.html",
        watched=watched,
        held=found,
        days=days,
        last=last,
        curve=_curve(found, asked.now),
        table=_table(found),
        lives=_lives(watched, asked.now),
        apps=apps,
        colours={each: colour(at) for at, each in enumerate(_shown(found))},
        waiting=waiting[:_MOST_PINS],
        waiting_more=max(0, len(waiting) - _MOST_PINS),
        adopt=format_duration(watched.timing.adopt),
        timing=watched.timing.texts(),
        sentences=list(_sentences(found, watched, asked.now)),
    )


def _shown(found: Adoption) -> list[int]:
    """The versions of the picture: those that are alive or were told most, the oldest first."""
    weight: dict[int, int] = {}
    for each in found.days:
        weight[each.version] = weight.get(each.version, 0) + each.clients
    return sorted(sorted(weight, key=lambda each: -weight[each])[: COLOURS - 1])


def _series(found: Adoption) -> tuple[tuple[datetime, ...], tuple[Series, ...]]:
    days = [found.since + at * _DAY for at in range(_length(found))]
    shown = _shown(found)
    counts = {version: [0] * len(days) for version in [*shown, 0]}
    for each in found.days:
        at = (each.day - found.since) // _DAY
        if 0 <= at < len(days):
            counts[each.version if each.version in shown else 0][at] += each.clients
    named = [Series(f"version {version}", tuple(counts[version])) for version in shown]
    if any(counts[0]):
        named.append(Series("all others", tuple(counts[0])))
    return tuple(days), tuple(named)


def _length(found: Adoption) -> int:
    last = max((each.day for each in found.days), default=found.since)
    return (last - found.since) // _DAY + 1


def _curve(found: Adoption, now: datetime) -> Markup | None:
    """Shares of each day: how many told differs from day to day, and how many there are, nobody
    knows.
    """
    days, named = _series(found)
    if not named:
        return None
    bars = Bars(days, max(now, days[-1] + _DAY), named, "clients that told", shares=True)
    return stacked("adoption", "Share of clients that hold each version, by day", bars, height=220)


def _table(found: Adoption) -> list[tuple[datetime, list[tuple[int, int]]]]:
    """The last day of each week, newest first."""
    rows: dict[datetime, list[tuple[int, int]]] = {}
    for each in found.days:
        rows.setdefault(each.day, []).append((each.version, each.clients))
    newest = sorted(rows, reverse=True)
    return [(day, rows[day]) for day in newest[::7]]


def _lives(watched: WatchedSet, now: datetime) -> Markup | None:
    """From when to when each version may be in the hands of clients."""
    field, timing = watched.field, watched.timing
    versions = sorted(field.versions, key=lambda each: -each.number)[:8]
    known = [(each, since) for each in versions if (since := each.since) is not None]
    if not known:
        return None
    ends = [field.dies(each, timing) for each, _ in known]
    until = max([now + 20 * _DAY, *(end + 5 * _DAY for end in ends if end)])
    span = Span(max(min(since for _, since in known), now - 400 * _DAY), until)
    lanes = []
    for (each, since), end in zip(known, ends, strict=True):
        how = "in a binary" if each.bundled else "fetched"
        past = Stay(
            "active" if end is None or end > now else "removed", since, min(end or now, now)
        )
        ahead = (
            [Stay("published", now, end or until, foretold=True)] if not end or end > now else []
        )
        lanes.append(Lane(f"version {each.number}, {how}", (past, *ahead)))
    return timeline("lives", "How long each version may be held", Timeline(span, now, tuple(lanes)))


def _waiting(watched: WatchedSet, now: datetime) -> Iterator[Waiting]:
    past_of, field, timing = watched.history.past, watched.field, watched.timing
    for policy in watched.pins.policies:
        situation = Situation(
            watched.pins, policy.pattern, field, (), timing, now, past_of(policy.pattern)
        )
        for entry in policy.pins:
            if not entry.live or standing(situation, entry.pin) in {"active", "retiring"}:
                continue
            found = adoption(situation, entry.pin)
            if not found.adopted:
                numbers = tuple(each.number for each in found.refusing)
                yield Waiting(
                    str(policy.pattern), str(entry.pin), entry.role, found.moment, numbers
                )


def _sentences(found: Adoption, watched: WatchedSet, now: datetime) -> Iterator[str]:
    """What was told, held against what the journal foretold."""
    if not found.days:
        yield (
            "No client has told which version it holds: the clock and the journal alone decide "
            "when a pin is ADOPTED. Switch presences on in the reporter to see more."
        )
        return
    for each in found.versions:
        yield from _of_version(each, now)
    unknown = [each.version for each in found.versions if not each.known and each.clients]
    if unknown:
        yield (
            f"Clients tell versions that the journal does not know: {', '.join(map(str, unknown))}."
            " Either it is not the whole journal, or somebody makes them up."
        )


def _of_version(held: Held, now: datetime) -> Iterator[str]:
    if held.known and not held.alive and held.clients:
        yield (
            f"Version {held.version} should be gone, and {number(held.clients, 'client')} told on "
            "one day of the last week that they hold it: the delays that were promised are too "
            "short, or somebody lies. Until it is quiet, do not build on its end."
        )
    if held.alive and held.bundled and held.until is None:
        if held.last_day is None or (held.unseen_days or 0) > 30:
            seen = f"since {date(held.last_day)}" if held.last_day else "in this time"
            yield (
                f"Version {held.version} is in a binary, and no client has told {seen} that it "
                f"holds it. If nobody runs that binary any more: certpin rotate ended {held.version}"
            )
        else:
            yield (
                f"Version {held.version} is in a binary that {number(held.clients, 'client')} "
                "still run, as far as they tell. No pin that it does not have becomes ADOPTED "
                "before it has ended."
            )
