"""Every resource of the API that can be read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args

import msgspec

from certpin.errors import HostError
from certpin.pins import normalise
from certpin_watch.api import protocol
from certpin_watch.api.protocol import CURSOR, LIMIT, SINCE, UNTIL, Parameter, RefusedError
from certpin_watch.store.queries import (
    adoption,
    alerts,
    chains,
    failures,
    freshness,
    hosts,
    report_counts,
    reports,
    sightings,
)
from certpin_watch.store.queries.chain_check import ChainJudge

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy import Connection

    from certpin_watch.context import Watch
    from certpin_watch.settings import Thresholds
    from certpin_watch.snapshot import WatchedSet
    from certpin_watch.store.queries.base import Page


Item = TypeVar("Item")

PAGED = (CURSOR, LIMIT)


class Listed(msgspec.Struct, Generic[Item], frozen=True):
    """A part of a list. ``next`` is the `cursor` of what follows; none where it ends."""

    items: list[Item]
    next: str | None = None


@dataclass(frozen=True)
class Ask:
    """What a resource is made from."""

    watch: Watch
    connection: Connection
    now: datetime
    path: dict[str, str]
    query: dict[str, Any]

    @property
    def limits(self) -> Thresholds:
        """From when on something is old, or near."""
        return self.watch.settings.thresholds

    @property
    def within(self) -> report_counts.Range:
        """The range of time that is asked for."""
        return report_counts.Range(*protocol.within(self.query, self.now))


@dataclass(frozen=True)
class Resource:
    """One address. ``answers`` is the type of what it returns; ``path`` as starlette has it."""

    path: str
    about: str
    answers: Any
    find: Callable[[Ask], Any]
    parameters: tuple[Parameter, ...] = ()
    lasts: bool = False


def listed(page: Page[Any]) -> Listed[Any]:
    """A page of facts as a resource answers it."""
    return Listed(list(page.items), protocol.cursor_of(page.next))


def there(found: Item | None) -> Item:
    """What was found. Raises ``RefusedError`` where nothing was."""
    if found is None:
        raise RefusedError(404, "There is no such thing", "The watch knows nothing of this name.")
    return found


def name_of(ask: Ask) -> str:
    """The host in the path. Raises ``RefusedError``."""
    try:
        return normalise(ask.path["name"])
    except HostError as exc:
        raise RefusedError(
            404, "There is no such thing", "This is not the name of a host."
        ) from exc


def _hosts(ask: Ask) -> Listed[hosts.Host]:
    after = protocol.key_of(ask.query["cursor"], str) or ("",)
    return listed(
        hosts.hosts(
            ask.connection,
            ask.watch.watched.snapshot(),
            ask.now,
            after=after[0],
            limit=ask.query["limit"],
            limits=ask.limits,
        )
    )


def _host(ask: Ask) -> hosts.Host:
    snapshot = ask.watch.watched.snapshot()
    return there(hosts.host(ask.connection, snapshot, ask.now, name_of(ask), ask.limits))


def _sightings(ask: Ask) -> Listed[sightings.Sighting]:
    before = protocol.key_of(ask.query["cursor"], int, int)
    name, limit = _covered(ask), ask.query["limit"]
    return listed(sightings.history(ask.connection, name, before=before, limit=limit))


def _changes(ask: Ask) -> list[sightings.Change]:
    return list(sightings.changes(ask.connection, _covered(ask), limit=ask.query["limit"]))


def _covered(ask: Ask) -> str:
    """The name of a watched host: what was seen of others is nobody's business."""
    name = name_of(ask)
    there(hosts.policies_of(ask.watch.watched.snapshot(), name) or None)
    return name


HOSTS_RESOURCES: tuple[Resource, ...] = (
    Resource("/hosts", "Every watched host, by name.", Listed[hosts.Host], _hosts, PAGED),
    Resource("/hosts/{name}", "One host.", hosts.Host, _host),
    Resource(
        "/hosts/{name}/sightings",
        "What probes saw of a host, the last first.",
        Listed[sightings.Sighting],
        _sightings,
        PAGED,
    ),
    Resource(
        "/hosts/{name}/changes",
        "What changed at a host, the last first.",
        list[sightings.Change],
        _changes,
        (LIMIT,),
    ),
)


_OF_REPORTS = (
    protocol.text("host", "Reports of this host alone."),
    protocol.text("pin_set", "Reports of this pin set alone."),
    protocol.number("version", "Reports of this version alone; 0: it has none.", None, 0),
    protocol.text("app", "Reports of this app alone."),
    protocol.text("app_version", "Reports of this version of the app alone."),
    protocol.text("platform", "Reports of this platform alone."),
    protocol.text("network", "Reports of this network alone."),
    protocol.text("kind", "Reports of this format alone."),
    protocol.text("reason", "Reports with this reason alone."),
    protocol.text("decision", "Reports with this decision alone."),
    protocol.digest("served", "Reports that met this chain alone."),
)


def _only(ask: Ask) -> report_counts.ReportFilter:
    return report_counts.ReportFilter(**{each.name: ask.query[each.name] for each in _OF_REPORTS})


def _series(ask: Ask) -> failures.Series:
    by, bucket, lines = (ask.query[name] for name in ("by", "bucket", "lines"))
    return failures.series(
        ask.connection, ask.within, by=by, bucket=bucket, only=_only(ask), lines=lines
    )


def _total(ask: Ask) -> failures.Total:
    return failures.total(ask.connection, ask.within, _only(ask))


def _groups(ask: Ask) -> Listed[reports.Group]:
    before = protocol.key_of(ask.query["cursor"], int, int)
    return listed(
        reports.groups(
            ask.connection, ask.within, only=_only(ask), before=before, limit=ask.query["limit"]
        )
    )


def _samples(ask: Ask) -> Listed[reports.Sample]:
    before = protocol.key_of(ask.query["cursor"], int, int)
    return listed(
        reports.samples(
            ask.connection, ask.within, only=_only(ask), before=before, limit=ask.query["limit"]
        )
    )


def _top_chains(ask: Ask) -> list[failures.ChainCount]:
    limit = ask.query["limit"]
    found = failures.top_chains(ask.connection, ask.within, only=_only(ask), limit=limit)
    judge = ChainJudge(ask.watch.watched.snapshot().sets, ask.now)
    return list(failures.with_verdicts(ask.connection, judge, found))


def _chain(ask: Ask) -> chains.KeptChain:
    return there(chains.describe_chain(ask.connection, _digest(ask)))


def chain_pem(ask: Ask) -> bytes:
    """The certificates of a chain as PEM, leaf first."""
    import ssl

    ders = there(chains.load_der(ask.connection, _digest(ask)))
    return "".join(ssl.DER_cert_to_PEM_cert(each) for each in ders).encode()


def _digest(ask: Ask) -> bytes:
    try:
        return bytes.fromhex(protocol.read_digest(ask.path["digest"]))
    except ValueError as exc:
        raise RefusedError(
            404, "There is no such thing", "This is not the digest of a chain."
        ) from exc


_RANGE = (SINCE, UNTIL)
_BY = protocol.choice("by", "What the lines are.", get_args(report_counts.By), "host")
_BUCKET = protocol.choice("bucket", "How long a bucket is.", get_args(report_counts.Bucket), "hour")
_LINES = protocol.number("lines", "How many lines; all others are one.", 8, 1, failures.MAX_LINES)
_RANGED = (*_RANGE, *_OF_REPORTS)
_FEW = f"How many entries at most, up to {reports.MAX_SAMPLES}: each may be long."
_FEW_OF_THEM = protocol.number("limit", _FEW, 20, 1, reports.MAX_SAMPLES)

FAILURES_RESOURCES: tuple[Resource, ...] = (
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
        Listed[reports.Group],
        _groups,
        (*PAGED, *_RANGED),
    ),
    Resource(
        "/failures/samples",
        "A few reports as strangers sent them, without what names a device; the last first.",
        Listed[reports.Sample],
        _samples,
        (CURSOR, _FEW_OF_THEM, *_RANGED),
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
)


class PinSetFacts(msgspec.Struct, frozen=True):
    """A watched pin set. ``alive`` are the versions that clients may hold."""

    name: str
    version: int
    hosts: int
    published: int | None
    alive: tuple[int, ...]
    adopt_seconds: int


def _pin_sets(ask: Ask) -> list[PinSetFacts]:
    return [_pin_set(each, ask.now) for each in ask.watch.watched.snapshot().sets]


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
    sets = ask.watch.watched.snapshot().sets
    found = there(next((each for each in sets if each.pins.name == ask.path["name"]), None))
    return adoption.adoption(ask.connection, found, ask.now, days=ask.query["days"])


_DAYS = protocol.number("days", "How many days back.", 90, 1, adoption.MAX_DAYS)

PIN_SETS_RESOURCES: tuple[Resource, ...] = (
    Resource("/pin-sets", "The watched pin sets.", list[PinSetFacts], _pin_sets),
    Resource(
        "/pin-sets/{name}/adoption",
        "Which version clients say that they hold. Claims, not facts.",
        adoption.Adoption,
        _adoption,
        (_DAYS,),
    ),
)


def _alerts(ask: Ask) -> Listed[alerts.Alert]:
    which, host, limit = (ask.query[name] for name in ("state", "host", "limit"))
    before = protocol.key_of(ask.query["cursor"], int)
    settings = ask.watch.settings.alerts
    return listed(
        alerts.alerts(
            ask.connection, settings.hold, which=which, host=host, before=before, limit=limit
        )
    )


def _alert(ask: Ask) -> alerts.AlertStory:
    number = protocol.number_of(ask.path["id"])
    return there(
        None
        if number is None
        else alerts.alert(ask.connection, ask.watch.settings.alerts.hold, number)
    )


def _silences(ask: Ask) -> Listed[alerts.Silence]:
    before = protocol.key_of(ask.query["cursor"], int)
    active, limit = ask.query["state"] == "active", ask.query["limit"]
    settings = ask.watch.settings.alerts
    return listed(
        alerts.silences(
            ask.connection, ask.now, settings.silence, active=active, before=before, limit=limit
        )
    )


def _status(ask: Ask) -> freshness.Freshness:
    snapshot, trouble = ask.watch.watched.snapshot(), ask.watch.store.health
    return freshness.freshness(ask.connection, snapshot, ask.now, ask.limits, trouble.reason)


_STATE = protocol.choice("state", "Which alerts.", get_args(alerts.Which), "open")
_ACTIVE = protocol.choice("state", "Which silences.", ("active", "all"), "active")
_OF_HOST = protocol.text("host", "Alerts of this host alone.")

ALERTS_RESOURCES: tuple[Resource, ...] = (
    Resource(
        "/alerts", "Alerts, the last opened first.", Listed[alerts.Alert], _alerts,
        (_STATE, _OF_HOST, *PAGED),
    ),
    Resource("/alerts/{id}", "One alert, and what became of it.", alerts.AlertStory, _alert),
    Resource(
        "/silences", "What nobody is told of.", Listed[alerts.Silence], _silences,
        (_ACTIVE, *PAGED),
    ),
    Resource("/status", "What the watch does not know.", freshness.Freshness, _status),
)  # fmt: skip


RESOURCES: tuple[Resource, ...] = (
    *HOSTS_RESOURCES,
    *FAILURES_RESOURCES,
    *PIN_SETS_RESOURCES,
    *ALERTS_RESOURCES,
)
