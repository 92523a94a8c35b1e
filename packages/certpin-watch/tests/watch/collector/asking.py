"""Ask the collector as a server would, without one: an ASGI scope in, status and body out."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from certpin_watch.collector.app import Collector, open_intake

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin_watch.collector.decode import ReceivedBody
    from certpin_watch.snapshot import Watch

JSON = "application/json"


@dataclass
class Answer:
    """What came back."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def error(self) -> str:
        """What it says is wrong. It also says what to do, in one line."""
        said = json.loads(self.body)
        assert said.keys() == {"error", "fix"}
        assert said["fix"]
        assert self.body.count(b"\n") == 1
        return str(said["error"])


@dataclass
class Asked:
    """A request. ``pieces`` are the body as it arrives; ``None`` is a client that hangs up."""

    pieces: Sequence[bytes | None]
    content_type: str = JSON
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=dict)
    client: str = "192.0.2.77"
    reads: int = 0

    def scope(self) -> dict[str, Any]:
        length = {"content-length": str(sum(map(len, filter(None, self.pieces))))}
        said = {"host": "pins.bank.example", "content-type": self.content_type} | length
        headers = [(k.encode(), v.encode()) for k, v in (said | self.headers).items() if v]
        scope = {"type": "http", "method": self.method, "path": "/reports", "headers": headers}
        return scope | {"client": (self.client, 4711)}

    async def receive(self) -> dict[str, Any]:
        self.reads += 1
        piece = self.pieces[self.reads - 1]
        if piece is None:
            return {"type": "http.disconnect"}
        more = self.reads < len(self.pieces)
        return {"type": "http.request", "body": piece, "more_body": more}


class Shelf:
    """An intake that keeps what it is given; or refuses it."""

    def __init__(self, refuse: Exception | None = None) -> None:
        self.taken: list[ReceivedBody] = []
        self._refuse = refuse

    async def accept(self, received: ReceivedBody) -> None:
        if self._refuse is not None:
            raise self._refuse
        self.taken.append(received)

    def is_ready(self) -> bool:
        return self._refuse is None


async def ask(collector: Collector, asked: Asked) -> Answer:
    """One request."""
    answer = Answer()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        else:
            answer.body += message["body"]

    await collector(asked.scope(), asked.receive, send)
    return answer


def post(collector: Collector, body: bytes, content_type: str = JSON, **headers: str) -> Answer:
    """The same, from outside of a loop; ``_`` in the name of a header stands for ``-``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return asyncio.run(ask(collector, Asked([body], content_type, headers=named)))


def through(watch: Watch, bodies: Sequence[bytes], *, ready: bool = False) -> list[int]:
    """Post them all at once through the intake of the settings; returns what was answered.

    With ``ready``, the first is posted again and again before, until it is taken in.
    """

    async def all_of_them() -> list[int]:
        async with open_intake(watch) as intake:
            collector = Collector(watch, intake)
            while ready and (await ask(collector, Asked([bodies[0]]))).status != 204:  # noqa: ASYNC110
                await asyncio.sleep(0.02)  # nobody tells when the server is found
            answers = await asyncio.gather(*(ask(collector, Asked([each])) for each in bodies))
            return [answer.status for answer in answers]

    return asyncio.run(all_of_them())
