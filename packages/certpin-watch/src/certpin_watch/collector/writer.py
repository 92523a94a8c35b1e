"""The writer: takes reports from the NATS JetStream stream, and counts them in the store.

The writer acknowledges a message when its reports are counted in the store. If the writer, the
database or the network fails before that, JetStream delivers the message again, and reports that
are counted already are recognised as repeats. Several writers share the work.

Each writer also records in the store how many messages wait in the stream, for pages, API, metrics
and alerts. If the newest record is old, no writer runs. This is reported like a long queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from certpin.errors import CertpinError, FormatError
from certpin_watch.collector.decode import unpack_batch
from certpin_watch.collector.intake import Committer, NotDurableError
from certpin_watch.context import end_task, pause
from certpin_watch.counters import COUNTERS
from certpin_watch.settings import require_nats
from certpin_watch.store.reports import delete_empty_queues, record_queue

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, MutableMapping, Sequence

    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

    from certpin_watch.collector.decode import ReceivedBody
    from certpin_watch.collector.outage import Outage
    from certpin_watch.context import Watch
    from certpin_watch.store import Store

    Needs = MutableMapping[str, Callable[[], bool]]

_MESSAGES = 20  # of up to 100 bodies, in one transaction
_WAIT = 0.5  # seconds without a message until the stop is checked again
_REDELIVER = 60.0  # seconds until a message that the store rejected is delivered again
_RETRY = 1.0  # seconds until the next attempt if the server or the store is away
_RECORD = 5.0  # seconds between two records of the queue
_REPLY = 5.0  # seconds for an answer of JetStream

_log = logging.getLogger("certpin.watch.collector")


async def run(watch: Watch, stop: asyncio.Event, needs: Needs | None = None) -> None:
    """Take reports from the NATS JetStream stream and count them, until ``stop`` is set.

    The stream is the one to which the collectors publish the reports that they accept. Reports are
    counted in the store. If the settings name no NATS server, this function counts nothing. It only
    deletes the records of empty streams, and returns. Such a record
    (``store.reports.record_queue``) has the number of messages that wait in a stream. Pages would
    still show it if earlier settings named a NATS server. Records of streams with waiting messages
    stay, so that users notice that these messages were not counted.

    Args:
        watch: the settings, the store, the pin files and the clock.
        stop: an event; set it to end the writer.
        needs: maps the name of each readiness check of this process (``/readyz``) to its function.
            When the writer has opened the stream, it adds the check "nats", which returns True
            while the connection to the NATS server is open. None if the process has no such checks.

    Raises:
        ConfigError: the settings name a NATS server, but the client library of NATS is missing.
    """
    if watch.settings.nats is None:
        await asyncio.to_thread(_forget_queues, watch.store)
        return
    require_nats()
    thread = ThreadPoolExecutor(1, "certpin-writer")
    try:
        await _Writer(watch, stop, thread, needs).run()
    finally:
        thread.shutdown()


class _Writer:
    def __init__(
        self,
        watch: Watch,
        stop: asyncio.Event,
        thread: ThreadPoolExecutor,
        needs: Needs | None,
    ) -> None:
        self._watch = watch
        self._stop = stop
        self._thread = thread
        self._needs = needs
        self._committer = Committer(watch, drop=True)

    async def run(self) -> None:
        """Count the reports in the stream's messages until the writer is stopped.

        After a failure of NATS, wait and connect again, without limit.
        """
        from certpin_watch.collector.jetstream import FAILURES
        from certpin_watch.collector.outage import Outage

        assert self._watch.settings.nats is not None  # noqa: S101  # run() checked it
        outage = Outage(self._watch.settings.nats, "the writer waits")
        while not self._stop.is_set():
            try:
                await self._work(outage)
            except FAILURES as exc:
                outage.record(exc)
                await pause(self._stop, _RETRY)

    async def _work(self, outage: Outage) -> None:
        from certpin_watch.collector.jetstream import connect, open_stream
        from certpin_watch.collector.outage import UnsafeStreamError

        settings = self._watch.settings
        assert settings.nats is not None  # noqa: S101  # run() checked it
        client = await self._unless_stopped(
            connect(settings.nats, "certpin writer", outage, settings.nats_ca)
        )
        if client is None:
            return
        try:
            stream = client.jetstream()
            with contextlib.suppress(UnsafeStreamError):  # its messages are counted in any case
                await open_stream(stream, self._watch)
            recording = asyncio.create_task(keep_recording_queue(self._watch, client))
            try:
                await self._drain(client, stream, outage)
            finally:
                await end_task(recording)
        finally:
            await client.close()

    async def _unless_stopped(self, connecting: Coroutine[Any, Any, Client]) -> Client | None:
        """Wait for the connection to NATS, and return it; None if the writer is stopped first.

        ``connecting`` is the coroutine that connects. While the server is unreachable, it doesn't
        end by itself, so this function cancels it when the writer is stopped.
        """
        dial = asyncio.create_task(connecting)
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait({dial, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if dial.done():
            return dial.result()
        await end_task(dial)
        return None

    async def _drain(self, client: Client, stream: JetStreamContext, outage: Outage) -> None:
        from certpin_watch.collector.jetstream import PullConsumer, consumer_config

        settings = self._watch.settings.collector
        config = consumer_config(settings)
        consumer = await PullConsumer.open(client, stream, settings.stream, config)
        outage.end()
        if self._needs is not None:
            self._needs["nats"] = lambda: client.is_connected
        while not self._stop.is_set():
            await self._write(await consumer.fetch(_MESSAGES, _WAIT))
            if not client.is_connected:
                await pause(self._stop, _RETRY)

    async def _write(self, messages: Sequence[Msg]) -> None:
        good: list[tuple[Msg, list[ReceivedBody]]] = []
        now = int(self._watch.clock().timestamp())
        for message in messages:
            try:
                good.append((message, unpack_batch(message.data, now)))
            except FormatError:
                _log.error("a message of the stream is not from a collector, and is dropped")
                COUNTERS.reported("poisoned", 1)
                await message.term()
        await self._count(good)

    async def _count(self, good: Sequence[tuple[Msg, list[ReceivedBody]]]) -> None:
        """Count the reports of these messages in the store, then acknowledge the messages.

        If the store rejects a message, the others are still counted, and JetStream delivers the
        rejected one again later.

        Args:
            good: the messages that could be decoded, each with its request bodies.
        """
        if not good:
            return
        try:
            done = await self._commit([body for _, batch in good for body in batch])
        except NotDurableError:
            if len(good) == 1:
                _log.error(
                    "the store rejects a message: it stays in the stream, and is tried again"
                )
                await good[0][0].nak(_REDELIVER)
                return
            for pair in good:
                await self._count([pair])
            return
        for message, _ in good if done else ():
            await message.ack()

    async def _commit(self, batch: Sequence[ReceivedBody]) -> bool:
        """Count a batch of request bodies in the store.

        While the store is unavailable, the writer tries again. JetStream meanwhile delivers the
        messages again, and their reports are then recognised as repeats.

        Returns:
            True if the batch is counted; False if the writer was stopped before that.

        Raises:
            NotDurableError: the store works, and rejects the batch.
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
                await pause(self._stop, _RETRY)
            else:
                return True


class QueueState(NamedTuple):
    """How many messages in the NATS stream wait to be counted, and when the oldest arrived.

    ``oldest_at`` is in seconds since 1970; None if no message waits.
    """

    messages: int
    oldest_at: int | None


class _StreamState(msgspec.Struct):
    messages: int
    first_ts: str


class _StreamInfo(msgspec.Struct):
    """JetStream's description of a stream.

    nats-py's own type is not used, because it lacks the time of the first message.
    """

    state: _StreamState


async def keep_recording_queue(watch: Watch, client: Client) -> None:
    """Record in the store, every few seconds, how many messages wait in the NATS stream.

    Pages, API, metrics and alerts read this record. The coroutine runs until it is cancelled.
    ``client`` is the connection to the NATS server.
    """
    while True:
        try:
            state = await read_queue(client, watch.settings.collector.stream)
            await asyncio.to_thread(save_queue, watch, state)
        except Exception as exc:  # noqa: BLE001  # readers see that the record is old
            _log.debug("the queue in the stream is unknown: %s", type(exc).__name__)
        await asyncio.sleep(_RECORD)


async def read_queue(client: Client, stream: str) -> QueueState:
    """Return how many messages wait in a JetStream stream, and when the oldest one arrived.

    Raises:
        Error: an error of nats-py.
        DecodeError: JetStream's response is invalid (msgspec).
        ValueError: the time in the response is invalid.
    """
    answer = await client.request(f"$JS.API.STREAM.INFO.{stream}", timeout=_REPLY)
    return parse_queue(answer.data)


def parse_queue(data: bytes) -> QueueState:
    """Parse JetStream's response to a request for the state of a stream.

    Raises:
        DecodeError: the data is not such a response (msgspec).
        ValueError: the time in the response is invalid.
    """
    state = msgspec.json.decode(data, type=_StreamInfo).state
    if not state.messages:
        return QueueState(0, None)
    return QueueState(state.messages, int(datetime.fromisoformat(state.first_ts).timestamp()))


def save_queue(watch: Watch, state: QueueState) -> None:
    """Record in the store how many messages wait in the NATS stream.

    ``state`` has that number, and the time of the oldest message. Pages, API, metrics and alerts
    read this record.

    Raises:
        StoreError: the store is unavailable.
    """
    now = int(watch.clock().timestamp())
    with watch.store.write() as connection:
        record_queue(connection, watch.settings.collector.stream, *state, now)


def _forget_queues(store: Store) -> None:
    """Delete the records of streams in which no message waits. Log an error instead of raising it.

    Call this if the settings name no NATS server, so that pages and alerts don't show an empty
    queue that is not used any more.
    """
    try:
        with store.write() as connection:
            delete_empty_queues(connection)
    except (CertpinError, SQLAlchemyError) as exc:
        _log.debug("the record of the previous stream is not deleted: %s", type(exc).__name__)
