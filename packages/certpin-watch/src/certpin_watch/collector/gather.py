"""Whoever comes in a moment shares one commit: a disk that is asked once answers all of them."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from certpin_watch.collector.refusals import NotDurableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from certpin_watch.collector.received import Received

    Commit = Callable[[Sequence[Received]], Awaitable[None]]

_LINGER = 0.004  # seconds that a batch waits for more if it is not full: they share what it costs

_log = logging.getLogger("certpin.watch.collector")


@dataclass(frozen=True)
class Bounds:
    """Bodies and bytes that may wait, those of one batch, and how many batches go at once."""

    queue: int
    queue_bytes: int
    batch: int
    batch_bytes: int
    lanes: int = 1


class _Waiting(NamedTuple):
    received: Received
    durable: asyncio.Future[None]


class Gatherer:
    """A bounded queue, and lanes that carry what is in it to ``commit``.

    ``commit`` returns when all of a batch is durable, and raises ``NotDurableError`` when that is
    not so, or not known. While one batch is on its way, the next one gathers.
    """

    def __init__(self, commit: Commit, bounds: Bounds) -> None:
        self._commit = commit
        self._bounds = bounds
        self._queue: deque[_Waiting] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._closed = False
        self._lanes: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin, in the event loop that runs."""
        self._lanes = [asyncio.create_task(self._carry()) for _ in range(self._bounds.lanes)]

    async def put(self, received: Received) -> None:
        """Return when it is durable. Raises ``NotDurableError``, at once if the queue is full."""
        if self._closed:
            raise NotDurableError("the collector stops", 1)
        full = len(self._queue) >= self._bounds.queue
        if full or self._bytes + received.weight > self._bounds.queue_bytes:
            raise NotDurableError("too many reports wait to be written down", 1)
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(received, durable))
        self._bytes += received.weight
        self._wake.set()
        await durable

    def narrow(self, batch_bytes: int) -> None:
        """Make batches no larger than this from now on; a body that is larger goes by itself."""
        self._bounds = replace(self._bounds, batch_bytes=min(batch_bytes, self._bounds.batch_bytes))

    async def close(self) -> None:
        """Take nothing more in, and end what is in the queue one way or the other."""
        self._closed = True
        self._wake.set()
        await asyncio.gather(*self._lanes)

    async def _carry(self) -> None:
        while True:
            if not self._queue:
                if self._closed:
                    return
                self._wake.clear()
                await self._wake.wait()
            # After each batch, too: the clients that it answered are sending their next reports.
            if len(self._queue) < self._bounds.batch and not self._closed:
                await asyncio.sleep(_LINGER)
            if batch := self._next():
                await self._deliver(batch)

    def _next(self) -> list[_Waiting]:
        """What goes in one batch. Those who hung up meanwhile are in it: they were taken in."""
        batch: list[_Waiting] = []
        size = 0
        while self._queue and len(batch) < self._bounds.batch:
            size += self._queue[0].received.weight
            if batch and size > self._bounds.batch_bytes:
                break
            batch.append(self._queue.popleft())
            self._bytes -= batch[-1].received.weight
        return batch

    async def _deliver(self, batch: list[_Waiting]) -> None:
        failure: NotDurableError | None = None
        try:
            await self._commit([each.received for each in batch])
        except NotDurableError as exc:
            failure = exc
        except Exception:  # noqa: BLE001  # whoever waits must be answered, whatever went wrong
            _log.exception("a batch of %d bodies was not written down", len(batch))
            failure = NotDurableError("the collector made a mistake")
        for each in batch:
            if each.durable.done():
                continue  # who asked hung up
            if failure is None:
                each.durable.set_result(None)
            else:
                each.durable.set_exception(failure)
