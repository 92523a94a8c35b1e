"""The pages of pin sets: adoption of versions, and the rotation of each pin."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from certpin.rotation import Situation, adoption, format_duration, pin_state
from certpin.rotation.adoption import Sighting
from certpin.rotation.journal import LINE
from certpin_watch.html.words import ago, date, number
from certpin_watch.store.queries import adoption as facts
from certpin_watch.store.queries import chains
from certpin_watch.web.charts import (
    COLOURS,
    Bars,
    Lane,
    Mark,
    Series,
    Stay,
    Timeline,
    colour,
    stacked,
    timeline,
)
from certpin_watch.web.pictures import Span
from certpin_watch.web.request import Missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from markupsafe import Markup
    from sqlalchemy import Connection
    from starlette.responses import Response

    from certpin.pins import HostPin, HostPolicy, State
    from certpin.rotation import Adoption as PinAdoption
    from certpin_watch.snapshot import WatchedSet
    from certpin_watch.store.queries.adoption import Adoption, Held
    from certpin_watch.store.queries.hosts import Host
    from certpin_watch.web.request import Asked


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


def pin_sets_page(asked: Asked) -> Response:
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
        curve=curve(found, asked.now),
        table=_table(found),
        lives=lives(watched, asked.now),
        apps=apps,
        colours={each: colour(at) for at, each in enumerate(shown(found))},
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
        lanes.append(
            Lane(f"version {each.number}, {how}", tuple(_version_stays(since, end, now, until)))
        )
    return timeline("lives", "How long each version may be held", Timeline(span, now, tuple(lanes)))


def _version_stays(
    since: datetime, end: datetime | None, now: datetime, until: datetime
) -> Iterator[Stay]:
    if end is not None and end <= now:
        yield Stay("retiring", since, end, words="was held")
        return
    yield Stay("active", since, now, words="may be held")
    yield Stay("active", now, end or until, foretold=True, words=" ")


_SHORTEST, _LONGEST, _AHEAD = timedelta(days=60), timedelta(days=540), timedelta(days=45)


@dataclass(frozen=True)
class Standing:
    """A pin, where it stands and since when, who serves it, and whether every client accepts it."""

    entry: HostPin
    state: State
    since: dict[State, datetime]
    adoption: PinAdoption
    served_by: tuple[str, ...]
    now: datetime

    @property
    def entered(self) -> datetime | None:
        """When it came into the state that it is in, where anybody wrote that down."""
        return self.adoption.moment if self.state == "adopted" else self.since.get(self.state)

    @property
    def adopted(self) -> str:
        """Whether every client accepts it, in words."""
        moment = self.adoption.moment
        if not self.entry.live:
            return "It is accepted by nobody any more"
        if self.adoption.adopted:
            return f"Every client accepts it, since {date(moment)}" if moment else "Every client"
        refusing = ", ".join(str(each.number) for each in self.adoption.refusing)
        who = f"clients of version {refusing} refuse it" if refusing else "no version is recorded"
        if moment is None:
            return f"Not yet, and nobody can say when: {who}"
        return f"Not before {date(moment)} ({ago(moment, self.now)}): {who}"


@dataclass(frozen=True)
class Rotation:
    """The pins of one policy."""

    pin_set: str
    pattern: str
    version: int
    policy: HostPolicy
    standings: tuple[Standing, ...]
    drawing: Markup | None
    ends: tuple[tuple[datetime, str], ...]


def of(
    connection: Connection, asked: Asked, watched: WatchedSet, policy: HostPolicy, host: Host
) -> Rotation:
    """Look at a policy. What the journal does not know is not drawn."""
    situation = Situation(
        watched.pins,
        policy.pattern,
        watched.field,
        tuple(_seen(connection, host)),
        watched.timing,
        asked.now,
        watched.history.past(policy.pattern),
    )
    standings = tuple(_stand(situation, watched, entry) for entry in policy.pins)
    ends = _ends(policy, host)
    drawing = _drawn(situation, standings, ends, f"rotation-{watched.pins.name}")
    name, version = watched.pins.name, watched.pins.version
    return Rotation(name, str(policy.pattern), version, policy, standings, drawing, ends)


def _seen(connection: Connection, host: Host) -> Iterator[Sighting]:
    digests = {each.verified for each in host.vantages if each.verified}
    found = chains.load_chains(connection, [bytes.fromhex(each) for each in digests])
    for each in host.vantages:
        chain = found.get(bytes.fromhex(each.verified)) if each.verified else None
        yield Sighting(each.vantage, chain)


def _stand(situation: Situation, watched: WatchedSet, entry: HostPin) -> Standing:
    return Standing(
        entry,
        pin_state(situation, entry.pin),
        watched.history.since(situation.pattern, entry.pin),
        adoption(situation, entry.pin),
        situation.serving(entry.pin),
        situation.now,
    )


def _ends(policy: HostPolicy, host: Host) -> tuple[tuple[datetime, str], ...]:
    both = ((host.not_after, "certificate ends"), (policy.expires, "pins end"))
    return tuple((end, words) for end, words in both if end)


def _drawn(
    situation: Situation,
    standings: tuple[Standing, ...],
    ends: tuple[tuple[datetime, str], ...],
    name: str,
) -> Markup | None:
    moments = [moment for each in standings for moment in each.since.values()]
    if not moments:
        return None
    now = situation.now
    ahead = [each.adoption.moment for each in standings if each.adoption.moment]
    later = [*ahead, *(end for end, _ in ends)]
    span = Span(
        max(min(moments), now - _LONGEST),
        max([now + _SHORTEST / 4, *(min(at, now + 4 * _AHEAD) + _AHEAD / 6 for at in later)]),
    )
    lanes = tuple(_lane(each, span) for each in standings)
    marks = tuple(Mark(end, words) for end, words in ends if end > now)
    what = Timeline(span, now, lanes, marks)
    return timeline(name, f"Where each pin of {situation.pattern} stands", what)


def _lane(standing: Standing, span: Span) -> Lane:
    role = f"{standing.entry.role}, {standing.state.upper()}"
    return Lane(f"{_short(standing.entry)}  {role}", tuple(_stays(standing, span)))


def _short(entry: HostPin) -> str:
    return f"{str(entry.pin)[:17]}…"


def _stays(standing: Standing, span: Span) -> Iterator[Stay]:
    """From state to state up to now, and what is foretold after it."""
    now, found = standing.now, dict(standing.since)
    moment = standing.adoption.moment
    out = standing.state in {"published", "adopted"}
    if moment and moment <= now and _before_use(standing, moment):
        found["adopted"] = moment
    order = sorted(found.items(), key=lambda pair: (pair[1], _place(pair[0])))
    for index, (state, since) in enumerate(order):
        until = order[index + 1][1] if index + 1 < len(order) else now
        if until > since:
            yield Stay(state, since, until)
    if out and moment and moment > now:
        yield Stay("published", now, moment, foretold=True)
        yield Stay("adopted", moment, span.until, foretold=True)


def _before_use(standing: Standing, moment: datetime) -> bool:
    """Whether it was adopted between its publishing and its first use, as the journal has them."""
    used = [standing.since[each] for each in ("active", "retiring") if each in standing.since]
    published = standing.since.get("published")
    return published is not None and published <= moment and all(moment < at for at in used)


def _place(state: State) -> int:
    return LINE.index(state) if state in LINE else len(LINE)
