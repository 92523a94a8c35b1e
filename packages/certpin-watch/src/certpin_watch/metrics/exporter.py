"""TODO: one docstring."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, get_args

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from certpin.errors import StoreError
from certpin.reports.model import Decision, Kind
from certpin_watch.auth.require import require
from certpin_watch.counters import COUNTERS
from certpin_watch.metrics.compatible import others
from certpin_watch.metrics.families import MAX_HOSTS, View, families
from certpin_watch.store.queries import hosts
from certpin_watch.store.queries.base import HOUR, to_seconds
from certpin_watch.store.tables.reports import REPORT_GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from prometheus_client.metrics_core import Metric
    from sqlalchemy import Connection
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from certpin_watch.counters import Counters
    from certpin_watch.snapshot import Watch


PATH = "/metrics"


def routes(watch: Watch) -> list[BaseRoute]:
    """One scrape at a time: whoever asks more often waits, and costs no more."""
    exporter, turn = Exporter(watch), threading.Lock()

    @require("metrics")
    def metrics(request: Request) -> Response:
        try:
            with turn:
                page, media_type = exporter.page(request.headers.get("accept", ""))
        except StoreError:
            return PlainTextResponse("the store is away\n", 503)
        return Response(page, headers={"Content-Type": media_type, "Cache-Control": "no-store"})

    return [Route(PATH, metrics, methods=["GET"])]


class Facts(Collector):
    """The facts as metrics: read anew at each scrape, in one transaction."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._counted = Counted()

    def describe(self) -> list[Metric]:
        """Nothing: a registry would otherwise read the store to learn the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Raises ``StoreError``: half a page would make alerts resolve."""
        snapshot, now = self._watch.watched.snapshot(), self._watch.clock()
        limits = self._watch.settings.thresholds
        with self._watch.store.read() as connection:
            names = hosts.names(connection, snapshot)[:MAX_HOSTS]
            found = hosts.describe_hosts(connection, snapshot, now, names, limits)
            view = View(connection, snapshot, now, limits, found)
            metrics = [*families(view), *others(view)]
            metrics += self._counted.families(connection, now, names)
        yield from metrics


class Exporter:
    """What a scrape is answered with. Threads may share it."""

    def __init__(self, watch: Watch, counters: Counters = COUNTERS) -> None:
        self._facts = CollectorRegistry(auto_describe=False)
        self._facts.register(Facts(watch))
        self._facts.register(_Of(counters.registry))

    def page(self, accept: str) -> tuple[bytes, str]:
        """The page, and its media type. Raises ``StoreError``."""
        encode, media_type = choose_encoder(accept)
        return encode(self._facts), media_type


class _Of(Collector):
    """Another registry as a part of one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        return iter(self._registry.collect())


_OPEN = 3  # hours in which reports may still be counted: a writer may be behind
_OTHER = "other"
_MOST_OPEN = 48 * HOUR  # after a long silence, hours before it are taken as they are

Key = tuple[str, str, str]  # host, kind, decision


class Counted:
    """The reports since the first look. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._from: int | None = None  # the first hour that is still counted from the store
        self._told: Counter[Key] = Counter()
        self._last: Counter[tuple[int, Key]] = Counter()

    def families(
        self, connection: Connection, now: datetime, hosts: Sequence[str]
    ) -> Iterator[Metric]:
        """Two counters. Hosts that nobody watches are in neither of their own names."""
        watched = frozenset(hosts)
        with self._lock:
            counts = self._counts(connection, to_seconds(now) // HOUR * HOUR, watched)
        failures = CounterMetricFamily(
            "certpin_pin_failures",
            "Reports of connections to a watched host that failed its pins. Claims.",
            labels=["host", "decision"],
        )
        reports = CounterMetricFamily(
            "certpin_reports", "Reports that were stored, by format. Claims.", labels=["kind"]
        )
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

    def _counts(self, connection: Connection, hour: int, watched: frozenset[str]) -> Counter[Key]:
        begin = self._from
        if begin is None or begin < hour - _MOST_OPEN:
            begin = hour - _OPEN * HOUR
            self._last = _sums(connection, begin, watched)
        current = _sums(connection, begin, watched)
        for (at, key), number in current.items():
            self._told[key] += max(0, number - self._last[at, key])
        begin = self._from = max(begin, hour - _OPEN * HOUR)
        self._last = Counter({each: n for each, n in current.items() if each[0] >= begin})
        return self._told


def _sums(connection: Connection, since: int, watched: frozenset[str]) -> Counter[tuple[int, Key]]:
    """By hour and what is told of it. Hosts that nobody watches are one: they have no end."""
    columns = REPORT_GROUPS.c
    by = (columns.hour, columns.host, columns.kind, columns.decision)
    statement = select(*by, func.sum(columns.count)).where(columns.hour >= since).group_by(*by)
    found: Counter[tuple[int, Key]] = Counter()
    for at, host, kind, decision, number in connection.execute(statement):
        key = (
            host if host in watched else "",
            _known(kind, get_args(Kind)),
            _known(decision, get_args(Decision)),
        )
        found[at, key] += int(number)
    return found


def _known(word: str, words: Sequence[str]) -> str:
    return word if word in words else _OTHER
