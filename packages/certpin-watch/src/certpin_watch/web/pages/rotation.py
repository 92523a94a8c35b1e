"""Where each pin of a host stands in its rotation, as a table and as a time line."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from certpin.rotation import Situation, adoption, pin_state
from certpin.rotation.adoption import Sighting
from certpin.rotation.states import LINE
from certpin_watch.store.queries import chains
from certpin_watch.web.pages.words import ago, date
from certpin_watch.web.pictures.scale import Span
from certpin_watch.web.pictures.timeline import Lane, Mark, Stay, Timeline, timeline

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from markupsafe import Markup
    from sqlalchemy import Connection

    from certpin.pins import HostPin, HostPolicy, State
    from certpin.rotation import Adoption
    from certpin_watch.snapshot import WatchedSet
    from certpin_watch.store.queries.hosts import Host
    from certpin_watch.web.pages.asking import Asked

_SHORTEST, _LONGEST, _AHEAD = timedelta(days=60), timedelta(days=540), timedelta(days=45)


@dataclass(frozen=True)
class Standing:
    """A pin, where it stands and since when, who serves it, and whether every client accepts it."""

    entry: HostPin
    state: State
    since: dict[State, datetime]
    adoption: Adoption
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
    for number, (state, since) in enumerate(order):
        until = order[number + 1][1] if number + 1 < len(order) else now
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
