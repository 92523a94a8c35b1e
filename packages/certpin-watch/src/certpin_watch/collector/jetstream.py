"""NATS JetStream: connections, the stream in which reports wait, and the intake that fills it.

nats-py does two things in an unsafe way, which this module replaces:

- With a ``tls://`` server that does not ask for TLS, it sends clear text, password included.
- It treats the header ``Status`` of a stored message as a status of the server. So a NATS client
  with the right to publish could write messages that are never delivered, acknowledged or deleted.

Reports are durable when JetStream has stored them. Concurrent reports are sent in one message, and
several messages at the same time. The writer (the process that reads the stream) counts a report
once even if it is sent again: it recognises the report by its identity, a digest. The
``Nats-Msg-Id`` of a message is a digest of these identities. By this ID, JetStream recognises a
message that is published twice, and stores it once.

If the server did not store a message, reports are refused until the server has stored an empty test
message. It is not enough that the server describes its stream: a server with a full disk does that,
too, but does not confirm messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from hashlib import sha256
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import BadRequestError, NotFoundError

from certpin.errors import ConfigError, StoreError
from certpin.support.text import counted
from certpin_watch.collector.decode import pack_batch
from certpin_watch.collector.intake import Batcher, BatchLimits, NotDurableError
from certpin_watch.collector.outage import (
    ConsumerGoneError,
    NotStoringError,
    Outage,
    UnsafeStreamError,
    ignore_eof_warning,
)
from certpin_watch.context import end_task
from certpin_watch.settings import nats_address, nats_authorities
from certpin_watch.store.reports import recorded_messages

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nats.aio.subscription import Subscription
    from nats.js import JetStreamContext

    from certpin_watch.collector.decode import ReceivedBody
    from certpin_watch.context import Watch
    from certpin_watch.secret import Secret
    from certpin_watch.settings import CollectorSettings

_log = logging.getLogger("certpin.watch.collector")

CONSUMER = "certpin-writer"

# Errors of a server that is away, full, or has no JetStream, and of a connection that breaks.
FAILURES = (NatsError, OSError, asyncio.TimeoutError)

_CONNECT = 2  # seconds for an attempt to connect
_RECONNECT = 0.5  # seconds until the next
_PING = 5  # seconds between two pings: a lost connection is noticed after two
_REPLY = 2.0  # seconds for an immediate answer of the server
_NO_MESSAGES = frozenset({"404", "408"})  # statuses: no messages, or none in time

_DUPLICATES = 120.0  # seconds in which a message that is sent twice is stored once
_ACK_WAIT = 20.0  # seconds that a writer has for a batch before another writer gets it
_ACK_PENDING = 1000

_LANES = 3  # messages that are sent at the same time: more of them would be smaller
_MAX_BATCH = 100  # bodies in one message
_MAX_BYTES = 512 * 1024  # of one message; a NATS server accepts 1 MB by default (max_payload)
_PUBLISH = 5.0  # seconds in which JetStream must have stored a message
_RETRY = 1.0  # seconds until the next attempt to find a server and a stream


class TlsClient(Client):
    """A NATS client that always uses TLS if the address begins with ``tls://``.

    nats-py itself uses TLS only if the server's INFO message requires it. That message comes in
    clear text before TLS, so an attacker on the path can change it.
    """

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        server = self._current_server
        if initial_connection and server is not None and server.uri.scheme == "tls":
            info["tls_required"] = True
        await super()._process_info(info, initial_connection)


async def connect_client(address: str, **options: Any) -> Client:
    """Connect to a NATS server, and use TLS if the address begins with ``tls://``.

    ``options`` are keyword arguments of ``nats.connect``.

    Raises:
        ConfigError: with this version of nats-py, TLS can't be enforced (see ``TlsClient``).
    """
    if not iscoroutinefunction(getattr(Client, "_process_info", None)):
        raise ConfigError(
            "certpin can't enforce TLS with this version of nats-py",
            key="nats",
            fix="pip install 'certpin[cluster]'",
        )
    logging.getLogger("asyncio").addFilter(ignore_eof_warning)  # has no effect if repeated
    client = TlsClient()
    await client.connect(address, **options)
    return client


async def connect(
    address: Secret, name: str, outage: Outage, authorities: Path | None = None
) -> Client:
    """Connect to a NATS server, and return the client. This is tried again until it succeeds.

    If the connection breaks later, the client connects again by itself. A message that is published
    meanwhile fails at once, because the sender of the report still has the report, and can send it
    again.

    Args:
        address: the URL of the server, which may contain a password.
        name: a name for this connection, which the server shows.
        outage: records why an attempt failed, or why the connection broke.
        authorities: a PEM file with the only authorities that are trusted for the server; None for
            those of the platform.
    """
    context = nats_authorities(authorities)
    return await connect_client(
        nats_address(address),
        name=name,
        connect_timeout=_CONNECT,
        reconnect_time_wait=_RECONNECT,
        max_reconnect_attempts=-1,
        ping_interval=_PING,
        max_outstanding_pings=2,
        error_cb=outage.on_error,
        reconnected_cb=outage.on_reconnected,
        **({} if context is None else {"tls": context}),
    )


class PullConsumer:
    """Fetches messages from a stream, through a durable consumer. Only one task may use it.

    The server remembers a durable consumer, and which messages were acknowledged.

    Args:
        client: the connection to the server.
        ask: the NATS subject to which requests for messages are published.
        inbox: the prefix of the subjects to which the server sends its responses.
        answers: the subscription to all subjects that begin with ``inbox``.
    """

    def __init__(self, client: Client, ask: str, inbox: str, answers: Subscription) -> None:
        self._client = client
        self._ask = ask
        self._inbox = inbox
        self._answers = answers
        self._number = 0

    @classmethod
    async def open(
        cls, client: Client, jetstream: JetStreamContext, stream: str, config: ConsumerConfig
    ) -> PullConsumer:
        """Open the consumer that ``config`` describes; create it if it is missing.

        Args:
            client: the connection to the server.
            jetstream: the JetStream interface of this connection.
            stream: the name of the stream.
            config: the configuration of the consumer, with its durable name.

        Raises:
            NotFoundError: the stream does not exist.
        """
        name = str(config.durable_name)
        try:
            await jetstream.consumer_info(stream, name)
        except NotFoundError:
            await jetstream.add_consumer(stream, config)
        inbox = client.new_inbox()
        answers = await client.subscribe(f"{inbox}.*")
        return cls(client, f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}", inbox, answers)

    async def fetch(self, max_messages: int, seconds: float) -> list[Msg]:
        """Return the available messages of the stream; wait up to ``seconds`` for the first one.

        At most ``max_messages`` are returned. The list is empty if no message arrives in this time,
        or the connection is broken.

        Raises:
            ConsumerGoneError: the consumer or its stream was deleted.
            Error: a nats-py error, after the connection was closed.
        """
        if not self._client.is_connected:  # it reconnects by itself
            await asyncio.sleep(seconds)
            return []
        found = await self._pull({"batch": max_messages, "no_wait": True}, max_messages, _REPLY)
        if found is None:
            found = await self._pull({"batch": 1, "expires": int(seconds * 1e9)}, 1, seconds + 1)
        return found or []

    async def _pull(
        self, request: dict[str, Any], max_messages: int, seconds: float
    ) -> list[Msg] | None:
        """Request messages, and return them, at most ``max_messages``.

        Return None if the server has no messages, or doesn't answer in ``seconds``. ``request`` is
        the JSON of the request.
        """
        self._number += 1
        reply = f"{self._inbox}.{self._number}"
        await self._client.publish(self._ask, json.dumps(request).encode(), reply)
        until, found = time.monotonic() + seconds, list[Msg]()
        while len(found) < max_messages:
            try:
                message = await self._answers.next_msg(max(0.001, until - time.monotonic()))
            except TimeoutError:  # the connection broke: its messages are delivered again
                break
            # A message has the subject under which it was published. Only a status of the server
            # has the subject of the request, and no stream has such subjects.
            if not message.subject.startswith(self._inbox):
                found.append(message)
            elif message.subject == reply:
                _check_status(message)
                break
        return found or None


def _check_status(message: Msg) -> None:
    """Check that a status message of the NATS server only means that no messages are available.

    Raises:
        ConsumerGoneError: it has another status. Then the consumer does not exist any more.
    """
    status = (message.headers or {}).get("Status", "")
    if status not in _NO_MESSAGES:
        raise ConsumerGoneError(f"status {status[:3]}")


def subject(settings: CollectorSettings) -> str:
    """Return the NATS subject under which batches of reports are published."""
    return f"{settings.stream}.batch"


def consumer_config(settings: CollectorSettings) -> ConsumerConfig:
    """Return the configuration of the NATS consumer through which all writers read the stream.

    It is a durable consumer: the server remembers it, and which messages were acknowledged.
    """
    return ConsumerConfig(
        durable_name=CONSUMER,
        filter_subject=subject(settings),
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=_ACK_WAIT,
        max_deliver=-1,
        max_ack_pending=_ACK_PENDING,
    )


async def ensure_stream(stream: JetStreamContext, settings: CollectorSettings) -> bool:
    """Create the NATS stream of reports if it is missing. An existing one is only checked.

    A message stays in the stream until a writer has counted it, however long that takes. A full
    stream refuses new messages (``discard new``), because it must not drop reports that were
    accepted.

    Returns:
        True if the stream was missing.

    Raises:
        UnsafeStreamError: the existing stream is unsafe (see ``_check_stream``).
    """
    try:
        found = await stream.stream_info(settings.stream)
    except NotFoundError:
        await _add_stream(stream, settings)
        return True
    _check_stream(found.config)
    return False


async def open_stream(stream: JetStreamContext, watch: Watch) -> None:
    """Check the NATS stream in which reports wait to be counted; create it if it is missing.

    If the stream existed before and was deleted, this is logged.

    Raises:
        UnsafeStreamError: the existing stream could drop reports.
    """
    if await ensure_stream(stream, watch.settings.collector):
        await asyncio.to_thread(_warn_of_lost_stream, watch)


def _warn_of_lost_stream(watch: Watch) -> None:
    """Log that messages are lost, if the NATS stream of reports existed before.

    Call this after a missing stream was created. If a writer has recorded a queue of this stream in
    the store, the stream existed before, so it was deleted with its messages.
    """
    name = watch.settings.collector.stream
    try:
        with watch.store.read() as connection:
            waited = recorded_messages(connection, name)
    except StoreError:
        return
    if waited is not None:
        _log.warning(
            "the stream %s was deleted, and is created again: reports that were accepted and not "
            "counted yet are lost (when a writer last looked, %s waited)\n"
            "  fix: find out why; keep the store_dir of NATS on a disk that persists",
            *(name, counted(waited, "message")),
        )


def _check_stream(config: StreamConfig) -> None:
    """Check that a NATS stream keeps each message until a writer has counted it.

    ``config`` is its configuration. A stream is refused if one of these is true:

    - It drops its oldest messages when it is full (``discard old``).
    - It drops messages that wait too long (``max_age``).
    - It is in memory, and loses its messages when the server stops.
    - It keeps messages after they were acknowledged, so that it becomes full.

    Raises:
        UnsafeStreamError: the stream is refused.
    """
    limits = (config.max_bytes, config.max_msgs, config.max_msgs_per_subject)
    limited = any(limit is not None and limit > 0 for limit in limits)
    if (
        config.max_age
        or (limited and config.discard != DiscardPolicy.NEW)
        or config.storage != StorageType.FILE
        or config.retention != RetentionPolicy.WORK_QUEUE
    ):
        raise UnsafeStreamError


async def _add_stream(stream: JetStreamContext, settings: CollectorSettings) -> None:
    config = StreamConfig(
        name=settings.stream,
        description="reports that certpin's collector accepted, until a writer has counted them",
        subjects=[subject(settings)],
        retention=RetentionPolicy.WORK_QUEUE,
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        max_bytes=settings.stream_bytes,
        num_replicas=settings.stream_replicas,
        duplicate_window=_DUPLICATES,
    )
    try:
        await stream.add_stream(config)
    except BadRequestError:  # another process created it at the same time
        await stream.stream_info(settings.stream)


class JetStreamIntake:
    """The intake that publishes reports to JetStream, and waits until JetStream has stored them."""

    def __init__(self, watch: Watch) -> None:
        if watch.settings.nats is None:
            raise ValueError("the settings name no NATS server")
        self._watch = watch
        self._address = watch.settings.nats
        self._authorities = watch.settings.nats_ca
        self._settings = settings = watch.settings.collector
        limits = BatchLimits(settings.queue, settings.queue_bytes, _MAX_BATCH, _MAX_BYTES, _LANES)
        self._batcher = Batcher(self._publish, limits)
        self._client: Client | None = None
        self._stream: JetStreamContext | None = None
        self._missing = asyncio.Event()
        self._outage = Outage(self._address, "reports are refused")
        self._doubted = False  # a message was not stored, and none has been stored since
        self._connector: asyncio.Task[None] | None = None

    async def accept(self, body: ReceivedBody) -> None:
        """Queue a request body. Return when JetStream has stored it.

        Raises:
            NotDurableError: the body is not stored, or it is unknown whether it is.
        """
        await self._batcher.put(body)

    def is_ready(self) -> bool:
        """Return True if reports can be published, as far as is known.

        The connection to the NATS server must be open. And when the stream was last used, it must
        have existed and stored the message.
        """
        return self._stream is not None and not self._missing.is_set() and self._is_connected()

    @property
    def trouble(self) -> str:
        """Why the intake is not ready; empty if it is ready, or the reason is not known yet."""
        return "" if self.is_ready() else self._outage.reason

    def _is_connected(self) -> bool:
        return self._client is not None and self._client.is_connected

    def start(self) -> None:
        """Start the tasks that connect to the NATS server and publish batches of request bodies.

        The tasks run in the running event loop.
        """
        self._missing.set()
        self._connector = asyncio.create_task(self._keep_connected())
        self._batcher.start()

    async def close(self) -> None:
        """Publish the queued request bodies, stop the tasks and close the connection."""
        await self._batcher.close()
        if self._connector is not None:
            await end_task(self._connector)
        if self._client is not None:
            with contextlib.suppress(*FAILURES):
                await self._client.close()

    async def _keep_connected(self) -> None:
        """Connect to the NATS server and check the stream; repeat this after each failure.

        The coroutine never returns.
        """
        while True:
            await self._missing.wait()
            try:
                await self._connect()
            except Exception as exc:  # noqa: BLE001  # this task is the only one that tries again
                self._outage.record(exc)
                await asyncio.sleep(_RETRY)
            else:
                self._missing.clear()
                self._outage.end()

    async def _connect(self) -> None:
        if self._client is None:
            self._client = await connect(
                self._address, "certpin collector", self._outage, self._authorities
            )
        # A packed body with its sample has less than twice the bytes of the body.
        self._batcher.limit_batches(self._client.max_payload // 2)
        stream = self._client.jetstream(timeout=_PUBLISH)
        await open_stream(stream, self._watch)
        if self._doubted:
            await self._check_storing(stream)
        self._stream = stream

    async def _check_storing(self, stream: JetStreamContext) -> None:
        """Publish an empty message, to test that the stream stores messages.

        Raises:
            NotStoringError: the server did not confirm the message in time.
        """
        name, empty = self._settings.stream, pack_batch([])
        try:
            await stream.publish(subject(self._settings), empty, timeout=_PUBLISH, stream=name)
        except TimeoutError as exc:
            raise NotStoringError from exc
        self._doubted = False

    async def _publish(self, batch: Sequence[ReceivedBody]) -> None:
        if self._stream is None or self._missing.is_set() or not self._is_connected():
            raise NotDurableError("the stream of the reports is unavailable or full")
        try:
            await self._stream.publish(
                subject(self._settings),
                pack_batch(batch),
                timeout=_PUBLISH,
                stream=self._settings.stream,
                headers={"Nats-Msg-Id": message_id(batch)},
            )
        except FAILURES as exc:
            self._doubted = True
            self._missing.set()  # the stream may have been lost with a disk
            raise NotDurableError("the stream of the reports is unavailable or full") from exc


def message_id(batch: Sequence[ReceivedBody]) -> str:
    """Return the ``Nats-Msg-Id`` of a batch, by which JetStream recognises a repeated message.

    The identity of a report is a digest that recognises the report. If the batch has one report,
    the result is its identity, else the digest of the identities of all reports.
    """
    identities = [record.identity for body in batch for record in body.records]
    if len(identities) == 1:
        return identities[0].hex()
    return sha256(b"".join(identities)).hexdigest()
