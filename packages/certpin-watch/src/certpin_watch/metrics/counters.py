"""What this process counts while it works. Any part of the watch may increment it, from any thread.

    from certpin_watch.metrics.counters import COUNTERS

    COUNTERS.answered(202, seconds)      # the collector: one request
    COUNTERS.stored(len(batch), seconds) # the collector, or the writer: one batch became durable
    COUNTERS.reported("repeat", 3)       # the collector, or the writer: what became of reports
    COUNTERS.probed("verified", 0.03)    # the monitor: one probe
    COUNTERS.notified(told=True)         # alerts: somebody was told, or could not be

They begin at nothing when the process does, as Prometheus expects of counters. Labels are words of
the watch's own: nothing that came from a network becomes one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram

if TYPE_CHECKING:
    from collections.abc import Callable

    Listener = Callable[[str, float, dict[str, str]], None]

Outcome = Literal["verified", "unverified", "unreachable"]
# What became of a report: counted, known already, counted in a group that says less than it did
# because the hour was full (it is among the counted, too), or given up because nobody can read it.
Fate = Literal["counted", "repeat", "folded", "poisoned"]

_OTHER = "other"
_STATUSES = frozenset(
    {200, 201, 202, 204, 400, 401, 403, 404, 405, 406, 408, 411, 413, 415, 422, 429, 500, 503}
)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_PROBE_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000)


class Counters:
    """Counters and histograms in a registry of their own. Threads may share it.

    ``listen`` has each number told to somebody else, too: a bridge to OpenTelemetry.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._listeners: tuple[Listener, ...] = ()
        self._requests = Counter(
            "certpin_collector_requests",
            "Requests that the collector answered, by status.",
            ["status"],
            registry=self.registry,
        )
        self._by_status: dict[int, tuple[str, Counter]] = {}
        self._answers = Histogram(
            "certpin_collector_request_duration_seconds",
            "How long an answer of the collector took, until it was durable.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._batches = Histogram(
            "certpin_collector_batch_size",
            "Reports in one transaction of the store.",
            buckets=_SIZES,
            registry=self.registry,
        )
        self._commits = Histogram(
            "certpin_collector_batch_duration_seconds",
            "How long one transaction of reports took.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._reports = Counter(
            "certpin_collector_reports",
            "Reports that came to the store, by what became of them.",
            ["fate"],
            registry=self.registry,
        )
        self._probes = Counter(
            "certpin_probes",
            "Probes that ended, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self._probe_seconds = Histogram(
            "certpin_probe_duration_seconds",
            "How long a probe took, with all its attempts.",
            buckets=_PROBE_SECONDS,
            registry=self.registry,
        )
        self._notifications = Counter(
            "certpin_notifications",
            "Messages to people, by whether they got through.",
            ["result"],
            registry=self.registry,
        )

    def answered(self, status: int, seconds: float) -> None:
        """The collector answered one request."""
        if (known := self._by_status.get(status)) is None:
            word = str(status) if status in _STATUSES else _OTHER
            known = self._by_status[status] = word, self._requests.labels(word)
        word, requests = known
        requests.inc()
        self._answers.observe(seconds)
        if self._listeners:
            self._tell("certpin_collector_requests", 1, status=word)
            self._tell("certpin_collector_request_duration_seconds", seconds)

    def stored(self, reports: int, seconds: float) -> None:
        """A batch of reports became durable."""
        self._batches.observe(reports)
        self._commits.observe(seconds)
        self._tell("certpin_collector_batch_size", reports)
        self._tell("certpin_collector_batch_duration_seconds", seconds)

    def reported(self, fate: Fate, reports: int) -> None:
        """So many reports came to the store, and this became of them."""
        if reports:
            self._reports.labels(fate).inc(reports)
            self._tell("certpin_collector_reports", reports, fate=fate)

    def probed(self, outcome: Outcome, seconds: float = 0.0) -> None:
        """A probe ended, and what it saw is kept. Of 0 seconds: nobody measured it."""
        word = outcome if outcome in get_args(Outcome) else _OTHER
        self._probes.labels(word).inc()
        self._tell("certpin_probes", 1, outcome=word)
        if seconds > 0:
            self._probe_seconds.observe(seconds)
            self._tell("certpin_probe_duration_seconds", seconds)

    def notified(self, *, told: bool) -> None:
        """Somebody was told of an alert, or could not be."""
        word = "told" if told else "failed"
        self._notifications.labels(word).inc()
        self._tell("certpin_notifications", 1, result=word)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell somebody each number, by its name. What is returned ends that."""
        self._listeners = (*self._listeners, listener)

        def stop() -> None:
            self._listeners = tuple(each for each in self._listeners if each is not listener)

        return stop

    def _tell(self, name: str, number: float, **labels: str) -> None:
        for each in self._listeners:
            each(name, number, labels)


COUNTERS = Counters()
