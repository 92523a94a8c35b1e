"""The resources of the API that can be read, and the actions on alerts."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args

import msgspec

from certpin.errors import HostError
from certpin.pins import normalise
from certpin_watch.api import protocol
from certpin_watch.api.protocol import CURSOR, LIMIT, SINCE, UNTIL, Parameter, not_found
from certpin_watch.chain_check import ChainJudge
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

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy import Connection

    from certpin_watch.context import Watch
    from certpin_watch.settings import Thresholds
    from certpin_watch.snapshot import MonitoredPinSet, Snapshot
    from certpin_watch.store.queries import Page

Item = TypeVar("Item")


class Listed(msgspec.Struct, Generic[Item], frozen=True):
    """One page of a list of items.

    ``next`` is the value of the parameter `cursor` for the next page; null on the last page.
    """

    items: list[Item]
    next: str | None = None


@dataclass(frozen=True)
class ResourceRequest:
    """A request for a resource of the API.

    Attributes:
        watch: the settings, the store and the pin files.
        connection: a read transaction.
        now: the current time.
        path: the parameters in the path.
        query: the query parameters, by name.
    """

    watch: Watch
    connection: Connection
    now: datetime
    path: dict[str, str]
    query: dict[str, Any]

    @property
    def snapshot(self) -> Snapshot:
        """The monitored pin sets: the current content of each pin file, or the last valid one."""
        return self.watch.pin_files.snapshot()

    @property
    def thresholds(self) -> Thresholds:
        """The settings that define which certificates expire soon and which results are old."""
        return self.watch.settings.thresholds

    @property
    def within(self) -> report_counts.Range:
        """The time range that the query parameters ``since`` and ``until`` select."""
        return report_counts.Range(*protocol.read_range(self.query, self.now))

    @property
    def only(self) -> report_counts.ReportFilter:
        """The filter for reports in the query parameters, such as ``host`` and ``reason``."""
        values = {parameter.name: self.query[parameter.name] for parameter in _REPORT_FILTERS}
        return report_counts.ReportFilter(**values)


@dataclass(frozen=True)
class Resource:
    """A resource of the API that is read with GET.

    Attributes:
        path: the path below ``/api/v1``, with parameters in braces.
        about: a description for OpenAPI.
        returns: the Python type of the content that a response has.
        find: a function that reads the content from the store. If the object does not exist, it
            raises a ``RefusedError``.
        parameters: the accepted query parameters.
        immutable: True if the content never changes.
    """

    path: str
    about: str
    returns: Any
    find: Callable[[ResourceRequest], Any]
    parameters: tuple[Parameter, ...] = ()
    immutable: bool = False


def require_found(found: Item | None) -> Item:
    """Return ``found`` unchanged if it is not None.

    Raises:
        RefusedError: ``found`` is None, because the requested object does not exist (status 404).
    """
    if found is None:
        raise not_found("The monitoring service has no data with this name.")
    return found


def _listed(page: Page[Any]) -> Listed[Any]:
    return Listed(list(page.items), protocol.cursor_of(page.next))


def _host_name(request: ResourceRequest) -> str:
    """Return the normalised host name in the URL path of a request.

    Raises:
        RefusedError: the path has no valid host name.
    """
    try:
        return normalise(request.path["name"])
    except HostError as exc:
        raise not_found("This is not the name of a host.") from exc


def _monitored_host(request: ResourceRequest) -> str:
    """Return the host name in the URL path of a request, if the host is monitored.

    Otherwise the request is refused, even if probe results of the host are still stored.

    Raises:
        RefusedError: the host is not monitored, or the name is invalid (status 404).
    """
    name = _host_name(request)
    require_found(request.snapshot.policies_of(name) or None)
    return name


def _hosts(request: ResourceRequest) -> Listed[hosts.Host]:
    after = protocol.key_of(request.query["cursor"], str) or ("",)
    return _listed(
        hosts.hosts(
            request.connection,
            request.snapshot,
            request.now,
            after=after[0],
            limit=request.query["limit"],
            thresholds=request.thresholds,
        )
    )


def _host(request: ResourceRequest) -> hosts.Host:
    name = _host_name(request)
    return require_found(
        hosts.host(request.connection, request.snapshot, request.now, name, request.thresholds)
    )


def _sightings(request: ResourceRequest) -> Listed[sightings.Sighting]:
    before = protocol.key_of(request.query["cursor"], int, int)
    name, limit = _monitored_host(request), request.query["limit"]
    return _listed(sightings.history(request.connection, name, before=before, limit=limit))


def _changes(request: ResourceRequest) -> list[sightings.Change]:
    name, limit = _monitored_host(request), request.query["limit"]
    return list(sightings.changes(request.connection, name, limit=limit))


def _series(request: ResourceRequest) -> failures.Series:
    by, bucket, lines = (request.query[name] for name in ("by", "bucket", "lines"))
    count, most = failures.count_buckets(request.within, bucket), failures.MAX_POINTS
    if count > most:
        fix = "use bucket=day, or a shorter range" if bucket == "hour" else "use a shorter range"
        detail = f"The range has {count} buckets, and a series has at most {most}: {fix}."
        raise protocol.RefusedError(400, "Range too long", detail)
    return failures.series(
        request.connection, request.within, by=by, bucket=bucket, only=request.only, lines=lines
    )


def _total(request: ResourceRequest) -> failures.Total:
    return failures.total(request.connection, request.within, request.only)


def _groups(request: ResourceRequest) -> Listed[reports.Group]:
    before = protocol.key_of(request.query["cursor"], int, int)
    limit = request.query["limit"]
    return _listed(
        reports.groups(
            request.connection, request.within, only=request.only, before=before, limit=limit
        )
    )


def _samples(request: ResourceRequest) -> Listed[reports.Sample]:
    before = protocol.key_of(request.query["cursor"], int, int)
    limit = request.query["limit"]
    return _listed(
        reports.samples(
            request.connection, request.within, only=request.only, before=before, limit=limit
        )
    )


def _top_chains(request: ResourceRequest) -> list[failures.ChainCount]:
    limit = request.query["limit"]
    counts = failures.top_chains(request.connection, request.within, only=request.only, limit=limit)
    judge = ChainJudge(request.snapshot.sets, request.now)
    return list(failures.with_verdicts(request.connection, judge, counts))


def _chain(request: ResourceRequest) -> chains.KeptChain:
    return require_found(chains.describe_chain(request.connection, _chain_digest(request)))


def chain_pem(request: ResourceRequest) -> bytes:
    """Return a stored chain as PEM, leaf first. The URL path of the request has its digest.

    Raises:
        RefusedError: the digest is invalid, or the chain is not stored (status 404).
    """
    ders = require_found(chains.load_der(request.connection, _chain_digest(request)))
    return "".join(ssl.DER_cert_to_PEM_cert(der) for der in ders).encode()


def _chain_digest(request: ResourceRequest) -> bytes:
    try:
        return bytes.fromhex(protocol.read_digest(request.path["digest"]))
    except ValueError as exc:
        raise not_found("This is not the digest of a chain.") from exc


class PinSetFacts(msgspec.Struct, frozen=True):
    """A monitored pin set.

    Attributes:
        name: its name.
        version: the version in the pin file.
        hosts: the number of host patterns.
        published: the latest published version; null if there is none.
        alive: the numbers of the versions that clients may still hold.
        adopt_seconds: the seconds after its release until all clients hold a new version.
    """

    name: str
    version: int
    hosts: int
    published: int | None
    alive: tuple[int, ...]
    adopt_seconds: int


def _pin_sets(request: ResourceRequest) -> list[PinSetFacts]:
    return [_pin_set(monitored, request.now) for monitored in request.snapshot.sets]


def _pin_set(monitored: MonitoredPinSet, now: datetime) -> PinSetFacts:
    latest, adopt = monitored.deployed.latest, monitored.timing.adopt
    return PinSetFacts(
        monitored.pins.name,
        monitored.pins.version,
        len(monitored.pins.policies),
        latest.number if latest else None,
        tuple(version.number for version in monitored.alive(now)),
        int(adopt / timedelta(seconds=1)),
    )


def _adoption(request: ResourceRequest) -> adoption.Adoption:
    name, days = request.path["name"], request.query["days"]
    named = (monitored for monitored in request.snapshot.sets if monitored.pins.name == name)
    monitored = require_found(next(named, None))
    return adoption.adoption(request.connection, monitored, request.now, days=days)


def _alerts(request: ResourceRequest) -> Listed[alerts.Alert]:
    state, host, limit = (request.query[name] for name in ("state", "host", "limit"))
    before = protocol.key_of(request.query["cursor"], int)
    hold = request.watch.settings.alerts.hold
    return _listed(
        alerts.alerts(request.connection, hold, which=state, host=host, before=before, limit=limit)
    )


def _alert(request: ResourceRequest) -> alerts.AlertStory:
    number = require_found(protocol.row_number(request.path["id"]))
    return require_found(
        alerts.alert(request.connection, request.watch.settings.alerts.hold, number)
    )


def _silences(request: ResourceRequest) -> Listed[alerts.Silence]:
    before = protocol.key_of(request.query["cursor"], int)
    active, limit = request.query["state"] == "active", request.query["limit"]
    longest = request.watch.settings.alerts.silence
    return _listed(
        alerts.silences(
            request.connection,
            request.now,
            longest,
            active=active,
            before=before,
            limit=limit,
        )
    )


def _status(request: ResourceRequest) -> freshness.Freshness:
    reason = request.watch.store.health.reason
    return freshness.freshness(
        request.connection, request.snapshot, request.now, request.thresholds, reason
    )


_PAGED = (CURSOR, LIMIT)
_REPORT_FILTERS = (
    protocol.text("host", "Only reports of this host."),
    protocol.text("pin_set", "Only reports of this pin set."),
    protocol.number("version", "Only reports of this pin-set version; 0: without one.", None, 0),
    protocol.text("app", "Only reports of this app."),
    protocol.text("app_version", "Only reports of this version of the app."),
    protocol.text("platform", "Only reports of this platform."),
    protocol.text("network", "Only reports of this network."),
    protocol.text("kind", "Only reports in this format."),
    protocol.text("reason", "Only reports with this reason."),
    protocol.text("decision", "Only reports with this decision."),
    protocol.digest("served", "Only reports of this chain."),
)
_REPORTS = (SINCE, UNTIL, *_REPORT_FILTERS)
_BY = protocol.choice("by", "The dimension of the lines.", get_args(report_counts.By), "host")
_BUCKET = protocol.choice(
    "bucket", "The duration of a bucket.", get_args(report_counts.Bucket), "hour"
)
_LINES = protocol.number(
    "lines", "Maximum number of lines; all others form one.", 8, 1, failures.MAX_LINES
)
_SAMPLE_LIMIT = protocol.number(
    "limit",
    f"Maximum number of entries, up to {reports.MAX_SAMPLES}: each may be long.",
    20,
    1,
    reports.MAX_SAMPLES,
)
_DAYS = protocol.number("days", "Number of days until now.", 90, 1, adoption.MAX_DAYS)
_ALERT_STATE = protocol.choice("state", "Which alerts.", get_args(alerts.Which), "open")
_ALERT_HOST = protocol.text("host", "Only alerts of this host.")
_SILENCE_STATE = protocol.choice("state", "Which silences.", ("active", "all"), "active")

RESOURCES: tuple[Resource, ...] = (
    Resource(
        "/hosts",
        "Every monitored host, by name: policies, the results of each location, the status "
        "(broken, unknown, expiring, holds) and its reason.",
        Listed[hosts.Host],
        _hosts,
        _PAGED,
    ),
    Resource("/hosts/{name}", "One host.", hosts.Host, _host),
    Resource(
        "/hosts/{name}/sightings",
        "Probe results of a host, newest first.",
        Listed[sightings.Sighting],
        _sightings,
        _PAGED,
    ),
    Resource(
        "/hosts/{name}/changes",
        "Changes at a host (key, issuer, served, verified, outcome, …), newest first.",
        list[sightings.Change],
        _changes,
        (LIMIT,),
    ),
    Resource(
        "/failures/series",
        "Reports of clients over time. Claims, not facts.",
        failures.Series,
        _series,
        (_BY, _BUCKET, _LINES, *_REPORTS),
    ),
    Resource(
        "/failures/total",
        "The numbers of reports, hosts and chains.",
        failures.Total,
        _total,
        _REPORTS,
    ),
    Resource(
        "/failures/groups",
        "Groups of equal reports, by hour, newest first.",
        Listed[reports.Group],
        _groups,
        (*_PAGED, *_REPORTS),
    ),
    Resource(
        "/failures/samples",
        "Some reports as clients sent them (body, a string), without identifiers of devices; "
        "newest first.",
        Listed[reports.Sample],
        _samples,
        (CURSOR, _SAMPLE_LIMIT, *_REPORTS),
    ),
    Resource(
        "/failures/chains",
        "The most frequent chains in reports of clients, each with its verdict: accepted, refused, "
        "issued (refused, and an authority issued it for that host) or unknown.",
        list[failures.ChainCount],
        _top_chains,
        (LIMIT, *_REPORTS),
    ),
    Resource(
        "/chains/{digest}",
        "The certificates of a chain, from a server or from a report.",
        chains.KeptChain,
        _chain,
        immutable=True,
    ),
    Resource(
        "/pin-sets",
        "The monitored pin sets, and their live versions.",
        list[PinSetFacts],
        _pin_sets,
    ),
    Resource(
        "/pin-sets/{name}/adoption",
        "The versions that clients report, day by day. Claims, not facts.",
        adoption.Adoption,
        _adoption,
        (_DAYS,),
    ),
    Resource(
        "/alerts",
        "Alerts, the last opened first.",
        Listed[alerts.Alert],
        _alerts,
        (_ALERT_STATE, _ALERT_HOST, *_PAGED),
    ),
    Resource("/alerts/{id}", "One alert and its history.", alerts.AlertStory, _alert),
    Resource(
        "/silences",
        "Silences of alerts.",
        Listed[alerts.Silence],
        _silences,
        (_SILENCE_STATE, *_PAGED),
    ),
    Resource(
        "/status",
        "The age of the data, the information that the service lacks, and its health: queue, room, "
        "unwritable, weaknesses, held_until, sweeps, window, leases, workers.",
        freshness.Freshness,
        _status,
    ),
)

# Actions on alerts, by the last part of their path: description, and the action in the audit log.
ACTIONS = {
    "acknowledge": (
        "Acknowledge an open alert: it is not repeated unless it gets worse.",
        "alert.acknowledged",
    ),
    "unacknowledge": (
        "Undo an acknowledgement: the alert is repeated again.",
        "alert.unacknowledged",
    ),
}
