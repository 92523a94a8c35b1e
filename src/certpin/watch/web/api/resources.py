"""Each resource: how it is asked for, what it answers with, and the facts that it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args

import msgspec

from certpin.errors import HostError
from certpin.pins import normalise
from certpin.watch.facts import adoption, alerts, chains, failures, freshness, hosts, sightings
from certpin.watch.facts.limits import Limits
from certpin.watch.web.api import asking
from certpin.watch.web.api.asking import CURSOR, LIMIT, SINCE, UNTIL, Parameter, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from certpin.watch.facts.base import Page
    from certpin.watch.watch import Watch
    from certpin.watch.watched import WatchedSet

Item = TypeVar("Item")


class Listed(msgspec.Struct, Generic[Item], frozen=True):
    """A part of a list. ``next`` is the `cursor` of what follows; none where it ends."""

    items: list[Item]
    next: str | None = None


class PinSetFacts(msgspec.Struct, frozen=True):
    """A watched pin set. ``alive`` are the versions that clients may hold."""

    name: str
    version: int
    hosts: int
    published: int | None
    alive: tuple[int, ...]
    adopt_seconds: int


@dataclass(frozen=True)
class Ask:
    """What a resource is made from."""

    watch: Watch
    connection: Connection
    now: datetime
    path: dict[str, str]
    query: dict[str, Any]

    @property
    def limits(self) -> Limits:
        """From when on something is old, or near."""
        return Limits.of(self.watch.settings)

    @property
    def within(self) -> failures.Range:
        """The range of time that is asked for."""
        return failures.Range(*asking.within(self.query, self.now))


@dataclass(frozen=True)
class Resource:
    """One address. ``answers`` is the type of what it returns; ``path`` as starlette has it."""

    path: str
    about: str
    answers: Any
    find: Callable[[Ask], Any]
    parameters: tuple[Parameter, ...] = ()
    name: str = ""
    lasts: bool = False


_OF_REPORTS = (
    asking.text("host", "Reports of this host alone."),
    asking.text("pin_set", "Reports of this pin set alone."),
    asking.number("version", "Reports of this version alone; 0: it has none.", None, 0),
    asking.text("app", "Reports of this app alone."),
    asking.text("app_version", "Reports of this version of the app alone."),
    asking.text("platform", "Reports of this platform alone."),
    asking.text("network", "Reports of this network alone."),
    asking.text("kind", "Reports of this format alone."),
    asking.text("reason", "Reports with this reason alone."),
    asking.text("decision", "Reports with this decision alone."),
    asking.digest("served", "Reports that met this chain alone."),
)


def _only(ask: Ask) -> failures.Only:
    return failures.Only(**{each.name: ask.query[each.name] for each in _OF_REPORTS})


def _listed(page: Page[Any]) -> Listed[Any]:
    return Listed(list(page.items), asking.cursor_of(page.next))


def _hosts(ask: Ask) -> Listed[hosts.Host]:
    after = asking.key_of(ask.query["cursor"], str) or ("",)
    return _listed(
        hosts.hosts(
            ask.connection,
            ask.watch.watched.glance(),
            ask.now,
            after=after[0],
            limit=ask.query["limit"],
            limits=ask.limits,
        )
    )


def _host(ask: Ask) -> hosts.Host:
    glance = ask.watch.watched.glance()
    return _there(hosts.host(ask.connection, glance, ask.now, _name(ask), ask.limits))


def _sightings(ask: Ask) -> Listed[sightings.Sighting]:
    before = asking.key_of(ask.query["cursor"], int, int)
    name, limit = _covered(ask), ask.query["limit"]
    return _listed(sightings.history(ask.connection, name, before=before, limit=limit))


def _changes(ask: Ask) -> list[sightings.Change]:
    return list(sightings.changes(ask.connection, _covered(ask), limit=ask.query["limit"]))


def _series(ask: Ask) -> failures.Series:
    by, bucket, lines = (ask.query[name] for name in ("by", "bucket", "lines"))
    return failures.series(
        ask.connection, ask.within, by=by, bucket=bucket, only=_only(ask), lines=lines
    )


def _total(ask: Ask) -> failures.Total:
    return failures.total(ask.connection, ask.within, _only(ask))


def _groups(ask: Ask) -> Listed[failures.Group]:
    before = asking.key_of(ask.query["cursor"], int, int)
    return _listed(
        failures.groups(
            ask.connection, ask.within, only=_only(ask), before=before, limit=ask.query["limit"]
        )
    )


def _top_chains(ask: Ask) -> list[failures.ChainCount]:
    limit = ask.query["limit"]
    return list(failures.top_chains(ask.connection, ask.within, only=_only(ask), limit=limit))


def _chain(ask: Ask) -> chains.KeptChain:
    return _there(chains.chain(ask.connection, _digest(ask)))


def chain_pem(ask: Ask) -> bytes:
    """The certificates of a chain as PEM, leaf first."""
    import ssl

    ders = _there(chains.ders(ask.connection, _digest(ask)))
    return "".join(ssl.DER_cert_to_PEM_cert(each) for each in ders).encode()


def _pin_sets(ask: Ask) -> list[PinSetFacts]:
    return [_pin_set(each, ask.now) for each in ask.watch.watched.glance().sets]


def _pin_set(watched: WatchedSet, now: datetime) -> PinSetFacts:
    latest, adopt = watched.field.latest, watched.timing.adopt
    return PinSetFacts(
        watched.pins.name,
        watched.pins.version,
        len(watched.pins.policies),
        latest.number if latest else None,
        tuple(each.number for each in watched.alive(now)),
        int(adopt / timedelta(seconds=1)),
    )


def _adoption(ask: Ask) -> adoption.Adoption:
    sets = ask.watch.watched.glance().sets
    found = _there(next((each for each in sets if each.pins.name == ask.path["name"]), None))
    return adoption.adoption(ask.connection, found, ask.now, days=ask.query["days"])


def _alerts(ask: Ask) -> Listed[alerts.Alert]:
    which, host, limit = (ask.query[name] for name in ("state", "host", "limit"))
    before = asking.key_of(ask.query["cursor"], int)
    return _listed(
        alerts.alerts(ask.connection, which=which, host=host, before=before, limit=limit)
    )


def _alert(ask: Ask) -> alerts.AlertStory:
    word = ask.path["id"]
    number = int(word) if word.isascii() and word.isdigit() and len(word) < 19 else None
    return _there(None if number is None else alerts.alert(ask.connection, number))


def _silences(ask: Ask) -> Listed[alerts.Silence]:
    before = asking.key_of(ask.query["cursor"], int)
    active, limit = ask.query["state"] == "active", ask.query["limit"]
    return _listed(
        alerts.silences(ask.connection, ask.now, active=active, before=before, limit=limit)
    )


def _status(ask: Ask) -> freshness.Freshness:
    return freshness.freshness(ask.connection, ask.watch.watched.glance(), ask.now, ask.limits)


def _there(found: Item | None) -> Item:
    if found is None:
        raise RefusedError(404, "There is no such thing", "The watch knows nothing of this name.")
    return found


def _name(ask: Ask) -> str:
    try:
        return normalise(ask.path["name"])
    except HostError as exc:
        raise RefusedError(
            404, "There is no such thing", "This is not the name of a host."
        ) from exc


def _covered(ask: Ask) -> str:
    """The name of a watched host: what was seen of others is nobody's business."""
    name = _name(ask)
    _there(hosts.policies_of(ask.watch.watched.glance(), name) or None)
    return name


def _digest(ask: Ask) -> bytes:
    try:
        return bytes.fromhex(asking.read_digest(ask.path["digest"]))
    except ValueError as exc:
        raise RefusedError(
            404, "There is no such thing", "This is not the digest of a chain."
        ) from exc


_PAGED = (CURSOR, LIMIT)
_RANGE = (SINCE, UNTIL)
_BY = asking.choice("by", "What the lines are.", get_args(failures.By), "host")
_BUCKET = asking.choice("bucket", "How long a bucket is.", get_args(failures.Bucket), "hour")
_LINES = asking.number("lines", "How many lines; all others are one.", 8, 1, failures.MOST_LINES)
_DAYS = asking.number("days", "How many days back.", 90, 1, adoption.MOST_DAYS)
_STATE = asking.choice("state", "Which alerts.", get_args(alerts.Which), "open")
_ACTIVE = asking.choice("state", "Which silences.", ("active", "all"), "active")
_OF_HOST = asking.text("host", "Alerts of this host alone.")
_RANGED = (*_RANGE, *_OF_REPORTS)

RESOURCES: tuple[Resource, ...] = (
    Resource("/hosts", "Every watched host, by name.", Listed[hosts.Host], _hosts, _PAGED),
    Resource("/hosts/{name}", "One host.", hosts.Host, _host),
    Resource(
        "/hosts/{name}/sightings",
        "What probes saw of a host, the last first.",
        Listed[sightings.Sighting],
        _sightings,
        _PAGED,
    ),
    Resource(
        "/hosts/{name}/changes",
        "What changed at a host, the last first.",
        list[sightings.Change],
        _changes,
        (LIMIT,),
    ),
    Resource(
        "/failures/series",
        "What clients reported, over time. Claims, not facts.",
        failures.Series,
        _series,
        (_BY, _BUCKET, _LINES, *_RANGED),
    ),
    Resource("/failures/total", "How many reports.", failures.Total, _total, _RANGED),
    Resource(
        "/failures/groups",
        "Reports that say the same, by hour, the last first.",
        Listed[failures.Group],
        _groups,
        (*_PAGED, *_RANGED),
    ),
    Resource(
        "/failures/chains",
        "The chains that clients met most often.",
        list[failures.ChainCount],
        _top_chains,
        (LIMIT, *_RANGED),
    ),
    Resource(
        "/chains/{digest}",
        "A chain in words, whoever sent it.",
        chains.KeptChain,
        _chain,
        lasts=True,
    ),
    Resource("/pin-sets", "The watched pin sets.", list[PinSetFacts], _pin_sets),
    Resource(
        "/pin-sets/{name}/adoption",
        "Which version clients say that they hold. Claims, not facts.",
        adoption.Adoption,
        _adoption,
        (_DAYS,),
    ),
    Resource(
        "/alerts", "Alerts, the last opened first.", Listed[alerts.Alert], _alerts,
        (_STATE, _OF_HOST, *_PAGED),
    ),
    Resource("/alerts/{id}", "One alert, and what became of it.", alerts.AlertStory, _alert),
    Resource(
        "/silences", "What nobody is told of.", Listed[alerts.Silence], _silences,
        (_ACTIVE, *_PAGED),
    ),
    Resource("/status", "What the watch does not know.", freshness.Freshness, _status),
)  # fmt: skip
