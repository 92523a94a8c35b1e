"""Send requests to the collector without a server, by calling its ASGI application."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from certpin_watch.collector.app import Collector, open_intake

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin_watch.collector.decode import ReceivedBody
    from certpin_watch.context import Watch


JSON = "application/json"


@dataclass
class Answer:
    """The response of the collector."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def error(self) -> str:
        """The error message in the body.

        Reading it also checks that the body is one line of JSON with an error message and its fix.
        """
        fields = json.loads(self.body)
        assert fields.keys() == {"error", "fix"}
        assert fields["fix"]
        assert self.body.count(b"\n") == 1
        return str(fields["error"])


@dataclass
class Request:
    """A request to the collector.

    ``pieces`` are the chunks of the body, in order of arrival. None among them is a client that
    disconnects.
    """

    pieces: Sequence[bytes | None]
    content_type: str = JSON
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=dict)
    client: str = "192.0.2.77"
    reads: int = 0

    def scope(self) -> dict[str, Any]:
        length = {"content-length": str(sum(map(len, filter(None, self.pieces))))}
        fields = {"host": "pins.bank.example", "content-type": self.content_type} | length
        headers = [(k.encode(), v.encode()) for k, v in (fields | self.headers).items() if v]
        scope = {"type": "http", "method": self.method, "path": "/reports", "headers": headers}
        return scope | {"client": (self.client, 4711)}

    async def receive(self) -> dict[str, Any]:
        self.reads += 1
        piece = self.pieces[self.reads - 1]
        if piece is None:
            return {"type": "http.disconnect"}
        more = self.reads < len(self.pieces)
        return {"type": "http.request", "body": piece, "more_body": more}


class RecordingIntake:
    """An intake that records the bodies that it accepts, or raises ``refuse`` for each body."""

    trouble = ""

    def __init__(self, refuse: Exception | None = None) -> None:
        self.accepted: list[ReceivedBody] = []
        self._refuse = refuse

    async def accept(self, received: ReceivedBody) -> None:
        if self._refuse is not None:
            raise self._refuse
        self.accepted.append(received)

    def is_ready(self) -> bool:
        return self._refuse is None


async def send_request(collector: Collector, request: Request) -> Answer:
    """Send one request to the collector, and return its response."""
    answer = Answer()

    async def record(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        else:
            answer.body += message["body"]

    await collector(request.scope(), request.receive, record)
    return answer


def post(collector: Collector, body: bytes, content_type: str = JSON, **headers: str) -> Answer:
    """Post a body to the collector from synchronous code, and return the response.

    ``headers`` are further headers; ``_`` in a name means ``-``.
    """
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return asyncio.run(send_request(collector, Request([body], content_type, headers=named)))


def post_all(watch: Watch, bodies: Sequence[bytes], *, ready: bool = False) -> list[int]:
    """Post bodies concurrently to a collector with these settings, and return the statuses.

    With ``ready``, first post the first body repeatedly until the collector accepts it.
    """

    async def post_concurrently() -> list[int]:
        async with open_intake(watch) as intake:
            collector = Collector(watch, intake)
            while ready and (await send_request(collector, Request([bodies[0]]))).status != 204:  # noqa: ASYNC110
                await asyncio.sleep(0.02)  # the intake does not signal that it has connected
            requests = (send_request(collector, Request([body])) for body in bodies)
            answers = await asyncio.gather(*requests)
            return [answer.status for answer in answers]

    return asyncio.run(post_concurrently())
