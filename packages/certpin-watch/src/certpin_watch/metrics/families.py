"""certpin's own metrics, from facts. Label values are names of the pin files and of the settings.

What reports say becomes no label: not a host that nobody watches, not an app, not a version that
no journal knows. A stranger could otherwise fill Prometheus with whatever he likes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily
from sqlalchemy import func, select

from certpin_watch._version import __version__
from certpin_watch.store.queries import adoption, alerts, freshness, hosts
from certpin_watch.store.queries.base import DAY, to_seconds
from certpin_watch.store.tables.probes import SIGHTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.metrics_core import Metric
    from sqlalchemy import Connection

    from certpin_watch.snapshot import Snapshot
    from certpin_watch.store.queries.base import Thresholds
    from certpin_watch.store.queries.hosts import Host

MAX_HOSTS = 2000  # each is a dozen lines at every scrape

PLACE = ("host", "port", "vantage", "way", "edge")


@dataclass(frozen=True)
class View:
    """One moment of everything that is exported."""

    connection: Connection
    snapshot: Snapshot
    now: datetime
    limits: Thresholds
    hosts: Sequence[Host]


def families(view: View) -> Iterator[Metric]:
    """Every metric of certpin's own that is a state, and no counter."""
    yield _build()
    yield from _of_vantages(view)
    yield from _of_hosts(view)
    yield from _of_sets(view)
    yield from _of_watch(view)


def _build() -> Metric:
    found = GaugeMetricFamily("certpin_build_info", "The version that runs.", labels=["version"])
    found.add_metric([__version__], 1)
    return found


def place(host: Host, number: int) -> list[str]:
    """The labels of a vantage of a host."""
    seen = host.vantages[number]
    return [host.name, str(seen.port), seen.vantage, seen.way, seen.edge]


def _of_vantages(view: View) -> Iterator[Metric]:
    match = _gauge("certpin_pin_match", "Whether the verified path has a pin of the file.", PLACE)
    refusing = _gauge(
        "certpin_pin_versions_refusing", "Versions alive that refuse what is served.", PLACE
    )
    ends = _gauge(
        "certpin_certificate_expiry_timestamp_seconds",
        "The earliest end on the path that is served.",
        PLACE,
    )
    last = _gauge("certpin_probe_last_timestamp_seconds", "When a probe last ended.", PLACE)
    success = _gauge(
        "certpin_probe_last_success_timestamp_seconds", "When a probe last verified a path.", PLACE
    )
    verified = _last_verified(view)
    for host in view.hosts:
        for number, seen in enumerate(host.vantages):
            labels = place(host, number)
            match.add_metric(labels, seen.answer == "match")
            refusing.add_metric(labels, len(seen.refused_by))
            last.add_metric(labels, seen.last_at.timestamp())
            if seen.not_after:
                ends.add_metric(labels, seen.not_after.timestamp())
            if (at := verified.get(tuple(labels))) is not None:
                success.add_metric(labels, at)
    yield from (match, refusing, ends, last, success)


def _last_verified(view: View) -> dict[tuple[str, ...], int]:
    """From the latest sightings; only where one did not verify, from those before it, too."""
    found: dict[tuple[str, ...], int] = {}
    failing = set()
    for host in view.hosts:
        for number, seen in enumerate(host.vantages):
            if seen.outcome == "verified":
                found[tuple(place(host, number))] = to_seconds(seen.last_at)
            else:
                failing.add(host.name)
    columns = SIGHTINGS.c
    by = (columns.host, columns.port, columns.vantage, columns.way, columns.edge)
    statement = (
        select(*by, func.max(columns.last_at))
        .group_by(*by)
        .where(columns.host.in_(sorted(failing)), columns.outcome == "verified")
    )
    for *labels, at in view.connection.execute(statement) if failing else ():
        found.setdefault(tuple(map(str, labels)), at)
    return found


def _of_hosts(view: View) -> Iterator[Metric]:
    standing = _gauge("certpin_hosts", "Watched hosts, by how they stand.", ["status"])
    for status, number in hosts.count_by_status(view.hosts).items():
        standing.add_metric([status], number)
    ends = _gauge(
        "certpin_pin_expiry_timestamp_seconds",
        "When the pins of a host end; no sample where they do not.",
        ["pin_set", "host"],
    )
    for host in view.hosts:
        for policy in host.policies:
            if policy.expires:
                ends.add_metric([policy.pin_set, host.name], policy.expires.timestamp())
    yield from (standing, ends)


def _of_sets(view: View) -> Iterator[Metric]:
    version = _gauge("certpin_pin_set_version", "The version of the pin file.", ["pin_set"])
    ends = _gauge(
        "certpin_pin_set_expiry_timestamp_seconds",
        "When the first pins of a set end; no sample where none do.",
        ["pin_set"],
    )
    alive = _gauge("certpin_pin_set_versions_alive", "Versions that clients may hold.", ["pin_set"])
    present = _gauge(
        "certpin_presences",
        "Clients that told on the last whole day that they hold a version. Claims.",
        ["pin_set", "version"],
    )
    yesterday = view.now - timedelta(days=1)
    for watched in view.snapshot.sets:
        name, living = watched.pins.name, watched.alive(view.now)
        version.add_metric([name], watched.pins.version)
        alive.add_metric([name], len(living))
        end = min((each.expires for each in watched.pins.policies if each.expires), default=None)
        if end:
            ends.add_metric([name], end.timestamp())
        known = {each.number for each in living} | {watched.pins.version}
        told = adoption.reported_usage(view.connection, name, view.now, known, days=2)
        for number in sorted(known):
            count = sum(
                each.clients
                for each in told
                if each.version == number
                and to_seconds(each.day) // DAY == to_seconds(yesterday) // DAY
            )
            present.add_metric([name, str(number)], count)
    yield from (version, ends, alive, present)


def _of_watch(view: View) -> Iterator[Metric]:
    wrong = _gauge("certpin_alerts_open", "Alerts that are open.", ["rule", "severity"])
    for (rule, severity), number in sorted(alerts.open_counts(view.connection).items()):
        wrong.add_metric([rule, severity], number)
    known = freshness.freshness(view.connection, view.snapshot, view.now, view.limits)
    heard = _gauge(
        "certpin_vantage_last_timestamp_seconds", "When a vantage last answered.", ["vantage"]
    )
    for vantage in known.vantages:
        if vantage.last_at:
            heard.add_metric([vantage.vantage], vantage.last_at.timestamp())
    files = _gauge("certpin_pin_files_unreadable", "Pin files and journals that cannot be read.")
    files.add_metric([], len(known.problems))
    unseen = _gauge("certpin_hosts_unseen", "Watched hosts that no vantage ever looked at.")
    unseen.add_metric([], known.unseen_count)
    report = _gauge("certpin_report_last_timestamp_seconds", "When a report was last stored.")
    if known.last_report:
        report.add_metric([], known.last_report.timestamp())
    waiting = _gauge("certpin_report_queue_messages", "Messages of reports not counted yet.")
    since = _gauge(
        "certpin_report_queue_counted_timestamp_seconds",
        "Until when reports are known to be counted, where a queue is in front of the store.",
    )
    if known.queue:
        waiting.add_metric([], known.queue.messages)
        since.add_metric([], known.queue.since.timestamp())
    used = _gauge("certpin_room_used", "What is used of a bound of what reports bring.", ["what"])
    most = _gauge("certpin_room_most", "How much there is of it.", ["what"])
    for part in known.room:
        used.add_metric([part.name], part.used)
        most.add_metric([part.name], part.most)
    yield from (wrong, heard, _contacts(known), files, unseen, report, waiting, since, used, most)
    yield from _of_retention(known)


def _contacts(known: freshness.Freshness) -> Metric:
    """The names of tokens are the operator's: no worker chooses one."""
    contact = _gauge(
        "certpin_worker_last_contact_timestamp_seconds",
        "When a worker with this token last asked for jobs or posted results, to a minute.",
        ["worker", "token", "vantage"],
    )
    for each in known.workers:
        if each.last_at:
            contact.add_metric([each.name, each.token, each.vantage], each.last_at.timestamp())
    return contact


def _of_retention(known: freshness.Freshness) -> Iterator[Metric]:
    done = _gauge(
        "certpin_retention_last_timestamp_seconds",
        "When everything past its time was last deleted.",
        ["kind"],
    )
    failing = _gauge(
        "certpin_retention_failing", "Whether the last attempt to delete failed.", ["kind"]
    )
    for sweep in known.sweeps:
        failing.add_metric([sweep.kind], bool(sweep.reason))
        if sweep.done_at:
            done.add_metric([sweep.kind], sweep.done_at.timestamp())
    recognised = _gauge(
        "certpin_repeat_window_seconds", "For how long a repeated report is recognised."
    )
    expected = _gauge(
        "certpin_repeat_window_expected_seconds", "The same, at the rate of the last day."
    )
    wanted = _gauge(
        "certpin_repeat_window_wanted_seconds", "For how long clients send a report again."
    )
    if known.window:
        recognised.add_metric([], known.window.days * DAY)
        expected.add_metric([], known.window.expected_days * DAY)
        wanted.add_metric([], known.window.client_days * DAY)
    yield from (done, failing, recognised, expected, wanted)


def _gauge(name: str, about: str, labels: Sequence[str] = ()) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, labels=list(labels))
