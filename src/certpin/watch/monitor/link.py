"""The way to workers: two streams of JetStream, one for jobs and one for results.

    certpin.probe.VANTAGE     jobs; a job that nobody took within an interval is gone
    certpin.seen.VANTAGE      results, each until it is in the store

The services make the streams, and the places in them. A worker asks at its own place alone, and
has its answers sent to an inbox of its own, so that it can be given no right but these.

Both are work queues: a message goes to one taker, and stays until that one says that it is done.
A job has an identity, so that one that is published twice is there once. A result has none that the
broker knows: one vantage could publish under the identity of another's, which would then be dropped
as a repeat. Repeats are left out where results are written down.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from nats.errors import Error as NatsError
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import BadRequestError, NotFoundError

from certpin.watch import broker
from certpin.watch.broker import LostPlaceError, Place
from certpin.watch.collector.stream import why
from certpin.watch.monitor.wire import MOST_BYTES
from certpin.watch.nats_address import nats_address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from typing import Any

    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

    from certpin.watch.monitor.settings import Settings
    from certpin.watch.secret import Secret

log = logging.getLogger("certpin.watch.monitor")

JOBS, RESULTS = "CERTPIN_PROBES", "CERTPIN_SEEN"
_MOST_STORED = 256 * 1024 * 1024  # bytes in each stream; the oldest go first
_RESULTS_KEPT = 7 * 86400  # seconds, for a store that is away
JOB_PATIENCE = 60.0  # seconds after which a job that nobody reported on goes to another worker
RESULT_PATIENCE = 60.0  # seconds in which a result has to be in the store
_AGAIN = 2.0  # seconds between two attempts
_PATIENCE = 5.0  # seconds for an answer of the broker

# What the client of NATS raises where the broker is away, slow or refuses.
TROUBLE = (NatsError, OSError, TimeoutError, asyncio.TimeoutError)
_WORDS = {  # by the name of what was raised
    "AuthorizationError": "it does not take this user and password",
    "ConnectionRefusedError": "nobody listens at its address",
    "LostPlaceError": "its streams are gone, and are made anew",
    "SSLCertVerificationError": "its certificate does not verify",
    "TimeoutError": "it does not answer",
    "gaierror": "nobody knows its name",
}


def job_subject(vantage: str) -> str:
    """Where the jobs of a vantage wait."""
    return f"certpin.probe.{vantage}"


def inbox_of(vantage: str) -> str:
    """Where answers to the workers of a vantage come to."""
    return f"_INBOX.certpin-{vantage}"


def result_subject(vantage: str) -> str:
    """Where the results of a vantage wait."""
    return f"certpin.seen.{vantage}"


class Link(NamedTuple):
    """A connection, and JetStream over it."""

    client: Client
    jetstream: JetStreamContext


@asynccontextmanager
async def linked(
    url: Secret, name: str, stop: asyncio.Event, inbox: str = ""
) -> AsyncIterator[Link]:
    """A connection that comes back by itself. Its address is not told.

    ``inbox`` is where answers come to, if it has to be a place that nobody else may read.
    Raises one of ``TROUBLE`` where there is none yet: try again, unless ``stop`` is set by then.
    """
    connection = await _connected(url, name, stop, {"inbox_prefix": inbox} if inbox else {})
    try:
        yield Link(connection, connection.jetstream(timeout=_PATIENCE))
    finally:
        with suppress(*TROUBLE):  # acknowledgements that are not sent yet: then they come again
            await connection.flush(1)
        await connection.close()


async def _connected(
    url: Secret, name: str, stop: asyncio.Event, options: Mapping[str, Any]
) -> Client:
    """The client of NATS tries for ever: nobody waits for that who was told to stop."""
    connecting = asyncio.create_task(
        broker.connect(
            nats_address(url),
            name=name,
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            error_cb=_told,
            **options,
        )
    )
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait(
        {connecting, stopping}, timeout=_PATIENCE, return_when=asyncio.FIRST_COMPLETED
    )
    stopping.cancel()
    if not connecting.done():
        connecting.cancel()
        raise TimeoutError
    return connecting.result()


async def make_streams(jetstream: JetStreamContext, settings: Settings) -> None:
    """Make the streams, or change them to what they have to be."""
    interval = settings.interval.total_seconds()
    for name, subject, kept in (
        (JOBS, job_subject("*"), interval),
        (RESULTS, result_subject("*"), _RESULTS_KEPT),
    ):
        wanted = StreamConfig(
            name=name,
            subjects=[subject],
            retention=RetentionPolicy.WORK_QUEUE,
            storage=StorageType.FILE,
            max_age=kept,
            max_bytes=_MOST_STORED,
            max_msg_size=MOST_BYTES,
            duplicate_window=min(interval, kept),
        )
        try:
            await jetstream.add_stream(wanted)
        except BadRequestError:  # it is there, with other settings
            there = (await jetstream.stream_info(name)).config
            # How many copies there are, and where, is its operator's to say.
            own = {"num_replicas": there.num_replicas, "placement": there.placement}
            await jetstream.update_stream(wanted.evolve(**own))


async def make_places(jetstream: JetStreamContext, vantages: Iterable[str]) -> None:
    """Make the places at which workers take jobs, so that none of them needs the right to.

    Whoever may make a consumer may have what waits delivered wherever he likes.
    """
    for vantage in sorted(set(vantages)):
        config = place_of_jobs(vantage)
        try:
            await jetstream.consumer_info(JOBS, str(config.durable_name))
        except NotFoundError:
            await jetstream.add_consumer(JOBS, config)


def place_of_jobs(vantage: str) -> ConsumerConfig:
    """Where the workers of a vantage take their jobs."""
    return _place(f"vantage-{vantage}", job_subject(vantage), JOB_PATIENCE)


def place_of_results() -> ConsumerConfig:
    """Where the services take results."""
    return _place("store", result_subject("*"), RESULT_PATIENCE)


def _place(name: str, subject: str, patience: float) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=name,
        filter_subject=subject,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=patience,
        max_ack_pending=8192,
    )


async def taker(link: Link, stream: str, config: ConsumerConfig) -> Place:
    """A place that takes messages in turns with others of its name.

    What is not done ``ack_wait`` seconds after it was taken goes to another. Raises
    ``NotFoundError`` where there is no such stream.
    """
    return await Place.take(link.client, link.jetstream, stream, config)


async def take(place: Place, most: int) -> list[Msg]:
    """Some messages, or none where there are none now. Waits a little where nobody can tell.

    Raises ``LostPlaceError`` where the stream is gone: to wait for it would be for ever.
    """
    try:
        return await place.fetch(most, 1.0)
    except LostPlaceError:
        raise
    except TROUBLE as exc:
        log.info("no messages from the NATS server: %s", in_words(exc))
        await asyncio.sleep(_AGAIN)
        return []


async def publish(
    jetstream: JetStreamContext, subject: str, payload: bytes, identity: str = ""
) -> bool:
    """Publish a message; whether it is durable, or was before."""
    headers = {"Nats-Msg-Id": identity} if identity else None
    try:
        await jetstream.publish(subject, payload, timeout=_PATIENCE, headers=headers)
    except TROUBLE as exc:
        log.warning("a message was not published: %s", type(exc).__name__)
        return False
    return True


async def pause(stop: asyncio.Event) -> None:
    """Wait before another attempt, or until ``stop`` is set."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), _AGAIN)


def in_words(exc: Exception) -> str:
    """What is wrong with the broker, without what the client says: it may name an address."""
    return _WORDS.get(type(exc).__name__) or why(exc)


async def _told(exc: Exception) -> None:
    log.info("trouble with the NATS server: %s", in_words(exc))
