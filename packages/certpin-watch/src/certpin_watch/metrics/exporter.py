"""``/metrics``: the endpoint, its text for Prometheus and OpenMetrics, and counters of reports."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, get_args

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.responses import PlainTextResponse, Response

from certpin.errors import StoreError
from certpin.reports.model import Decision, Kind
from certpin_watch.counters import COUNTERS
from certpin_watch.metrics import declared
from certpin_watch.metrics.compatible import compatible_gauges
from certpin_watch.metrics.declared import counter
from certpin_watch.metrics.families import MAX_HOSTS, View, gauges
from certpin_watch.store.identities import HOUR
from certpin_watch.store.queries import hosts, to_seconds
from certpin_watch.store.queries.report_counts import counts_by_hour

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from prometheus_client.metrics_core import Metric
    from sqlalchemy import Connection
    from starlette.requests import Request

    from certpin_watch.context import Watch
    from certpin_watch.counters import Counters


_RECOUNTED = 3  # hours that are counted again at each scrape: a writer may be behind
_MAX_RECOUNTED = 48 * HOUR  # seconds: after a longer pause of scrapes, older hours are not counted
_OTHER = "other"

Key = tuple[str, str, str]  # host, kind, decision


def metrics_endpoint(watch: Watch) -> Callable[[Request], Response]:
    """Return the endpoint function of ``/metrics``. It answers one scrape at a time.

    If the store can't be read, the response has status 503. NOT checked: that the client is
    permitted to read metrics. The route checks that.
    """
    exporter, turn = MetricsExporter(watch), threading.Lock()

    def metrics(request: Request) -> Response:
        try:
            with turn:
                page, media_type = exporter.page(request.headers.get("accept", ""))
        except StoreError:
            return PlainTextResponse("the store is not available\n", 503)
        return Response(page, headers={"Content-Type": media_type, "Cache-Control": "no-store"})

    return metrics


class MetricsExporter:
    """Renders the content of ``/metrics``: metrics from the store, and counters of this process.

    Threads may share an instance.
    """

    def __init__(self, watch: Watch, counters: Counters = COUNTERS) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_StoreCollector(watch))
        self._registry.register(_RegistryCollector(counters.registry))

    def page(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics as text, and the media type of that text.

        ``accept`` is the header ``Accept`` of the request, which selects the format.

        Raises:
            StoreError: the store can't be read.
        """
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type


class _StoreCollector(Collector):
    """A Prometheus collector that reads the store, once for each scrape, in one transaction."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._reports = ReportCounters()
        with suppress(StoreError):  # the counters then begin at the first scrape
            self._begin()

    def _begin(self) -> None:
        snapshot = self._watch.pin_files.snapshot()
        with self._watch.store.read() as connection:
            names = hosts.names(connection, snapshot)[:MAX_HOSTS]
            self._reports.begin(connection, self._watch.clock(), names)

    def describe(self) -> list[Metric]:
        """Return an empty list: the names of the metrics are not checked at registration.

        Without this method, the registry of Prometheus would call ``collect`` to find the names.
        """
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics that are read from the store.

        Raises:
            StoreError: the store can't be read. Nothing is yielded then, because missing metrics
                would make alerts of Prometheus resolve.
        """
        snapshot, now = self._watch.pin_files.snapshot(), self._watch.clock()
        thresholds = self._watch.settings.thresholds
        with self._watch.store.read() as connection:
            names = hosts.names(connection, snapshot)[:MAX_HOSTS]
            found = hosts.describe_hosts(connection, snapshot, now, names, thresholds)
            view = View(connection, snapshot, now, thresholds, found)
            metrics = [*gauges(view), *compatible_gauges(view)]
            metrics += self._reports.families(connection, now, names)
        yield from metrics


class _RegistryCollector(Collector):
    """A Prometheus collector that yields the metrics of another registry.

    With it, one registry, and so the page ``/metrics``, can contain the metrics of several.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        return iter(self._registry.collect())


class ReportCounters:
    """Prometheus counters of the reports that were stored since the process began. Thread-safe.

    These counters start at 0 and only rise. They are computed from the numbers of reports in the
    store. Those numbers also fall, because expired reports are deleted, so only their increases are
    added. If a counter itself fell, Prometheus would take it for restarted, and count all remaining
    reports again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: int | None = None  # the first hour that is still recounted from the store
        self._totals: Counter[Key] = Counter()
        self._last: Counter[tuple[int, Key]] = Counter()

    def begin(self, connection: Connection, now: datetime, hosts: Sequence[str]) -> None:
        """Begin to count. The reports that are in the store already are not counted.

        If you don't call this method, counting begins with the first call of ``families``.

        Args:
            connection: a read transaction.
            now: the current time.
            hosts: the monitored hosts.
        """
        with self._lock:
            self._update(connection, to_seconds(now) // HOUR * HOUR, frozenset(hosts))

    def families(
        self, connection: Connection, now: datetime, hosts: Sequence[str]
    ) -> Iterator[Metric]:
        """Yield the Prometheus counters of pin failures and of all reports.

        Args:
            connection: a read transaction.
            now: the current time.
            hosts: the monitored hosts. Reports about other hosts are only in the counter of all
                reports.
        """
        monitored = frozenset(hosts)
        with self._lock:
            counts = self._update(connection, to_seconds(now) // HOUR * HOUR, monitored)
        failures = counter(declared.PIN_FAILURES)
        reports = counter(declared.REPORTS)
        by_host: Counter[tuple[str, str]] = Counter()
        by_kind: Counter[str] = Counter(dict.fromkeys(get_args(Kind), 0))
        for (host, kind, decision), number in counts.items():
            by_kind[kind] += number
            by_host[host, decision] += number
        for host in hosts:
            for decision in get_args(Decision):
                failures.add_metric([host, decision], by_host[host, decision])
        for kind, number in sorted(by_kind.items()):
            reports.add_metric([kind], number)
        yield from (failures, reports)

    def _update(self, connection: Connection, hour: int, monitored: frozenset[str]) -> Counter[Key]:
        begin = self._since
        if begin is None or begin < hour - _MAX_RECOUNTED:
            begin = hour - _RECOUNTED * HOUR
            self._last = _counts(connection, begin, monitored)
        current = _counts(connection, begin, monitored)
        for (at, key), number in current.items():
            self._totals[key] += max(0, number - self._last[at, key])
        begin = self._since = max(begin, hour - _RECOUNTED * HOUR)
        self._last = Counter({entry: n for entry, n in current.items() if entry[0] >= begin})
        return self._totals


def _counts(
    connection: Connection, since: int, monitored: frozenset[str]
) -> Counter[tuple[int, Key]]:
    """Return the number of reports since ``since`` (Unix seconds), by hour and labels.

    Each key of the result has the beginning of the hour (Unix seconds) and the labels. The labels
    are the host, the format and the decision (whether the client refused the connection). If a
    report's host is not in ``monitored``, its label for the host is empty.
    """
    found: Counter[tuple[int, Key]] = Counter()
    for at, host, kind, decision, number in counts_by_hour(connection, since):
        key = (
            host if host in monitored else "",
            _known(kind, get_args(Kind)),
            _known(decision, get_args(Decision)),
        )
        found[at, key] += number
    return found


def _known(word: str, words: Sequence[str]) -> str:
    return word if word in words else _OTHER
