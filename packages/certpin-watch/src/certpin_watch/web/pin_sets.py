"""The pages of pin sets: adoption of versions, and the rotation of each pin."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from certpin.rotation import Sighting, Situation, adoption, format_duration, pin_state
from certpin.rotation.journal import LINE
from certpin_watch.html import ago, date, number
from certpin_watch.store.queries import adoption as queries
from certpin_watch.store.queries.chains import load_chains
from certpin_watch.web.charts import COLOURS, Bars, BarSeries, Span, colour, stacked_bars
from certpin_watch.web.request import NotFoundError
from certpin_watch.web.timeline import Lane, Mark, Phase, Timeline, timeline

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from markupsafe import Markup
    from sqlalchemy import Connection
    from starlette.responses import Response

    from certpin.pins import HostPin, HostPolicy, State
    from certpin.rotation import Adoption
    from certpin_watch.snapshot import MonitoredPinSet
    from certpin_watch.store.queries.adoption import Adoption as ReportedAdoption
    from certpin_watch.store.queries.adoption import Held
    from certpin_watch.store.queries.hosts import Host
    from certpin_watch.web.request import PageRequest

_DAY = timedelta(days=1)
_RANGES = {"30": 30, "90": 90, "365": 365}  # days
# States of keys that no rotation waits for: servers use them, or none ever will.
_SETTLED: frozenset[State] = frozenset({"active", "retiring", "lost"})
_MAX_VERSIONS = 8  # in the timeline of versions
_UNSEEN_DAYS = 30  # without a client, a bundled version may be gone
# The timeline of a rotation: its minimum and maximum past, and its future.
_MIN_PAST, _MAX_PAST, _FUTURE = timedelta(days=60), timedelta(days=540), timedelta(days=45)


@dataclass(frozen=True)
class PendingPins:
    """Pins that some clients do not accept yet, because they hold pin-set versions without them.

    Attributes:
        versions: the numbers of these versions: clients may still hold them, and they don't have
            the pins. Empty if no released version is recorded.
        until: when every client will accept the pins (state ADOPTED); None if unknown.
        pins: pairs of a host pattern and a pin.
    """

    versions: tuple[int, ...]
    until: datetime | None
    pins: tuple[tuple[str, str], ...]

    @property
    def hosts(self) -> tuple[str, ...]:
        """The host patterns to which the pins belong, each once."""
        return tuple(dict.fromkeys(host for host, _ in self.pins))


def pin_sets_page(page: PageRequest) -> Response:
    """Return the page ``/pin-sets``: the monitored pin sets."""
    with page.connection() as connection:
        rows = [
            (monitored, queries.adoption(connection, monitored, page.now, days=8))
            for monitored in page.snapshot.sets
        ]
    return page.render("pin_sets.html", rows=rows, problems=page.snapshot.problems)


def pin_set_page(page: PageRequest) -> Response:
    """Return the page of a pin set: its versions, and how many clients hold each.

    The page also lists the pins that some clients don't accept yet.

    Raises:
        NotFoundError: no monitored pin set has the name in the URL path.
    """
    name = page.request.path_params["name"]
    monitored = next((each for each in page.snapshot.sets if each.pins.name == name), None)
    if monitored is None:
        raise NotFoundError(f"a pin set {name[:80]}")
    days = _RANGES[page.choice("days", ("90", "30", "365"))]
    with page.connection() as connection:
        reported = queries.adoption(connection, monitored, page.now, days=days)
        last = max((day.day for day in reported.days), default=None)
        apps = queries.apps(connection, name, last) if last else ()
    return page.render(
        "pin_set.html",
        monitored=monitored,
        reported=reported,
        days=days,
        last=last,
        shares=_draw_shares(reported, page.now),
        table=_weekly(reported),
        lifetimes=_draw_lifetimes(monitored, page.now),
        apps=apps,
        colours={version: colour(at) for at, version in enumerate(_shown_versions(reported))},
        pending=_pending(monitored, page.now),
        adopt=format_duration(monitored.timing.adopt),
        timing=monitored.timing.texts(),
        sentences=list(_sentences(reported)),
    )


def _weekly(reported: ReportedAdoption) -> list[tuple[datetime, list[tuple[int, int]]]]:
    """Return the number of clients by pin-set version, for some of the days with presences.

    With a presence, a client reports the pin-set version that it holds. ``reported`` has the
    numbers of all days. The result has the newest day with presences, and every seventh one before
    it. Each item is a day, and pairs of a version and its number of clients. The newest day comes
    first.
    """
    rows: dict[datetime, list[tuple[int, int]]] = {}
    for day in reported.days:
        rows.setdefault(day.day, []).append((day.version, day.clients))
    newest = sorted(rows, reverse=True)
    return [(day, rows[day]) for day in newest[::7]]


def _pending(monitored: MonitoredPinSet, now: datetime) -> list[PendingPins]:
    """Return the pins in a pin file that some clients don't accept yet, in groups.

    The pins of one group are refused by clients of the same versions, and have the same time from
    which every client will accept them.

    Some pins are left out, because no rotation waits for them:

    - Removed and compromised pins, because clients must not accept them.
    - Pins in the states ACTIVE (a server uses the key), RETIRING (a server used it before) and LOST
      (the key is lost).

    Args:
        monitored: the pin file, with the journal of its rotation.
        now: the time of the page.
    """
    groups: dict[tuple[tuple[int, ...], datetime | None], list[tuple[str, str]]] = {}
    deployed, timing = monitored.deployed, monitored.timing
    for policy in monitored.pins.policies:
        past = monitored.history.past(policy.pattern)
        situation = Situation(monitored.pins, policy.pattern, deployed, (), timing, now, past)
        for entry in policy.pins:
            if not entry.live or pin_state(situation, entry.pin) in _SETTLED:
                continue
            state = adoption(situation, entry.pin)
            if not state.adopted:
                key = tuple(version.number for version in state.refusing), state.moment
                groups.setdefault(key, []).append((str(policy.pattern), str(entry.pin)))
    return [PendingPins(versions, until, tuple(pins)) for (versions, until), pins in groups.items()]


def _sentences(reported: ReportedAdoption) -> Iterator[str]:
    """Yield sentences that compare the pin-set versions of clients with the released versions.

    Clients report the version that they hold; the journal of the rotation records the released
    ones. If no client reported a version, a single sentence states that.
    """
    if not reported.days:
        yield (
            "No client has reported its version: only the clock and the journal decide when a pin "
            "is ADOPTED. To see more, switch on presences in the reporter."
        )
        return
    for version in reported.versions:
        yield from _version_sentences(version)
    unknown = [held.version for held in reported.versions if not held.known and held.clients]
    if unknown:
        yield (
            f"Clients report versions that are not in the journal: {', '.join(map(str, unknown))}. "
            "The journal is incomplete, or a client sends invented versions."
        )


def _version_sentences(held: Held) -> Iterator[str]:
    if held.known and not held.alive and held.clients:
        yield (
            f"Version {held.version} should no longer be in use, but "
            f"{number(held.clients, 'client')} reported it on one day of the last week: the "
            "declared delays are too short, or the reports are false. Don't rely on its end while "
            "reports of it arrive."
        )
    if held.alive and held.bundled and held.until is None:
        if held.last_day is None or (held.unseen_days or 0) > _UNSEEN_DAYS:
            since = f"since {date(held.last_day)}" if held.last_day else "in this time"
            yield (
                f"Version {held.version} is in a binary, and no client has reported it {since}. "
                f"If that binary is no longer in use: certpin rotate shipped {held.version} --ended"
            )
        else:
            yield (
                f"Version {held.version} is in a binary that "
                f"{number(held.clients, 'client')} still report. Pins that it lacks don't become "
                "ADOPTED until you end it."
            )


def _draw_shares(reported: ReportedAdoption, now: datetime) -> Markup | None:
    """Draw a chart with the share of clients that hold each pin-set version, by day.

    100 per cent are the clients that reported a version on the day, because the number of all
    clients is unknown. Return None if no client reported a version.
    """
    days, series = _share_series(reported)
    if not series:
        return None
    end, unit = max(now, days[-1] + _DAY), "client that reported"
    bars = Bars(days, end, series, unit, shares=True, units="clients that reported")
    title = "Share of clients that hold each version, by day"
    return stacked_bars("adoption", title, bars, height=220)


def _share_series(
    reported: ReportedAdoption,
) -> tuple[tuple[datetime, ...], tuple[BarSeries, ...]]:
    last = max((day.day for day in reported.days), default=reported.since)
    days = tuple(reported.since + at * _DAY for at in range((last - reported.since) // _DAY + 1))
    versions = _shown_versions(reported)
    counts = {version: [0] * len(days) for version in [*versions, 0]}
    for day in reported.days:
        at = (day.day - reported.since) // _DAY
        if 0 <= at < len(days):
            counts[day.version if day.version in versions else 0][at] += day.clients
    series = [BarSeries(f"version {version}", tuple(counts[version])) for version in versions]
    if any(counts[0]):
        series.append(BarSeries("all others", tuple(counts[0])))
    return days, tuple(series)


def _shown_versions(reported: ReportedAdoption) -> list[int]:
    """Return the pin-set versions to draw in a chart, in ascending order.

    These are the versions that clients report most. There is one fewer than there are colours,
    because the chart shows all other versions together in the last colour. ``reported`` has the
    numbers of clients by version and day.
    """
    clients: dict[int, int] = {}
    for day in reported.days:
        clients[day.version] = clients.get(day.version, 0) + day.clients
    return sorted(sorted(clients, key=lambda version: -clients[version])[: COLOURS - 1])


def _draw_lifetimes(monitored: MonitoredPinSet, now: datetime) -> Markup | None:
    """Draw a timeline with the period in which clients may hold each version of a pin set.

    ``monitored`` is the pin set, with the journal of its rotation. Return None if no version has a
    known release date.
    """
    deployed, timing = monitored.deployed, monitored.timing
    newest = sorted(deployed.versions, key=lambda version: -version.number)[:_MAX_VERSIONS]
    known = [(version, since) for version in newest if (since := version.since) is not None]
    if not known:
        return None
    ends = [deployed.end_of_life(version, timing) for version, _ in known]
    until = max([now + 20 * _DAY, *(end + 5 * _DAY for end in ends if end)])
    span = Span(max(min(since for _, since in known), now - 400 * _DAY), until)
    lanes = []
    for (version, since), end in zip(known, ends, strict=True):
        source = "in a binary" if version.bundled else "fetched"
        phases = tuple(_lifetime_phases(since, end, now, until))
        lanes.append(Lane(f"version {version.number}, {source}", phases))
    title = "How long clients may hold each version"
    return timeline("lives", title, Timeline(span, now, tuple(lanes)))


def _lifetime_phases(
    since: datetime, end: datetime | None, now: datetime, until: datetime
) -> Iterator[Phase]:
    if end is not None and end <= now:
        yield Phase("retiring", since, end, text="was in use")
        return
    yield Phase("active", since, now, text="may be in use")
    yield Phase("active", now, end or until, predicted=True, text=" ")


@dataclass(frozen=True)
class PinStatus:
    """A pin of a host, and its state in the rotation (the change from one key to another).

    Attributes:
        entry: the pin's entry in the pin file.
        state: the current state, such as "published".
        since: the time at which the pin entered each state. States that the journal doesn't record
            are missing.
        adoption: whether every client accepts the pin, and the time from which all of them do.
        served_by: the locations (machines that probe hosts) to which a server presents the pinned
            key.
        now: the time of the page.
        is_unpinned: True if no version that clients may hold has a policy for the host.
    """

    entry: HostPin
    state: State
    since: dict[State, datetime]
    adoption: Adoption
    served_by: tuple[str, ...]
    now: datetime
    is_unpinned: bool

    @property
    def entered(self) -> datetime | None:
        """The time at which the pin entered its current state; None if that is not recorded."""
        return self.adoption.moment if self.state == "adopted" else self.since.get(self.state)

    @property
    def adopted(self) -> str:
        """A sentence that states whether every client accepts the pin, and since when.

        If some clients don't accept it yet, the sentence has the date from which all will, if it is
        known.
        """
        moment = self.adoption.moment
        if not self.entry.live:
            return "No client accepts it any more"
        if self.is_unpinned:
            return "Not known: no version that clients may hold has this host"
        if self.adoption.adopted:
            since = f", since {date(moment)}" if moment else ""
            return f"Every client accepts it{since}"
        versions = ", ".join(str(version.number) for version in self.adoption.refusing)
        why = f"clients of version {versions} refuse it" if versions else "no version is recorded"
        if moment is None:
            return f"Not yet, and the date is unknown: {why}"
        return f"Not before {date(moment)} ({ago(moment, self.now)}): {why}"


@dataclass(frozen=True)
class Rotation:
    """The rotation of the pins for one host, with all data that the page of the host shows.

    Attributes:
        pin_set: the name of the pin set.
        pattern: the host pattern of the policy.
        version: the version in the pin file.
        policy: the policy: the pins, and how clients enforce them.
        pins: each pin with its state.
        picture: a timeline of the states; None if the journal records none.
        ends: when the certificate and the pins expire, each with a text.
    """

    pin_set: str
    pattern: str
    version: int
    policy: HostPolicy
    pins: tuple[PinStatus, ...]
    picture: Markup | None
    ends: tuple[tuple[datetime, str], ...]


def rotation(
    connection: Connection,
    page: PageRequest,
    monitored: MonitoredPinSet,
    policy: HostPolicy,
    host: Host,
) -> Rotation:
    """Return the rotation of a policy's pins, with the state of each pin and a timeline.

    Args:
        connection: a read transaction.
        page: the request for the page.
        monitored: the pin set, with the journal of its rotation.
        policy: the policy of the host.
        host: the host, with the chains that its servers present.
    """
    situation = Situation(
        monitored.pins,
        policy.pattern,
        monitored.deployed,
        tuple(_sightings(connection, host)),
        monitored.timing,
        page.now,
        monitored.history.past(policy.pattern),
    )
    pins = tuple(_pin_status(situation, monitored, entry) for entry in policy.pins)
    expiry = ((host.not_after, "certificate expires"), (policy.expires, "pins expire"))
    ends = tuple((end, text) for end, text in expiry if end)
    name, version = monitored.pins.name, monitored.pins.version
    picture = _draw_rotation(situation, pins, ends, f"rotation-{name}")
    return Rotation(name, str(policy.pattern), version, policy, pins, picture, ends)


def _sightings(connection: Connection, host: Host) -> Iterator[Sighting]:
    digests = {seen.verified for seen in host.vantages if seen.verified}
    chains = load_chains(connection, [bytes.fromhex(digest) for digest in digests])
    for seen in host.vantages:
        chain = chains.get(bytes.fromhex(seen.verified)) if seen.verified else None
        yield Sighting(seen.vantage, chain)


def _pin_status(situation: Situation, monitored: MonitoredPinSet, entry: HostPin) -> PinStatus:
    return PinStatus(
        entry,
        pin_state(situation, entry.pin),
        monitored.history.since(situation.pattern, entry.pin),
        adoption(situation, entry.pin),
        situation.serving(entry.pin),
        situation.now,
        situation.is_unpinned,
    )


def _draw_rotation(
    situation: Situation,
    pins: tuple[PinStatus, ...],
    ends: tuple[tuple[datetime, str], ...],
    name: str,
) -> Markup | None:
    """Draw a timeline of the states of each pin; None if no state of any pin is recorded.

    The journal of a rotation (a change of keys) records the states.

    Args:
        situation: the pin set, its deployed versions and the time.
        pins: the pins with their states.
        ends: dates to mark if they are in the future, each with a text.
        name: an id that is unique on the page.
    """
    recorded = [moment for pin in pins for moment in pin.since.values()]
    if not recorded:
        return None
    now = situation.now
    adoptions = [pin.adoption.moment for pin in pins if pin.adoption.moment]
    future = [*adoptions, *(end for end, _ in ends)]
    span = Span(
        max(min(recorded), now - _MAX_PAST),
        max([now + _MIN_PAST / 4, *(min(at, now + 4 * _FUTURE) + _FUTURE / 6 for at in future)]),
    )
    lanes = tuple(_pin_lane(pin, span) for pin in pins)
    marks = tuple(Mark(end, text) for end, text in ends if end > now)
    title = f"State of each pin of {situation.pattern}"
    return timeline(name, title, Timeline(span, now, lanes, marks))


def _pin_lane(pin: PinStatus, span: Span) -> Lane:
    role = f"{pin.entry.role}, {pin.state.upper()}"
    return Lane(f"{str(pin.entry.pin)[:17]}…  {role}", tuple(_pin_phases(pin, span)))


def _pin_phases(pin: PinStatus, span: Span) -> Iterator[Phase]:
    """Yield the periods in which a pin was, is, and will be in each state of its rotation.

    ``span`` is the period that the time axis of the chart shows.
    """
    now, moments = pin.now, dict(pin.since)
    adopted = pin.adoption.moment
    if adopted and adopted <= now and _was_adopted_before_use(pin, adopted):
        moments["adopted"] = adopted
    order = sorted(moments.items(), key=lambda pair: (pair[1], _rank(pair[0])))
    for index, (state, since) in enumerate(order):
        until = order[index + 1][1] if index + 1 < len(order) else now
        if until > since:
            yield Phase(state, since, until)
    if pin.state in {"published", "adopted"} and adopted and adopted > now:
        yield Phase("published", now, adopted, predicted=True)
        yield Phase("adopted", adopted, span.until, predicted=True)


def _was_adopted_before_use(pin: PinStatus, adopted: datetime) -> bool:
    """Return True if every client accepted a pin before a server first used it.

    The timeline then shows a period in the state ADOPTED. ``adopted`` is the time from which every
    client accepts the pin. If the pin was published after this time, or it is unknown when, return
    False.
    """
    used = [pin.since[state] for state in ("active", "retiring") if state in pin.since]
    published = pin.since.get("published")
    return published is not None and published <= adopted and all(adopted < at for at in used)


def _rank(state: State) -> int:
    return LINE.index(state) if state in LINE else len(LINE)
