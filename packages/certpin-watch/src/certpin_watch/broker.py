"""NATS: connections that keep to TLS, and messages that are pulled.

Neither is left to nats-py. It speaks in clear text with a ``tls://`` server that does not ask for
TLS, password and all; and it takes the header ``Status`` of a stored message for the server's own
word, so that whoever may publish could write messages that nobody ever sees, acknowledges or gets
rid of.
"""

from __future__ import annotations

import asyncio
import json
import time
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from certpin.errors import ConfigError

if TYPE_CHECKING:
    from nats.aio.subscription import Subscription
    from nats.js import JetStreamContext
    from nats.js.api import ConsumerConfig

_PATIENCE = 2.0  # seconds for a word of the server where nothing is to be waited for
_OVER = frozenset({"404", "408"})  # no messages, or none in time


class LostPlaceError(NatsError):
    """The stream, or the place in it, is not there any more."""


class TlsClient(Client):
    """A client that speaks TLS wherever its address says ``tls://``, whatever the server says.

    INFO comes in clear text, before TLS: whoever is on the way writes into it what he likes.
    """

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        server = self._current_server
        if initial_connection and server is not None and server.uri.scheme == "tls":
            info["tls_required"] = True
        await super()._process_info(info, initial_connection)


async def connect(address: str, **options: Any) -> Client:
    """Connect, as ``nats.connect`` does.

    Raises ``ConfigError`` where nats-py is one in which ``TlsClient`` would change nothing.
    """
    if not iscoroutinefunction(getattr(Client, "_process_info", None)):
        raise ConfigError(
            "this version of nats-py is not known to speak TLS where it has to",
            key="nats",
            fix="pip install 'certpin[cluster]'",
        )
    client = TlsClient()
    await client.connect(address, **options)
    return client


class Place:
    """A durable consumer's place in a stream. For one task at a time."""

    def __init__(self, client: Client, ask: str, inbox: str, answers: Subscription) -> None:
        self._client = client
        self._ask = ask
        self._inbox = inbox
        self._answers = answers
        self._number = 0

    @classmethod
    async def take(
        cls, client: Client, jetstream: JetStreamContext, stream: str, config: ConsumerConfig
    ) -> Place:
        """Find it, or make it where it is missing. Raises ``NotFoundError`` without the stream."""
        name = str(config.durable_name)
        try:
            await jetstream.consumer_info(stream, name)
        except NotFoundError:
            await jetstream.add_consumer(stream, config)
        inbox = client.new_inbox()
        answers = await client.subscribe(f"{inbox}.*")
        return cls(client, f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}", inbox, answers)

    async def fetch(self, most: int, seconds: float) -> list[Msg]:
        """Messages that are there; or the first that comes; or none after so many seconds.

        Raises ``LostPlaceError``, and what nats-py raises once the connection is closed.
        """
        if not self._client.is_connected:  # it comes back by itself, and nothing comes meanwhile
            await asyncio.sleep(seconds)
            return []
        found = await self._pull({"batch": most, "no_wait": True}, most, _PATIENCE)
        if found is None:
            found = await self._pull({"batch": 1, "expires": int(seconds * 1e9)}, 1, seconds + 1)
        return found or []

    async def _pull(self, wanted: dict[str, Any], most: int, seconds: float) -> list[Msg] | None:
        """Messages; ``None`` where the server says that there are none, or says nothing."""
        self._number += 1
        reply = f"{self._inbox}.{self._number}"
        await self._client.publish(self._ask, json.dumps(wanted).encode(), reply)
        until, found = time.monotonic() + seconds, list[Msg]()
        while len(found) < most:
            try:
                message = await self._answers.next_msg(max(0.001, until - time.monotonic()))
            except TimeoutError:  # the connection broke: what was on its way comes again
                break
            # A message has the subject that it was published under. Only the server's own word
            # comes under that of the question, and no stream has those subjects.
            if not message.subject.startswith(self._inbox):
                found.append(message)
            elif message.subject == reply:
                _end(message)
                break
        return found or None


def _end(word: Msg) -> None:
    """Nothing more comes of a question. Raises where nothing can come of the next one either."""
    status = (word.headers or {}).get("Status", "")
    if status not in _OVER:
        raise LostPlaceError(f"status {status[:3]}")
