"""The application protocols of the lab: the server's side, without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from certpin.lab.scenario import Answer
from certpin.lab.target import bracketed

if TYPE_CHECKING:
    from collections.abc import Sequence


class Application(Protocol):
    """The server's side of one protocol, on one connection, in clear text and then under TLS.

    ``data`` is the data of the client without the overhead of the protocol (a preface, a greeting,
    STARTTLS). ``upgrade`` means that TLS must begin now, ``closing`` that the connection ends once
    the reply is sent. No input may raise an exception. A protocol with host names also has
    ``astray``, the part of the data that is addressed to the step's foreign host. A protocol with a
    closing message has ``farewell()``.
    """

    data: bytearray
    upgrade: bool
    closing: bool

    def begin(self, *, secure: bool) -> bytes:
        """Return the bytes that the server sends first: on connection, and again under TLS."""

    def receive(self, data: bytes, *, secure: bool) -> bytes:
        """Process data of the client, and return the reply."""


class Starting(Application, Protocol):
    """A protocol that begins in clear text. Under TLS, a new instance takes over.

    ``tampered`` is set if the client was exposed to the step's tampering before TLS. ``rest`` is
    the data after STARTTLS. A protocol that ``listens`` gets data after it closed; its replies are
    then dropped.
    """

    tampered: bool
    rest: bytes
    listens: bool


@dataclass
class AnswerContext:
    """The content of the lab's answers: its token, and the URLs of redirects."""

    token: str
    same: str = "/again"
    second: str = ""
    plain: str = ""
    unpinned: str = ""

    def set_hosts(self, hosts: Sequence[str], port: int = 0) -> None:
        """Set the URLs of the first, the second and the unpinned host, at a port of the lab.

        Without a port, the URLs have none: a proxy or a route directs clients to the lab.
        """
        suffix = f":{port}" if port else ""
        first, second, *others = (f"{bracketed(host)}{suffix}/" for host in hosts)
        self.plain, self.second = f"http://{first}", f"https://{second}"
        self.unpinned = f"https://{others[0]}" if others else ""

    def redirect_url(self, answer: Answer) -> str:
        """Return the URL that an answer redirects to; empty if it is no redirect."""
        return {
            Answer.REDIRECT_SAME: self.same,
            Answer.REDIRECT_SECOND: self.second,
            Answer.REDIRECT_SECOND_KEEP: self.second,
            Answer.REDIRECT_PLAIN: self.plain,
            Answer.REDIRECT_UNPINNED: self.unpinned,
        }.get(answer, "")
