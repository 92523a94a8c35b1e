"""Make reports durable: store them so that a crash does not lose them.

``Batcher`` collects the request bodies that arrive while the previous batch is being stored, and
``Committer`` counts a batch in the store, in one transaction. The response to a client waits until
this transaction is committed. With NATS, the intake in ``jetstream`` publishes batches to a
JetStream stream instead.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from certpin.errors import CertpinError, StoreError
from certpin_watch import telemetry
from certpin_watch.collector.counting import count
from certpin_watch.collector.grouping import (
    CountingLimits,
    PresenceLimits,
    ReportLimits,
    RowCache,
    presence_limits,
)
from certpin_watch.context import pause
from certpin_watch.counters import COUNTERS
from certpin_watch.snapshot import Patterns
from certpin_watch.store.reports import record_listening

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from certpin_watch.collector.counting import BatchResult
    from certpin_watch.collector.decode import ReceivedBody
    from certpin_watch.context import Watch

    Commit = Callable[[Sequence[ReceivedBody]], Awaitable[None]]

_MAX_BATCH = 500  # bodies in one transaction
_MAX_BATCH_BYTES = 8 * 1024 * 1024
_LINGER = 0.004  # seconds for which an incomplete batch waits for more bodies
_RENEW_SETS = 1.0  # seconds between two reads of the pin files
_LISTENING_SECONDS = 60.0  # seconds between two records that reports are accepted

_log = logging.getLogger("certpin.watch.collector")


class NotDurableError(CertpinError):
    """A report was not stored, or it is unknown whether it was. The client can send it again.

    If the report was stored after all, it is not counted twice: a report is stored together with
    its identity, which recognises the repeat.

    Attributes:
        problem: what happened.
        retry: the seconds after which the client may send the report again.
        refused: True if the store works but rejected this report, so that it may accept other
            reports.
    """

    def __init__(self, problem: str, retry: int = 5, *, refused: bool = False) -> None:
        super().__init__(problem)
        self.refused = refused
        self.problem = problem
        self.retry = retry


class Intake(Protocol):
    """Stores the request bodies that the endpoint accepts: in the store, or in a NATS stream."""

    def accept(self, body: ReceivedBody) -> Awaitable[None]:
        """Store a request body. Return when it is durable: a crash can't lose it any more.

        Raises:
            NotDurableError: the body is not durable, or it is unknown whether it is.
        """

    def is_ready(self) -> bool:
        """Return False if it is known that reports can't be made durable at present, else True.

        Failures of the store are ignored here, because the service's readiness check tests the
        store separately.
        """

    @property
    def trouble(self) -> str:
        """Why the intake is not ready; empty if it is ready, or the reason is unknown."""


class StoreIntake:
    """The intake without NATS: counts batches of request bodies in the store, in one thread."""

    def __init__(self, watch: Watch) -> None:
        settings = watch.settings.collector
        self._committer = Committer(watch)
        limits = BatchLimits(settings.queue, settings.queue_bytes, _MAX_BATCH, _MAX_BATCH_BYTES)
        self._batcher = Batcher(self._commit, limits)
        self._thread = ThreadPoolExecutor(1, "certpin-intake")

    def accept(self, body: ReceivedBody) -> Awaitable[None]:
        """Queue a request body. Return when its reports are counted in the store.

        Raises:
            NotDurableError: they are not counted, or it is unknown whether they are.
        """
        return self._batcher.put(body)

    def is_ready(self) -> bool:
        """Return True always.

        This intake needs only the store, which the service's readiness check tests separately.
        """
        return True

    @property
    def trouble(self) -> str:
        """Always empty, because this intake is always ready.

        Pages show a failure of the store by other means (``Store.health``).
        """
        return ""

    def start(self) -> None:
        """Start the task that takes request bodies from the queue, and counts them in the store.

        The task runs in the running event loop.
        """
        self._batcher.start()

    async def close(self) -> None:
        """Count the queued request bodies in the store, and stop the task and the thread."""
        await self._batcher.close()
        self._thread.shutdown()

    async def _commit(self, batch: Sequence[ReceivedBody]) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._committer.commit, batch)


@dataclass(frozen=True)
class BatchLimits:
    """The limits of a ``Batcher``.

    Attributes:
        queue: the maximum number of waiting request bodies.
        queue_bytes: the maximum bytes of waiting request bodies.
        batch: the maximum number of bodies in one batch.
        batch_bytes: the maximum bytes of one batch.
        lanes: how many batches are made durable at the same time.
    """

    queue: int
    queue_bytes: int
    batch: int
    batch_bytes: int
    lanes: int = 1


class _Queued(NamedTuple):
    body: ReceivedBody
    durable: asyncio.Future[None]


class Batcher:
    """Queues request bodies, and passes them in batches to ``commit``, which stores them.

    One or more tasks ("lanes") pass batches to ``commit``. While a task waits for ``commit``,
    further bodies are queued, and become its next batch.

    Args:
        commit: stores a whole batch so that a crash doesn't lose it (durable), and then returns. It
            raises ``NotDurableError`` if the batch is not durable, or if it is unknown whether it
            is.
        limits: the limits of the queue and of a batch.
    """

    def __init__(self, commit: Commit, limits: BatchLimits) -> None:
        self._commit = commit
        self._limits = limits
        self._queue: deque[_Queued] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._closed = False
        self._lanes: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the tasks that pass batches to ``commit``, in the running event loop."""
        self._lanes = [asyncio.create_task(self._run_lane()) for _ in range(self._limits.lanes)]

    async def put(self, body: ReceivedBody) -> None:
        """Queue a request body. Return when ``commit`` has made it durable.

        Raises:
            NotDurableError: the body is not durable, or it is unknown whether it is. If the queue
                is full, this is raised at once.
        """
        if self._closed:
            raise NotDurableError("the collector is stopping", 1)
        full = len(self._queue) >= self._limits.queue
        if full or self._bytes + body.size > self._limits.queue_bytes:
            raise NotDurableError("too many reports are waiting to be stored", 1)
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(_Queued(body, durable))
        self._bytes += body.size
        self._wake.set()
        await durable

    def limit_batches(self, batch_bytes: int) -> None:
        """Lower the maximum bytes of a batch to ``batch_bytes``, if it is not lower already.

        A single body with more bytes is still accepted, as a batch of one.
        """
        smaller = min(batch_bytes, self._limits.batch_bytes)
        self._limits = replace(self._limits, batch_bytes=smaller)

    async def close(self) -> None:
        """Refuse further request bodies. Return when all queued ones were passed to ``commit``."""
        self._closed = True
        self._wake.set()
        await asyncio.gather(*self._lanes)

    async def _run_lane(self) -> None:
        while True:
            if not self._queue:
                if self._closed:
                    return
                self._wake.clear()
                await self._wake.wait()
            # After each batch, too: the clients that it answered are sending their next reports.
            if len(self._queue) < self._limits.batch and not self._closed:
                await asyncio.sleep(_LINGER)
            if batch := self._next_batch():
                await self._deliver(batch)

    def _next_batch(self) -> list[_Queued]:
        """Remove the next batch of request bodies from the queue, and return it.

        A batch exceeds the limit on bytes only if it has a single body. It includes the bodies of
        clients that have disconnected since, because their reports count, too.
        """
        batch: list[_Queued] = []
        size = 0
        while self._queue and len(batch) < self._limits.batch:
            size += self._queue[0].body.size
            if batch and size > self._limits.batch_bytes:
                break
            batch.append(self._queue.popleft())
            self._bytes -= batch[-1].body.size
        return batch

    async def _deliver(self, batch: list[_Queued]) -> None:
        failure: NotDurableError | None = None
        try:
            await self._commit([queued.body for queued in batch])
        except NotDurableError as exc:
            failure = exc
        except Exception:  # noqa: BLE001  # every waiting client gets an answer, whatever failed
            _log.exception("a batch of %d bodies was not stored", len(batch))
            failure = NotDurableError("the collector failed unexpectedly")
        for queued in batch:
            if queued.durable.done():
                continue  # the client disconnected
            if failure is None:
                queued.durable.set_result(None)
            else:
                queued.durable.set_exception(failure)


class Committer:
    """Counts batches of reports in the store, each in one transaction.

    Only one thread at a time may use it.

    Args:
        watch: the settings, the store and the pin files.
        drop: True to drop a report that the database rejects, instead of raising an error. Use this
            for reports that the client can't send again, because it already got the response.
    """

    def __init__(self, watch: Watch, *, drop: bool = False) -> None:
        self._drop = drop
        self._store = watch.store
        self._watched = watch.pin_files
        self._settings = watch.settings.collector
        self._patterns = Patterns(named=watch.settings.monitor.named)
        self._presence_limits = PresenceLimits()
        self._renewed_at = -_RENEW_SETS
        self._cache = RowCache()
        self._failing = False

    def commit(self, batch: Sequence[ReceivedBody]) -> None:
        """Count the reports of a batch in the store. When this returns, the batch is durable.

        Raises:
            NotDurableError: a part of the batch is not counted, or it is unknown whether it is.
        """
        start = time.perf_counter()
        try:
            result = self._count(batch)
        except DataError:
            self._commit_halves(batch)
            return
        except (CertpinError, SQLAlchemyError) as exc:
            self._log_failure(exc)
            # An IntegrityError is the store's fault, too: no report has a value that causes one,
            # but tables of another version may require one.
            refused = isinstance(exc, IntegrityError) or getattr(exc, "reason", "") == "failed"
            raise NotDurableError("the store is unavailable or full", refused=refused) from exc
        self._record_success(result)
        COUNTERS.stored(result.reports + result.repeats, time.perf_counter() - start)

    def _count(self, batch: Sequence[ReceivedBody]) -> BatchResult:
        settings = self._settings
        self._renew_sets()
        reports = ReportLimits(
            settings.groups_per_hour,
            settings.chains_per_hour,
            self._patterns.share_of,
            settings.groups_per_day,
            settings.budget,
        )
        limits = CountingLimits(
            reports, settings.samples, settings.most_samples, self._presence_limits
        )
        with (
            telemetry.span("certpin.batch", batch_size=len(batch)),
            self._store.write() as connection,
        ):
            return count(connection, batch, limits, self._cache)

    def _renew_sets(self) -> None:
        """Read the pin files again if they changed, at most once a second.

        They decide which hosts have a share of the limits, and which pin-set versions are always
        counted.
        """
        now = time.monotonic()
        if now - self._renewed_at < _RENEW_SETS:
            return
        self._renewed_at = now
        sets = self._watched.snapshot().sets
        self._patterns = self._patterns.renewed(sets)
        self._presence_limits = presence_limits(sets, self._settings.presences_per_day)

    def _record_success(self, result: BatchResult) -> None:
        self._cache.learn(result.hours)
        if self._failing:
            self._failing = False
            _log.info("the store accepts reports again")
        COUNTERS.reported("counted", result.reports)
        COUNTERS.reported("repeat", result.repeats)
        COUNTERS.reported("folded", result.folded)

    def _log_failure(self, exc: Exception) -> None:
        """Log a failure of the store, unless the previous commit failed, too.

        The database's message is not logged, because it may contain a password.
        """
        if not self._failing:
            self._failing = True
            reason = exc.reason if isinstance(exc, StoreError) else type(exc).__name__
            _log.warning("reports wait, because the store fails: %s", reason)

    def _commit_halves(self, batch: Sequence[ReceivedBody]) -> None:
        """Count each half of a batch separately, because the database rejected the whole batch.

        A rejected half is divided again. A single request body that is rejected is dropped if the
        instance was created with ``drop``; else an error is raised.

        Raises:
            NotDurableError: a part of the batch is not counted.
        """
        if len(batch) == 1:
            COUNTERS.reported("poisoned", 1)
            if self._drop:
                _log.error("the store rejects a report, which is dropped")
                return
            raise NotDurableError("the store rejects this report", 3600)
        failure: NotDurableError | None = None
        for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
            try:
                self.commit(half)
            except NotDurableError as exc:
                failure = exc
        if failure is not None:
            raise failure


async def note_listening(watch: Watch, stop: asyncio.Event, is_ready: Callable[[], bool]) -> None:
    """Record in the store each minute, and when ``stop`` is set, that this process accepts reports.

    If no process made a record in a period, the number of reports in this period is unknown instead
    of zero.

    Args:
        watch: the store and the clock.
        stop: ends the task.
        is_ready: returns False while the intake refuses reports. Nothing is recorded then.
    """
    while True:
        try:
            if is_ready():
                await asyncio.to_thread(_note_listening_once, watch)
        except StoreError as exc:  # reports are not accepted then, either
            _log.warning("could not record that reports are accepted: %s", exc.reason)
        if stop.is_set():
            return
        await pause(stop, _LISTENING_SECONDS)


def _note_listening_once(watch: Watch) -> None:
    with watch.store.write() as connection:
        record_listening(connection, int(watch.clock().timestamp()))
