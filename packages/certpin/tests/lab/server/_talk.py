"""Talk to the server's side of a protocol without a socket."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from certpin.lab.scenario import Answer, AnswerContext, Opening, ServerStep
from certpin.lab.server.protocols import PROTOCOLS

if TYPE_CHECKING:
    from certpin.lab.server.protocols import Starting

TOKEN = "lab-answer-of-this-test"  # identifies an answer


def server(name: str, opening: Opening = Opening.TLS, answer: Answer = Answer.OK) -> Starting:
    """Return a server that begins in clear text."""
    starting = PROTOCOLS[name].starting
    assert starting is not None
    return starting(ServerStep((), b"", opening=opening, answer=answer), AnswerContext(TOKEN))


def says(application: Starting, *words: bytes, secure: bool = False) -> bytes:
    """Return all answers of the server."""
    replies = [application.receive(word, secure=secure) for word in words]
    return b"".join(replies)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Split the data at these offsets (modulo its length)."""
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(ends)]
