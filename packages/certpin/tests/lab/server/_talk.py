"""Pass bytes to the lab's SMTP, IMAP or PostgreSQL server without a socket."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from certpin.lab.scenario import Answer, AnswerContext, Opening, ServerStep
from certpin.lab.server.protocols import PROTOCOLS

if TYPE_CHECKING:
    from certpin.lab.server.protocols import Starting

TOKEN = "lab-answer-of-this-test"  # identifies an answer


def server(name: str, opening: Opening = Opening.TLS, answer: Answer = Answer.OK) -> Starting:
    """Return the lab's server for a protocol that begins in clear text, by the protocol's name."""
    starting = PROTOCOLS[name].starting
    assert starting is not None
    return starting(ServerStep((), b"", opening=opening, answer=answer), AnswerContext(TOKEN))


def says(application: Starting, *words: bytes, secure: bool = False) -> bytes:
    """Pass these inputs to a server in turn, and return its joined responses.

    ``secure`` is True if the inputs arrive over TLS.
    """
    replies = [application.receive(word, secure=secure) for word in words]
    return b"".join(replies)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Split data at these offsets (modulo its length plus one), and return the pieces in order."""
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(ends)]
