"""``/metrics``: everything at once, as text or OpenMetrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from certpin_watch.metrics.counters import COUNTERS
from certpin_watch.metrics.families import MOST_HOSTS, View, families
from certpin_watch.metrics.others import others
from certpin_watch.metrics.reports import Counted
from certpin_watch.queries import hosts
from certpin_watch.queries.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from certpin_watch.metrics.counters import Counters
    from certpin_watch.watch import Watch


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
        glance, now = self._watch.watched.glance(), self._watch.clock()
        limits = Limits.of(self._watch.settings)
        with self._watch.store.read() as connection:
            names = hosts.names(connection, glance)[:MOST_HOSTS]
            found = hosts.described(connection, glance, now, names, limits)
            view = View(connection, glance, now, limits, found)
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
