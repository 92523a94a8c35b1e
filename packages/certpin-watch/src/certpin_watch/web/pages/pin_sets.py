"""Pin sets: which versions clients hold, and what that means for the next step of a rotation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin.rotation import Situation, adoption, format_duration, pin_state
from certpin_watch.store.queries import adoption as facts
from certpin_watch.web.pages import held
from certpin_watch.web.pages.asking import Missing
from certpin_watch.web.pages.words import date, number
from certpin_watch.web.pictures.stacked import colour

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from starlette.responses import Response

    from certpin_watch.snapshot import WatchedSet
    from certpin_watch.store.queries.adoption import Adoption, Held
    from certpin_watch.web.pages.asking import Asked

_DAYS = {"30": 30, "90": 90, "365": 365}


@dataclass(frozen=True)
class Waiting:
    """Pins that not every client accepts yet: some still hold versions without them.

    ``pins`` are each with its host.
    """

    versions: tuple[int, ...]
    until: datetime | None
    pins: tuple[tuple[str, str], ...]

    @property
    def hosts(self) -> tuple[str, ...]:
        """The patterns that they belong to."""
        return tuple(dict.fromkeys(host for host, _ in self.pins))


def overview(asked: Asked) -> Response:
    """All of them."""
    with asked.connection() as connection:
        rows = [
            (each, facts.adoption(connection, each, asked.now, days=8))
            for each in asked.snapshot.sets
        ]
    return asked.page("pin_sets.html", rows=rows, problems=asked.snapshot.problems)


def pin_set(asked: Asked) -> Response:
    """One of them."""
    name = asked.request.path_params["name"]
    watched = next((each for each in asked.snapshot.sets if each.pins.name == name), None)
    if watched is None:
        raise Missing(f"a pin set {name[:80]}")
    days = _DAYS[asked.choice("days", ("90", "30", "365"))]
    with asked.connection() as connection:
        found = facts.adoption(connection, watched, asked.now, days=days)
        last = max((each.day for each in found.days), default=None)
        apps = facts.apps(connection, name, last) if last else ()
    return asked.page(
        "pin_set.html",
        watched=watched,
        held=found,
        days=days,
        last=last,
        curve=held.curve(found, asked.now),
        table=_table(found),
        lives=held.lives(watched, asked.now),
        apps=apps,
        colours={each: colour(at) for at, each in enumerate(held.shown(found))},
        waiting=_waiting(watched, asked.now),
        adopt=format_duration(watched.timing.adopt),
        timing=watched.timing.texts(),
        sentences=list(_sentences(found)),
    )


def _table(found: Adoption) -> list[tuple[datetime, list[tuple[int, int]]]]:
    """The last day of each week, newest first."""
    rows: dict[datetime, list[tuple[int, int]]] = {}
    for each in found.days:
        rows.setdefault(each.day, []).append((each.version, each.clients))
    newest = sorted(rows, reverse=True)
    return [(day, rows[day]) for day in newest[::7]]


def _waiting(watched: WatchedSet, now: datetime) -> list[Waiting]:
    """Pins that wait for the same versions are one entry: most are published together."""
    found: dict[tuple[tuple[int, ...], datetime | None], list[tuple[str, str]]] = {}
    past_of, field, timing = watched.history.past, watched.field, watched.timing
    for policy in watched.pins.policies:
        past = past_of(policy.pattern)
        situation = Situation(watched.pins, policy.pattern, field, (), timing, now, past)
        for entry in policy.pins:
            if not entry.live or pin_state(situation, entry.pin) in {"active", "retiring"}:
                continue
            how = adoption(situation, entry.pin)
            if not how.adopted:
                key = tuple(each.number for each in how.refusing), how.moment
                found.setdefault(key, []).append((str(policy.pattern), str(entry.pin)))
    return [Waiting(versions, until, tuple(pins)) for (versions, until), pins in found.items()]


def _sentences(found: Adoption) -> Iterator[str]:
    """What was told, held against what the journal foretold."""
    if not found.days:
        yield (
            "No client has told which version it holds: the clock and the journal alone decide "
            "when a pin is ADOPTED. Switch presences on in the reporter to see more."
        )
        return
    for each in found.versions:
        yield from _of_version(each)
    unknown = [each.version for each in found.versions if not each.known and each.clients]
    if unknown:
        yield (
            f"Clients tell versions that the journal does not know: {', '.join(map(str, unknown))}."
            " Either it is not the whole journal, or somebody makes them up."
        )


def _of_version(told: Held) -> Iterator[str]:
    if told.known and not told.alive and told.clients:
        yield (
            f"Version {told.version} should be gone, and {number(told.clients, 'client')} told on "
            "one day of the last week that they hold it: the delays that were promised are too "
            "short, or somebody lies. Until it is quiet, do not build on its end."
        )
    if told.alive and told.bundled and told.until is None:
        if told.last_day is None or (told.unseen_days or 0) > 30:
            seen = f"since {date(told.last_day)}" if told.last_day else "in this time"
            yield (
                f"Version {told.version} is in a binary, and no client has told {seen} that it "
                f"holds it. If nobody runs that binary any more: "
                f"certpin rotate ended {told.version}"
            )
        else:
            yield (
                f"Version {told.version} is in a binary that {number(told.clients, 'client')} "
                "still run, as far as they tell. No pin that it does not have becomes ADOPTED "
                "before it has ended."
            )
