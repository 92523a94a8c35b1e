"""The writer: takes reports out of the stream and counts them in the store.

A message is acknowledged once its reports are committed. Whatever ends before that (a writer, the
database, the network) has the message delivered again, and a report that was counted already is a
repeat then. Several writers share the work.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from certpin.errors import FormatError
from certpin_watch.collector.commit import Committer
from certpin_watch.collector.intake import require_nats
from certpin_watch.collector.received import unpack_batch
from certpin_watch.collector.refusals import NotDurableError
from certpin_watch.collector.waiting import forget, keep_looking
from certpin_watch.counters import COUNTERS

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

    from certpin_watch.collector.received import Received
    from certpin_watch.health import ProcessHealth
    from certpin_watch.snapshot import Watch

_MESSAGES = 20  # of up to 100 bodies, in one transaction
_WAIT = 0.5  # seconds without a message until the stop is looked at again
_LATER = 60.0  # seconds until a message is tried again that the store refused
_AGAIN = 1.0  # seconds until the next attempt where something is away

_log = logging.getLogger("certpin.watch.collector")


async def run(watch: Watch, stop: asyncio.Event, health: ProcessHealth | None = None) -> None:
    """Write until ``stop`` is set. Without a NATS server in the settings there is nothing to do.

    ``health`` is told once it has its place in the stream: what it needs is there then.
    Raises ``ConfigError`` where the client of NATS is not installed.
    """
    if watch.settings.nats is None:
        await asyncio.to_thread(forget, watch.store)
        return
    require_nats()
    thread = ThreadPoolExecutor(1, "certpin-writer")
    try:
        await _Writer(watch, stop, thread, health).run()
    finally:
        thread.shutdown()


class _Writer:
    def __init__(
        self,
        watch: Watch,
        stop: asyncio.Event,
        thread: ThreadPoolExecutor,
        health: ProcessHealth | None,
    ) -> None:
        self._watch = watch
        self._stop = stop
        self._thread = thread
        self._health = health
        self._committer = Committer(watch, drop=True)
        self._told = ""

    async def run(self) -> None:
        """Connect as often as needed."""
        from certpin_watch.collector.stream import FAILURES, why

        while not self._stop.is_set():
            try:
                await self._work()
            except FAILURES as exc:
                if (said := why(exc)) != self._told:
                    self._told = said
                    _log.warning("the writer waits for NATS: %s", said)
                await self._pause()

    async def _work(self) -> None:
        from certpin_watch.collector.stream import DropsReportsError, connect, ensure_stream

        settings = self._watch.settings
        assert settings.nats is not None  # noqa: S101  # run() looked
        client = await self._unless_stopped(connect(settings.nats, "certpin writer"))
        if client is None:
            return
        try:
            stream = client.jetstream()
            with contextlib.suppress(DropsReportsError):  # what is in it is counted all the same
                await ensure_stream(stream, settings.collector)
            looking = asyncio.create_task(keep_looking(self._watch, client))
            try:
                await self._drain(client, stream)
            finally:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)
        finally:
            await client.close()

    async def _unless_stopped(self, connecting: Coroutine[Any, Any, Client]) -> Client | None:
        """A server that is away is dialled for ever: the stop ends that."""
        dial = asyncio.create_task(connecting)
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait({dial, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if dial.done():
            return dial.result()
        dial.cancel()
        await asyncio.gather(dial, return_exceptions=True)
        return None

    async def _drain(self, client: Client, stream: JetStreamContext) -> None:
        from certpin_watch.broker import Place
        from certpin_watch.collector.stream import consumer

        settings = self._watch.settings.collector
        place = await Place.take(client, stream, settings.stream, consumer(settings))
        self._told = ""
        if self._health:
            self._health.needs["nats"] = lambda: client.is_connected
        while not self._stop.is_set():
            await self._write(await place.fetch(_MESSAGES, _WAIT))
            if not client.is_connected:
                await self._pause()

    async def _write(self, messages: Sequence[Msg]) -> None:
        good: list[tuple[Msg, list[Received]]] = []
        now = int(self._watch.clock().timestamp())
        for message in messages:
            try:
                good.append((message, unpack_batch(message.data, now)))
            except FormatError:
                _log.error("a message of the stream is none of the collector's: it is given up")
                COUNTERS.reported("poisoned", 1)
                await message.term()
        await self._count(good)

    async def _count(self, good: Sequence[tuple[Msg, list[Received]]]) -> None:
        """Count it, and say so. What the store refuses stands in nobody's way: it comes again."""
        if not good:
            return
        try:
            done = await self._commit([each for _, batch in good for each in batch])
        except NotDurableError:
            if len(good) == 1:
                _log.error(
                    "the store refuses a message: it stays in the stream, and is tried again"
                )
                await good[0][0].nak(_LATER)
                return
            for each in good:
                await self._count([each])
            return
        for message, _ in good if done else ():
            await message.ack()

    async def _commit(self, batch: Sequence[Received]) -> bool:
        """Whether it is committed. The store is waited for; messages come again meanwhile.

        Raises ``NotDurableError`` where the store is there, and refuses it.
        """
        loop = asyncio.get_running_loop()
        while True:
            try:
                await loop.run_in_executor(self._thread, self._committer.commit, batch)
            except NotDurableError as exc:
                if exc.refused:
                    raise
                if self._stop.is_set():
                    return False
                await self._pause()
            else:
                return True

    async def _pause(self) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stop.wait(), _AGAIN)
