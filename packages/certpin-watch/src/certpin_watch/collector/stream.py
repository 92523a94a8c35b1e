"""The stream of NATS JetStream that reports wait in, and connections to its server."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import nats.errors
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import APIError, BadRequestError, NotFoundError

from certpin.x509 import printable
from certpin_watch import broker
from certpin_watch.nats_address import nats_address

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext

    from certpin_watch.collector.settings import Settings
    from certpin_watch.secret import Secret

CONSUMER = "certpin-writer"


class DropsReportsError(nats.errors.Error):
    """The stream is there, and somebody made it so that it loses what was promised."""

    def __str__(self) -> str:
        return (
            "the stream of the reports would lose some: it has to be a work queue on files, "
            "without max_age, and with discard new"
        )


class StoresNothingError(nats.errors.Error):
    """The stream is there, and does not say that it has stored what is sent."""

    def __str__(self) -> str:
        return "it does not store what is sent: is its disk full?"


# Errors of a server that is away, full, or has no JetStream, and of a connection that breaks.
FAILURES = (nats.errors.Error, OSError, asyncio.TimeoutError)
MOST_BYTES = 512 * 1024  # of one message; a NATS server takes 1 MB by default (max_payload)

_CONNECT = 2  # seconds for an attempt to connect
_AGAIN = 0.5  # seconds until the next
_PING = 5  # seconds between two pings: a connection that was cut is noticed after two
_DUPLICATES = 120.0  # seconds in which a message that is sent twice is stored once
_ACK_WAIT = 20.0  # seconds that a writer has for a batch before another one gets it
_ACK_PENDING = 1000

_log = logging.getLogger("certpin.watch.collector")


def subject(settings: Settings) -> str:
    """What reports are published under."""
    return f"{settings.stream}.batch"


async def connect(address: Secret, name: str) -> Client:
    """A connection that comes back by itself. Raises one of ``FAILURES``.

    What is published while it is broken fails at once, and is not held back: whoever sent the
    report still has it.
    """
    return await broker.connect(
        nats_address(address),
        name=name,
        connect_timeout=_CONNECT,
        reconnect_time_wait=_AGAIN,
        max_reconnect_attempts=-1,
        ping_interval=_PING,
        max_outstanding_pings=2,
        error_cb=_tell,
    )


def why(exc: BaseException) -> str:
    """What a failure is, for a log: JetStream's own words, or the kind of error alone.

    The text of other errors may have the server's address in it, and a password in that.
    """
    if isinstance(exc, DropsReportsError | StoresNothingError):
        return str(exc)
    if isinstance(exc, APIError) and exc.description:
        return printable(exc.description[:200])
    return type(exc).__name__


async def _tell(exc: Exception) -> None:
    _log.debug("NATS: %s", why(exc))


async def ensure_stream(stream: JetStreamContext, settings: Settings) -> None:
    """Make the stream where there is none; one that is there stays as its operator made it.

    A message stays until a writer has counted it, however long that takes. A full stream refuses
    new ones (``discard new``): it must not drop what was promised to be counted. One that would is
    refused: raises ``DropsReportsError``.
    """
    try:
        found = await stream.stream_info(settings.stream)
    except NotFoundError:
        await _add(stream, settings)
    else:
        _refuse_what_drops(found.config)


def _refuse_what_drops(config: StreamConfig) -> None:
    """A limit drops the oldest where it may, and an age whatever is not counted in time."""
    limits = (config.max_bytes, config.max_msgs, config.max_msgs_per_subject)
    limited = any(each is not None and each > 0 for each in limits)
    if (
        config.max_age
        or (limited and config.discard != DiscardPolicy.NEW)
        or config.storage != StorageType.FILE
        or config.retention != RetentionPolicy.WORK_QUEUE
    ):
        raise DropsReportsError


async def _add(stream: JetStreamContext, settings: Settings) -> None:
    config = StreamConfig(
        name=settings.stream,
        description="reports that certpin's collector took in, until its writer has counted them",
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
    except BadRequestError:  # another process made it in the same moment
        await stream.stream_info(settings.stream)


def consumer(settings: Settings) -> ConsumerConfig:
    """The place of the writers in the stream: one for all of them, and it outlives them."""
    return ConsumerConfig(
        durable_name=CONSUMER,
        filter_subject=subject(settings),
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=_ACK_WAIT,
        max_deliver=-1,
        max_ack_pending=_ACK_PENDING,
    )
