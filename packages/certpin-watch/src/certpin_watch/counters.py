"""The Prometheus counters of this process. Any part of the service may increment them.

    from certpin_watch.counters import COUNTERS

    COUNTERS.answered(202, seconds)       # collector: one request
    COUNTERS.stored(len(batch), seconds)  # collector or writer: one batch was committed
    COUNTERS.reported("repeat", 3)        # collector or writer: results of reports
    COUNTERS.probed("verified", 0.03)     # monitor: one probe
    COUNTERS.notified(delivered=True)     # alerts: one message to a notification service

All counters start at 0 with the process, as Prometheus expects. Label values are fixed words: text
from the network never becomes a label. All methods are safe to call from several threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram

if TYPE_CHECKING:
    from collections.abc import Callable

    Listener = Callable[[str, float, dict[str, str]], None]


# The outcome of a probe: a label here, and a value in the JSON of results (`monitor/results.py`).
Outcome = Literal["verified", "unverified", "unreachable", "no-starttls"]
# `repeat`: the report was counted before. `folded`: it was counted with less detail, because the
# hour's groups were full; it is also among `counted`. `poisoned`: it can't be decoded, or the
# database rejects it.
Fate = Literal["counted", "repeat", "folded", "poisoned"]

_OTHER = "other"
_STATUSES = frozenset(
    {200, 201, 202, 204, 400, 401, 403, 404, 405, 406, 408, 411, 413, 415, 422, 429, 500, 503}
)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_PROBE_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000)


@dataclass(frozen=True)
class MetricSpec:
    """The declaration of a Prometheus metric: name, type, help text and labels.

    The page "Metrics" of the documentation is made from these objects.

    Attributes:
        name: the metric's name, without the suffix ``_total`` that Prometheus adds to a counter.
        kind: the type of the metric: "gauge", "counter" or "histogram".
        about: the help text.
        labels: the names of the labels.
    """

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    about: str
    labels: tuple[str, ...] = ()


_REQUESTS = MetricSpec(
    "certpin_collector_requests",
    "counter",
    "Requests with reports that the collector answered, by status.",
    ("status",),
)
_REQUEST_DURATION = MetricSpec(
    "certpin_collector_request_duration_seconds",
    "histogram",
    "Time until the collector answered, which includes storing the reports.",
)
_BATCH_SIZE = MetricSpec(
    "certpin_collector_batch_size", "histogram", "Reports in one transaction of the store."
)
_BATCH_DURATION = MetricSpec(
    "certpin_collector_batch_duration_seconds",
    "histogram",
    "Duration of one transaction of reports.",
)
_REPORTS = MetricSpec(
    "certpin_collector_reports",
    "counter",
    "Reports that arrived at the store, by result: counted, repeat (sent again), folded (counted "
    "with less detail), poisoned (a message of the stream that can't be decoded, or a report that "
    "the database rejects).",
    ("fate",),
)
_PROBES = MetricSpec(
    "certpin_probes",
    "counter",
    "Probes that this process stored or, as a worker, returned, by outcome.",
    ("outcome",),
)
_PROBE_DURATION = MetricSpec(
    "certpin_probe_duration_seconds", "histogram", "Duration of a probe, with all its attempts."
)
_NOTIFICATIONS = MetricSpec(
    "certpin_notifications",
    "counter",
    "Notifications about alerts, by result: told (sent) or failed.",
    ("result",),
)
COUNTED = (
    *(_REQUESTS, _REQUEST_DURATION, _BATCH_SIZE, _BATCH_DURATION),
    *(_REPORTS, _PROBES, _PROBE_DURATION, _NOTIFICATIONS),
)


class Counters:
    """Prometheus counters and histograms of this process, in their own registry. Thread-safe."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._listeners: tuple[Listener, ...] = ()
        self._requests = self._counter(_REQUESTS)
        self._by_status: dict[int, tuple[str, Counter]] = {}
        self._answers = self._histogram(_REQUEST_DURATION, _SECONDS)
        self._batches = self._histogram(_BATCH_SIZE, _SIZES)
        self._commits = self._histogram(_BATCH_DURATION, _SECONDS)
        self._reports = self._counter(_REPORTS)
        self._probes = self._counter(_PROBES)
        self._probe_seconds = self._histogram(_PROBE_DURATION, _PROBE_SECONDS)
        self._notifications = self._counter(_NOTIFICATIONS)

    def answered(self, status: int, seconds: float) -> None:
        """Count a request with reports to which the collector sent a response.

        ``status`` is the HTTP status of the response, ``seconds`` the duration of the request.
        """
        if (known := self._by_status.get(status)) is None:
            word = str(status) if status in _STATUSES else _OTHER
            known = self._by_status[status] = word, self._requests.labels(word)
        word, requests = known
        requests.inc()
        self._answers.observe(seconds)
        if self._listeners:
            self._notify_listeners(_REQUESTS.name, 1, status=word)
            self._notify_listeners(_REQUEST_DURATION.name, seconds)

    def stored(self, reports: int, seconds: float) -> None:
        """Record that a batch of reports was counted in the store.

        Args:
            reports: the number of reports in the batch.
            seconds: the duration of the transaction.
        """
        self._batches.observe(reports)
        self._commits.observe(seconds)
        self._notify_listeners(_BATCH_SIZE.name, reports)
        self._notify_listeners(_BATCH_DURATION.name, seconds)

    def reported(self, fate: Fate, reports: int) -> None:
        """Count reports by what happened to them in the store.

        Args:
            fate: the result for all of these reports, such as "counted", or "repeat" if they were
                sent before.
            reports: the number of reports.
        """
        if reports:
            self._reports.labels(fate).inc(reports)
            self._notify_listeners(_REPORTS.name, reports, fate=fate)

    def probed(self, outcome: Outcome, seconds: float = 0.0) -> None:
        """Count a probe, after its result was stored.

        ``outcome`` is the result, such as "verified"; ``seconds`` the duration, 0 if not measured.
        """
        word = outcome if outcome in get_args(Outcome) else _OTHER
        self._probes.labels(word).inc()
        self._notify_listeners(_PROBES.name, 1, outcome=word)
        if seconds > 0:
            self._probe_seconds.observe(seconds)
            self._notify_listeners(_PROBE_DURATION.name, seconds)

    def notified(self, *, delivered: bool) -> None:
        """Count a message to a notification service.

        ``delivered`` is True if the service accepted the message.
        """
        word = "told" if delivered else "failed"
        self._notifications.labels(word).inc()
        self._notify_listeners(_NOTIFICATIONS.name, 1, result=word)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call a function with each increment of a counter, and each value of a histogram.

        The function can export them, for example to OpenTelemetry.

        Args:
            listener: the function. It gets the metric's name, the value and the labels.

        Returns:
            A function without arguments that removes the listener.
        """
        self._listeners = (*self._listeners, listener)

        def stop() -> None:
            self._listeners = tuple(other for other in self._listeners if other is not listener)

        return stop

    def _counter(self, spec: MetricSpec) -> Counter:
        return Counter(spec.name, spec.about, spec.labels, registry=self.registry)

    def _histogram(self, spec: MetricSpec, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(spec.name, spec.about, buckets=buckets, registry=self.registry)

    def _notify_listeners(self, name: str, number: float, **labels: str) -> None:
        for listener in self._listeners:
            listener(name, number, labels)


COUNTERS = Counters()
