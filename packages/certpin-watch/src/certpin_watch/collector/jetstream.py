"""The intake of more than one machine: reports are durable when JetStream has stored them.

The reports of a moment travel in one message, and several messages are on their way at once. A
message has the digest of its reports' identities for a name (``Nats-Msg-Id``), so that one that
is published twice is stored once. What counts is the identity of each report: the writer counts
none of them twice, whatever comes twice.

Once a message was not stored, no report is taken in until an empty one was: a server whose disk is
full still tells all about its stream, and says nothing at all to what is published.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from hashlib import sha256
from typing import TYPE_CHECKING

from certpin_watch.collector.gather import Bounds, Gatherer
from certpin_watch.collector.received import pack
from certpin_watch.collector.refusals import NotDurableError
from certpin_watch.collector.stream import (
    FAILURES,
    MOST_BYTES,
    StoresNothingError,
    connect,
    ensure_stream,
    subject,
    why,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nats.aio.client import Client
    from nats.js import JetStreamContext

    from certpin_watch.collector.received import Received
    from certpin_watch.snapshot import Watch

_LANES = 3  # messages on their way at once: more would be smaller ones
_BATCH = 100  # bodies in one message
_PATIENCE = 5.0  # seconds until JetStream must have stored a message
_AGAIN = 1.0  # seconds until the next attempt to find a server and a stream

_log = logging.getLogger("certpin.watch.collector")


class JetStreamIntake:
    """Publishes, and waits for the server's word that the message is stored."""

    def __init__(self, watch: Watch) -> None:
        if watch.settings.nats is None:
            raise ValueError("there is no NATS server in the settings")
        self._address = watch.settings.nats
        self._settings = settings = watch.settings.collector
        bounds = Bounds(settings.queue, settings.queue_bytes, _BATCH, MOST_BYTES, _LANES)
        self._gatherer = Gatherer(self._publish, bounds)
        self._client: Client | None = None
        self._stream: JetStreamContext | None = None
        self._missing = asyncio.Event()
        self._doubted = False  # something was not stored, and nothing has been since
        self._keeper: asyncio.Task[None] | None = None

    async def accept(self, received: Received) -> None:
        """Return when it is stored. Raises ``NotDurableError``."""
        await self._gatherer.put(received)

    def is_ready(self) -> bool:
        """Whether the stream was there when it was last needed, and the way to it still is."""
        return self._stream is not None and not self._missing.is_set() and self._is_connected()

    def _is_connected(self) -> bool:
        return self._client is not None and self._client.is_connected

    def start(self) -> None:
        """Begin, in the event loop that runs."""
        self._missing.set()
        self._keeper = asyncio.create_task(self._keep())
        self._gatherer.start()

    async def close(self) -> None:
        """Publish what waits, and end."""
        await self._gatherer.close()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._client is not None:
            with contextlib.suppress(*FAILURES):
                await self._client.close()

    async def _keep(self) -> None:
        """Find the server, and the stream in it, again and again until both are there."""
        told = ""
        while True:
            await self._missing.wait()
            try:
                await self._find()
            except Exception as exc:  # noqa: BLE001  # whatever it is: nobody else would look again
                if (said := why(exc)) != told:
                    told = said
                    _log.warning("reports wait, because NATS is not ready: %s", said)
                await asyncio.sleep(_AGAIN)
            else:
                self._missing.clear()
                if told:
                    told = ""
                    _log.info("the stream takes reports again")

    async def _find(self) -> None:
        if self._client is None:
            self._client = await connect(self._address, "certpin collector")
        # A body is packed into less than twice its bytes, with the sample that goes along.
        self._gatherer.narrow(self._client.max_payload // 2)
        stream = self._client.jetstream(timeout=_PATIENCE)
        await ensure_stream(stream, self._settings)
        if self._doubted:
            await self._prove(stream)
        self._stream = stream

    async def _prove(self, stream: JetStreamContext) -> None:
        """See that something is stored again: a message of no reports."""
        name = self._settings.stream
        try:
            await stream.publish(subject(self._settings), pack([]), timeout=_PATIENCE, stream=name)
        except TimeoutError as exc:
            raise StoresNothingError from exc
        self._doubted = False

    async def _publish(self, batch: Sequence[Received]) -> None:
        if self._stream is None or self._missing.is_set() or not self._is_connected():
            raise NotDurableError("the stream of the reports is away or full")
        try:
            await self._stream.publish(
                subject(self._settings),
                pack(batch),
                timeout=_PATIENCE,
                stream=self._settings.stream,
                headers={"Nats-Msg-Id": message_id(batch)},
            )
        except FAILURES as exc:
            self._doubted = True
            self._missing.set()  # the stream may have gone with a disk
            raise NotDurableError("the stream of the reports is away or full") from exc


def message_id(batch: Sequence[Received]) -> str:
    """The identity of the one report in it, or the digest of all of theirs."""
    identities = [each.identity for received in batch for each in received.told]
    if len(identities) == 1:
        return identities[0].hex()
    return sha256(b"".join(identities)).hexdigest()
