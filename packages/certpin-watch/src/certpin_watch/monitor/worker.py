"""A worker: request probe jobs for its location, run them, and deliver the results to the service.

A worker has no store. It needs no pin file to probe, because each job contains the trust anchors to
verify with. A job is done when the service confirms its result. If a worker dies before that, its
jobs go to another worker. If a worker is stopped, it returns its unfinished jobs to the service.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from certpin.errors import ConfigError
from certpin_watch.context import pause
from certpin_watch.monitor.probing import Prober, count_probes
from certpin_watch.monitor.results import MAX_BYTES, MAX_JOBS, JobRequest, ResultBatch, encode
from certpin_watch.monitor.uplink import ServiceError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping, Sequence

    from certpin_watch.monitor.results import JobBatch, ProbeJob, ProbeResult
    from certpin_watch.monitor.uplink import ServiceLink

Value = TypeVar("Value")

SERVICE = "service"  # the name of the service in `/readyz`
FIRST_PAUSE, MAX_PAUSE = 1.0, 60.0  # seconds between attempts to reach the service
_GRACE = 3.0  # seconds that a request may still take after the worker is stopped


class WorkerEvents:
    """Callbacks for the events of a worker.

    The methods of this class do nothing; a subclass prints the events.
    """

    def connected(self, location: str) -> None:
        """Called when the service responds, for the first time or again after a failure.

        ``location`` is the location of this worker.
        """

    def probed(self, results: int) -> None:
        """Called after results were sent to the service, with the number of these results.

        Results that the service dropped or could not read are counted, too.
        """

    def trouble(self, problem: str, fix: str) -> None:
        """Called when a problem begins, with a description of the problem, and a fix if known.

        While the problem lasts, this is not called again for the same problem.
        """


async def work(
    link: ServiceLink,
    stop: asyncio.Event,
    *,
    window: int = 256,
    needs: MutableMapping[str, Callable[[], bool]] | None = None,
    events: WorkerEvents | None = None,
) -> None:
    """Run probe jobs until ``stop`` is set, then return unfinished ones to the service.

    While the service is unreachable, requests are repeated.

    Args:
        link: the connection to the service.
        stop: ends the work.
        window: how many connections are open at once.
        needs: the readiness checks of this process (``/readyz``), by name. This function adds the
            check ``SERVICE``, which returns True if the last request reached the service.
        events: the callbacks for events.

    Raises:
        ConfigError: the service refuses the token. Or the service has not responded yet, and a
            request fails for a reason that would remain, such as a wrong address or certificate.
    """
    worker = _Worker(link, stop, window, events or WorkerEvents())
    if needs is not None:
        needs[SERVICE] = lambda: worker.is_connected
    await worker.run()


class Backoff:
    """Computes the pauses between repeated requests. Each is about twice as long as the one before.

    A random part is subtracted, so that workers don't all repeat their requests at the same time.
    """

    def __init__(self) -> None:
        self._next = FIRST_PAUSE

    def pause(self, at_least: float = 0.0) -> float:
        """Return how many seconds to wait before the next attempt.

        The result is at least ``at_least``, the seconds that the service asked to wait.
        """
        seconds, self._next = self._next, min(2 * self._next, MAX_PAUSE)
        return max(jittered(seconds), at_least)


def jittered(seconds: float) -> float:
    """Return a random number of seconds between half of ``seconds`` and ``seconds``.

    With random pauses, workers don't all send their requests at the same time.
    """
    return seconds * (1 - random.random() / 2)  # noqa: S311  # to spread load, not a secret


class _Worker:
    def __init__(
        self, link: ServiceLink, stop: asyncio.Event, window: int, events: WorkerEvents
    ) -> None:
        self._link = link
        self._stop = stop
        self._max_jobs = min(window, MAX_JOBS)
        self._events = events
        self._process = secrets.token_hex(8)
        self._halt = threading.Event()
        self._prober = Prober(window, halted=self._halt.is_set)
        self._answered = False  # True once the service answered
        self._reported: str | None = ""  # the problem that was reported; None if there is none
        self._held: dict[str, ProbeJob] = {}
        self.is_connected = False

    async def run(self) -> None:
        """Request jobs and run them until the worker is stopped, then return unfinished jobs.

        Raises:
            ConfigError: the service refuses the token; or a request fails for a reason that would
                remain, before the service has responded for the first time.
        """
        halting = asyncio.create_task(self._halt_at_stop())
        try:
            while not self._stop.is_set():
                request = JobRequest(self._process, self._max_jobs)
                batch = await self._until_answered(lambda request=request: self._link.jobs(request))  # type: ignore[misc]
                if batch is None:
                    break
                self._note(batch)
                if batch.jobs:
                    await self._run_jobs(batch)
                else:
                    await pause(self._stop, jittered(batch.wait))
        finally:
            halting.cancel()
            self._halt.set()
            await self._return()

    async def _run_jobs(self, batch: JobBatch) -> None:
        """Run the probe jobs of a batch in a thread, and deliver the results as they arrive.

        Meanwhile the leases of the jobs are renewed. If delivery fails for good, the probes are
        stopped, and the error is raised.
        """
        self._held = {job.identity: job for job in batch.jobs}
        seen: asyncio.Queue[ProbeResult | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def add(result: ProbeResult | None) -> None:
            loop.call_soon_threadsafe(seen.put_nowait, result)

        renewing = asyncio.create_task(self._renew_leases(batch.lease / 3))
        probing = asyncio.create_task(asyncio.to_thread(_probe, self._prober, batch.jobs, add))
        try:
            while (first := await seen.get()) is not None:
                for part in _packed([first, *_waiting(seen)]):
                    await self._deliver(part)
        except BaseException:
            self._halt.set()
            raise
        finally:
            renewing.cancel()
            await probing

    async def _deliver(self, results: list[ProbeResult]) -> None:
        """Deliver results in one request. If the request is too large, deliver each half by itself.

        A proxy in front of the service can refuse a size that the service accepts. If the service
        can't read the request, or a single result is too large, the results are dropped, and the
        event callback ``trouble`` is called.
        """
        delivery = ResultBatch(self._process, tuple(results))
        try:
            receipt = await self._until_answered(lambda: self._link.deliver(delivery), once=True)
        except ServiceError as exc:
            if exc.kind == "large" and len(results) > 1:
                middle = len(results) // 2
                await self._deliver(results[:middle])
                await self._deliver(results[middle:])
                return
            self._report(exc)
            fates: Sequence[str] = ()
        else:
            if receipt is None:
                return
            fates = receipt.fates
        both = zip(results, fates, strict=False)
        count_probes(result for result, fate in both if fate == "kept")
        if dropped := sorted(set(fates) - {"kept", "repeat"}):
            self._report(_dropped(dropped))
        for result in results:
            self._held.pop(result.identity, None)
        self._events.probed(len(results))

    async def _until_answered(
        self, call: Callable[[], Awaitable[Value]], *, once: bool = False
    ) -> Value | None:
        """Send a request again and again until the service responds.

        Args:
            call: sends the request.
            once: True to raise ``ServiceError``, instead of sending the request again, if the
                service can't read it (kind "rejected") or it is too large (kind "large").

        Returns:
            The response; None if the worker is stopped first.

        Raises:
            ConfigError: the service refuses the token. Or the service has not responded yet, and
                the request fails for a reason that would remain, such as a wrong certificate.
            ServiceError: as described for ``once``.
        """
        backoff = Backoff()
        while not self._stop.is_set():
            try:
                answer = await self._unless_stopped(call())
            except ServiceError as exc:
                if once and exc.kind in {"rejected", "large"}:
                    raise
                self._failed(exc)
                await pause(self._stop, backoff.pause(exc.retry_after))
            else:
                if answer is not None:
                    self._answered = self.is_connected = True
                return answer
        return None

    def _failed(self, exc: ServiceError) -> None:
        """Call the event callback ``trouble`` for a failed request, or raise if a retry is useless.

        Raises:
            ConfigError: the service refuses the token. Or the service has not responded yet, and
                the reason of the failure would remain. Then ``trouble`` is not called.
        """
        self.is_connected = False
        if exc.kind == "refused" or (exc.kind != "away" and not self._answered):
            raise ConfigError(exc.problem, fix=exc.fix) from exc
        self._report(exc)

    async def _unless_stopped(self, call: Awaitable[Value]) -> Value | None:
        """Wait for the response to the request ``call``, and return it.

        If the worker is stopped, wait at most ``_GRACE`` seconds more; return None if there is no
        response by then.
        """
        request, stopped = asyncio.ensure_future(call), asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({request, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not request.done():
                await asyncio.wait({request}, timeout=_GRACE)
            return request.result() if request.done() else None
        finally:
            stopped.cancel()
            request.cancel()

    async def _renew_leases(self, pause: float) -> None:
        """Renew this worker's leases of unfinished jobs every ``pause`` seconds. Never returns.

        A lease is the right to run a job. Without renewal, the service would give the jobs to
        another worker.
        """
        while True:
            await asyncio.sleep(pause)
            if self._held:
                with suppress(ServiceError):  # the delivery fails as well, and reports it
                    await self._link.jobs(JobRequest(self._process, held=tuple(self._held)))

    async def _return(self) -> None:
        """Return unfinished jobs to the service, so that other workers get them at once."""
        if not self._held:
            return
        request = JobRequest(self._process, returned=tuple(self._held))
        with suppress(ServiceError, TimeoutError):
            async with asyncio.timeout(_GRACE):
                await self._link.jobs(request)

    async def _halt_at_stop(self) -> None:
        await self._stop.wait()
        self._halt.set()

    def _note(self, batch: JobBatch) -> None:
        """Call the event callbacks according to the service's response to a request for jobs.

        ``trouble`` is called if the service gives a reason why it has no jobs for this location.
        Otherwise, ``connected`` is called if the service responds for the first time, or again
        after a problem.

        ``batch`` is this response.
        """
        if batch.note:
            self._report(ServiceError(batch.note, "", "away"))
        elif self._reported is not None:
            self._reported = None
            self._events.connected(batch.location)

    def _report(self, exc: ServiceError) -> None:
        if exc.problem != self._reported:
            self._reported = exc.problem
            self._events.trouble(exc.problem, exc.fix)


def _dropped(fates: list[str]) -> ServiceError:
    return ServiceError(
        f"the service drops results: {', '.join(fates)}",
        "the log of the service says why; a worker that stopped for a minute loses its jobs",
        "away",
    )


def _probe(
    prober: Prober, jobs: Sequence[ProbeJob], add: Callable[[ProbeResult | None], None]
) -> None:
    try:
        for result in prober.probe(jobs):
            add(result)
    finally:
        add(None)


def _waiting(seen: asyncio.Queue[ProbeResult | None]) -> list[ProbeResult]:
    """Remove all waiting probe results from the queue ``seen``, and return them.

    They are sent to the service in one request. None in the queue marks the end of the results. It
    stays in the queue.
    """
    found: list[ProbeResult] = []
    while not seen.empty():
        if (result := seen.get_nowait()) is None:
            seen.put_nowait(None)
            break
        found.append(result)
    return found


def _packed(results: list[ProbeResult]) -> list[list[ProbeResult]]:
    """Divide probe results into batches, so that no request is larger than the service accepts.

    NOT checked: that each single result has at most ``MAX_BYTES``. ``ResultBuilder`` ensures that.
    """
    parts: list[list[ProbeResult]] = [[]]
    size = 0
    for result in results:
        weight = len(encode(result))
        if parts[-1] and (size + weight > 2 * MAX_BYTES or len(parts[-1]) >= MAX_JOBS):
            parts.append([])
            size = 0
        parts[-1].append(result)
        size += weight
    return parts
