"""certpin's gauges, with samples that are read from the store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from certpin_watch._version import __version__
from certpin_watch.metrics import declared
from certpin_watch.metrics.declared import gauge
from certpin_watch.store.identities import DAY
from certpin_watch.store.queries import adoption, alerts, freshness, hosts, sightings, to_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.metrics_core import Metric
    from sqlalchemy import Connection

    from certpin_watch.settings import Thresholds
    from certpin_watch.snapshot import Snapshot
    from certpin_watch.store.queries.hosts import Host
    from certpin_watch.store.queries.sightings import Vantage

MAX_HOSTS = 2000  # each has a dozen samples in every scrape


@dataclass(frozen=True)
class View:
    """The data with which all gauges of one scrape of ``/metrics`` are computed.

    Attributes:
        connection: a read transaction.
        snapshot: the monitored pin sets.
        now: the time of the scrape.
        thresholds: the settings that decide which probe results are old, and which expiry dates are
            near.
        hosts: the state of each monitored host.
    """

    connection: Connection
    snapshot: Snapshot
    now: datetime
    thresholds: Thresholds
    hosts: Sequence[Host]


def gauges(view: View) -> Iterator[Metric]:
    """Yield every gauge of certpin, with its samples. ``view`` has the data of one scrape."""
    build = gauge(declared.BUILD)
    build.add_metric([__version__], 1)
    yield build
    yield from _location_gauges(view)
    yield from _host_gauges(view)
    yield from _pin_set_gauges(view)
    yield from _service_gauges(view)


def _location_gauges(view: View) -> Iterator[Metric]:
    match = gauge(declared.PIN_MATCH)
    refusing = gauge(declared.VERSIONS_REFUSING)
    ends = gauge(declared.CERTIFICATE_EXPIRY)
    last = gauge(declared.LAST_PROBE)
    success = gauge(declared.LAST_SUCCESS)
    verified = _last_verified(view)
    for host in view.hosts:
        for seen in host.vantages:
            key = _location(host, seen)
            labels = [str(value) for value in key]
            match.add_metric(labels, seen.answer in {"match", "too-few-scts"})
            refusing.add_metric(labels, len(seen.refused_by))
            last.add_metric(labels, seen.last_at.timestamp())
            if seen.not_after:
                ends.add_metric(labels, seen.not_after.timestamp())
            if (at := verified.get(key)) is not None:
                success.add_metric(labels, at)
    yield from (match, refusing, ends, last, success)


def _location(host: Host, seen: Vantage) -> tuple[str, int, str, str, str]:
    return host.name, seen.port, seen.vantage, seen.way, seen.edge


def _last_verified(view: View) -> dict[tuple[str, int, str, str, str], int]:
    """Return when each location last verified the chain of each probed server, in Unix seconds.

    If the chain of the latest probe was verified, the time is that of this probe. Otherwise, the
    time is that of an older probe result, which is read from the store. ``view`` has the data of
    one scrape.

    Returns:
        A mapping. Its keys consist of host, port, location, way to connect, and address (empty
        unless each address of the host is probed separately). A server is missing if no stored
        probe verified its chain.
    """
    pairs = [(host, seen) for host in view.hosts for seen in host.vantages]
    failing = {host.name for host, seen in pairs if seen.outcome != "verified"}
    latest = {
        _location(host, seen): to_seconds(seen.last_at)
        for host, seen in pairs
        if seen.outcome == "verified"
    }
    return sightings.last_verified(view.connection, failing) | latest


def _host_gauges(view: View) -> Iterator[Metric]:
    statuses = gauge(declared.HOSTS)
    for status, number in hosts.count_by_status(view.hosts).items():
        statuses.add_metric([status], number)
    ends = gauge(declared.HOST_EXPIRY)
    for host in view.hosts:
        for policy in host.policies:
            if policy.expires:
                ends.add_metric([policy.pin_set, host.name], policy.expires.timestamp())
    yield from (statuses, ends)


def _pin_set_gauges(view: View) -> Iterator[Metric]:
    version = gauge(declared.SET_VERSION)
    ends = gauge(declared.SET_EXPIRY)
    alive = gauge(declared.VERSIONS_ALIVE)
    present = gauge(declared.PRESENCES)
    yesterday = to_seconds(view.now - timedelta(days=1)) // DAY
    for monitored in view.snapshot.sets:
        name, living = monitored.pins.name, monitored.alive(view.now)
        version.add_metric([name], monitored.pins.version)
        alive.add_metric([name], len(living))
        expiries = [policy.expires for policy in monitored.pins.policies if policy.expires]
        if expiries:
            ends.add_metric([name], min(expiries).timestamp())
        known = {old.number for old in living} | {monitored.pins.version}
        usage = adoption.reported_usage(view.connection, name, view.now, known, days=2)
        recent = [row for row in usage if to_seconds(row.day) // DAY == yesterday]
        for number in sorted(known):
            clients = sum(row.clients for row in recent if row.version == number)
            present.add_metric([name, str(number)], clients)
    yield from (version, ends, alive, present)


def _service_gauges(view: View) -> Iterator[Metric]:
    open_alerts = gauge(declared.ALERTS_OPEN)
    for (rule, severity), number in sorted(alerts.open_counts(view.connection).items()):
        open_alerts.add_metric([rule, severity], number)
    known = freshness.freshness(view.connection, view.snapshot, view.now, view.thresholds)
    heard = gauge(declared.LAST_OF_LOCATION)
    for location in known.vantages:
        # A location without a sample could never be found by an alert of Prometheus.
        at = location.last_at.timestamp() if location.last_at else 0
        heard.add_metric([location.vantage], at)
    files = gauge(declared.UNREADABLE)
    files.add_metric([], len(known.problems))
    unseen = gauge(declared.UNSEEN_HOSTS)
    unseen.add_metric([], known.unseen_count)
    report = gauge(declared.LAST_REPORT)
    if known.last_report:
        report.add_metric([], known.last_report.timestamp())
    yield from (open_alerts, heard, worker_contacts(known), files, unseen, report)
    yield from _capacity_gauges(known)
    yield from _retention_gauges(known)


def worker_contacts(known: freshness.Freshness) -> Metric:
    """Return a gauge with the time of the last request with each worker token.

    The labels are the name and ID of the token, and the location in the token. They come from the
    store, so a worker can't choose them. A token that was never used has no sample. ``known`` has
    the tokens.
    """
    contact = gauge(declared.WORKER_CONTACT)
    for worker in known.workers:
        if worker.last_at:
            labels = [worker.name, worker.token, worker.vantage]
            contact.add_metric(labels, worker.last_at.timestamp())
    return contact


def _capacity_gauges(known: freshness.Freshness) -> Iterator[Metric]:
    waiting = gauge(declared.QUEUE_MESSAGES)
    counted = gauge(declared.QUEUE_COUNTED)
    if known.queue:
        waiting.add_metric([], known.queue.messages)
        counted.add_metric([], known.queue.since.timestamp())
    used = gauge(declared.ROOM_USED)
    limit = gauge(declared.ROOM_MOST)
    for part in known.room:
        used.add_metric([part.name], part.used)
        limit.add_metric([part.name], part.most)
    yield from (waiting, counted, used, limit)


def _retention_gauges(known: freshness.Freshness) -> Iterator[Metric]:
    done = gauge(declared.RETENTION_DONE)
    failing = gauge(declared.RETENTION_FAILING)
    for sweep in known.sweeps:
        failing.add_metric([sweep.kind], bool(sweep.reason))
        if sweep.done_at:
            done.add_metric([sweep.kind], sweep.done_at.timestamp())
    recognised = gauge(declared.REPEAT_WINDOW)
    expected = gauge(declared.REPEAT_EXPECTED)
    wanted = gauge(declared.REPEAT_WANTED)
    if known.window:
        recognised.add_metric([], known.window.days * DAY)
        expected.add_metric([], known.window.expected_days * DAY)
        wanted.add_metric([], known.window.client_days * DAY)
    yield from (done, failing, recognised, expected, wanted)
