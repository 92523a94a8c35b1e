"""Probe many targets at once: plain TLS in one thread that never blocks, STARTTLS in a few threads.

There are limits on open connections, on time, and on the bytes from each server. OpenSSL decides
whether a chain verifies for its host. Pins are not checked here.
"""

from __future__ import annotations

import socket
import time
from collections import defaultdict
from concurrent.futures import FIRST_COMPLETED, wait
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from certpin.errors import InputError, ProbeError, StartTLSError
from certpin.pins import TrustAnchors
from certpin.probe import ContextCache, Endpoint, describe_error, observe
from certpin.probe.scan import ScanLimits, scan
from certpin.support.network import DaemonPool
from certpin_watch.counters import COUNTERS
from certpin_watch.monitor.results import ResultBuilder

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from certpin.probe.scan import ScanResult
    from certpin_watch.monitor.results import ProbeJob, ProbeResult

    # The addresses to probe for a job, "" for any one of the name; or why there are none.
    Edges = list[str] | str

Found = TypeVar("Found")

_THREADS = 16
_MAX_ADDRESSES = 64  # of one name
_ROOTS_LIFETIME = 3600.0  # seconds until the platform's roots are read again
_HALT_POLL = 0.2  # seconds between checks of `halted`


def _never() -> bool:
    return False


class Prober:
    """Probes the targets of jobs, many at once. Not thread-safe.

    Args:
        window: the maximum number of connections that are open at once. Connections with STARTTLS
            are not counted.
        clock: returns seconds since 1970.
        halted: returns True if probing should end. Soon after that, unfinished probes are dropped,
            and no more results are yielded.
    """

    def __init__(
        self,
        window: int = 256,
        clock: Callable[[], float] = time.time,
        halted: Callable[[], bool] = _never,
    ) -> None:
        self._window = window
        self._clock = clock
        self._halted = halted
        self._contexts = ContextCache()
        self._made = time.monotonic()

    def probe(self, jobs: Sequence[ProbeJob]) -> Iterator[ProbeResult]:
        """Run probe jobs, and yield a result for each; those of jobs with STARTTLS come last.

        If a server fails, or a job can't be run, the result contains the reason, and nothing is
        raised. If the prober is halted, unfinished jobs have no result.
        """
        if time.monotonic() - self._made > _ROOTS_LIFETIME:
            self._contexts, self._made = ContextCache(), time.monotonic()
        groups: dict[tuple[TrustAnchors | None, float], list[ProbeJob]] = defaultdict(list)
        with DaemonPool(_THREADS, "certpin-monitor") as pool:
            observed = [pool.submit(partial(self._observe, job)) for job in jobs if job.starttls]
            for job in jobs:
                if not job.starttls:
                    groups[_trust(job), job.timeout].append(job)
            for (_, timeout), group in groups.items():
                limits = ScanLimits(window=self._window, timeout=timeout)
                for builder in self._scan(group, limits, pool):
                    yield builder.build(self._clock())
            for builder in self._completed(observed):
                yield builder.build(self._clock())

    def _scan(
        self, jobs: list[ProbeJob], limits: ScanLimits, pool: DaemonPool
    ) -> Iterator[ResultBuilder]:
        """Run the given jobs as one scan of all their servers. None of the jobs may use STARTTLS.

        Yield the ``ResultBuilder`` of each job when its result is complete.

        Args:
            jobs: the jobs; all have the same trust anchors and timeout.
            limits: how many connections are open at once, and the timeout.
            pool: threads to resolve names.
        """
        context = self._context(jobs[0])
        if isinstance(context, str):
            yield from (_failed(job, context) for job in jobs)
            return
        pending = _PendingJobs()
        resolved = [pool.submit(partial(_with_edges, job)) for job in jobs if job.every_address]
        for job in jobs:
            if not job.every_address:
                pending.add(job, [""])
        for job, edges in self._completed(resolved):
            if isinstance(edges, str):
                yield _failed(job, edges)
            else:
                pending.add(job, edges)
        for seen in scan(pending.endpoints(), context=context, limits=limits, halted=self._halted):
            yield from pending.finish(seen)

    def _observe(self, job: ProbeJob) -> ResultBuilder:
        """Run one job with STARTTLS: probe its addresses one after another.

        Return the ``ResultBuilder`` with the result at each address.
        """
        context, edges = self._context(job), _edges(job)
        if isinstance(context, str):
            return _failed(job, context)
        if isinstance(edges, str):
            return _failed(job, edges)
        builder = ResultBuilder(job)
        for edge in edges:
            begun = time.monotonic()
            try:
                seen = observe(_endpoint(job, edge), context, timeout=job.timeout)
            except ProbeError as exc:
                insecure = isinstance(exc, StartTLSError) and exc.insecure
                took = time.monotonic() - begun
                builder.add_failure(exc.problem, edge, edge, took, insecure=insecure)
            else:
                builder.add_observation(edge, seen, time.monotonic() - begun)
        return builder

    def _context(self, job: ProbeJob) -> ssl.SSLContext | str:
        """Return the TLS context for a job, which has the job's trust anchors.

        If these can't be used, return a text that describes the problem, for the result of the job.
        """
        try:
            return self._contexts.get(_trust(job))
        except (InputError, OSError) as exc:  # ssl.SSLError is an OSError
            return f"its trust anchors cannot be used: {describe_error(exc)}"

    def _completed(self, futures: Iterable[Future[Found]]) -> Iterator[Found]:
        """Yield the results of futures (probes in threads) as they finish.

        If the prober is halted, stop without waiting for the remaining futures.
        """
        waiting = set(futures)
        while waiting and not self._halted():
            done, waiting = wait(waiting, _HALT_POLL, FIRST_COMPLETED)
            yield from (future.result() for future in done)


def count_probes(results: Iterable[ProbeResult]) -> None:
    """Count each probed address of these results in the Prometheus metrics of this process."""
    for result in results:
        for seen in result.seen:
            COUNTERS.probed(seen.outcome, seen.took / 1_000_000)


class _PendingJobs:
    """The unfinished probe jobs of one scan, by the endpoints whose results they wait for.

    An endpoint is a host and a port. If a job probes every address of its host, each address is an
    endpoint of its own.
    """

    def __init__(self) -> None:
        self._waiting: dict[Endpoint, list[tuple[ResultBuilder, str]]] = defaultdict(list)

    def add(self, job: ProbeJob, edges: list[str]) -> None:
        """Add a job that is complete when there is a result for each address in ``edges``.

        For an empty text in ``edges``, the result of any one address of the host is enough.
        """
        builder = ResultBuilder(job, missing=len(edges))
        for edge in edges:
            self._waiting[_endpoint(job, edge)].append((builder, edge))

    def endpoints(self) -> list[Endpoint]:
        return list(self._waiting)

    def finish(self, seen: ScanResult) -> Iterator[ResultBuilder]:
        """Add ``seen``, a scan's result for one endpoint, to the jobs that wait for it.

        Yield the ``ResultBuilder`` of each job that is now complete.
        """
        for builder, edge in self._waiting.pop(seen.endpoint):
            builder.add_scan_result(edge, seen)
            if not builder.missing:
                yield builder


def _trust(job: ProbeJob) -> TrustAnchors | None:
    return None if job.anchors is None else TrustAnchors(job.anchors, strict=job.strict)


def _endpoint(job: ProbeJob, edge: str) -> Endpoint:
    connect = job.connect
    if edge:
        connect = (edge, job.connect[1] if job.connect else job.port)
    return Endpoint(job.host, job.port, connect, starttls=job.starttls or None)


def _failed(job: ProbeJob, problem: str) -> ResultBuilder:
    builder = ResultBuilder(job)
    builder.add_failure(problem)
    return builder


def _with_edges(job: ProbeJob) -> tuple[ProbeJob, Edges]:
    return job, _edges(job)


def _edges(job: ProbeJob) -> Edges:
    if not job.every_address:
        return [""]
    try:
        return sorted(_addresses(*(job.connect or (job.host, job.port))))[:_MAX_ADDRESSES]
    except (OSError, UnicodeError) as exc:
        return f"no address: {describe_error(exc)}"


def _addresses(host: str, port: int) -> set[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return {str(address[0]).partition("%")[0] for *_, address in found}
