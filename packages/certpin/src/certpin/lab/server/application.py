"""Interfaces for the application protocols that the lab's servers speak, without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from certpin.lab.scenario import Answer
from certpin.lab.target import bracketed

if TYPE_CHECKING:
    from collections.abc import Sequence


class Application(Protocol):
    """The server of one application protocol, on one connection, in clear text and under TLS.

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
        """Return the bytes that the server sends first, on connection and when TLS begins."""

    def receive(self, data: bytes, *, secure: bool) -> bytes:
        """Process bytes from the client, and return the server's reply."""


class Starting(Application, Protocol):
    """The server of a protocol that begins in clear text. A new instance takes over under TLS.

    ``tampered`` is set if the client was exposed to the step's tampering before TLS. ``rest`` is
    the data after STARTTLS. A protocol that ``listens`` gets data after it closed; its replies are
    then dropped.
    """

    tampered: bool
    rest: bytes
    listens: bool


@dataclass
class AnswerContext:
    """The content for answers of the lab: its token, and the URLs to redirect to."""

    token: str
    same: str = "/again"
    second: str = ""
    plain: str = ""
    unpinned: str = ""

    def set_hosts(self, hosts: Sequence[str], port: int = 0) -> None:
        """Set the URLs to redirect to: of the first, the second and the unpinned host.

        The URLs name this port of the lab. With port 0 they name none: a proxy or a route directs
        clients to the lab.
        """
        suffix = f":{port}" if port else ""
        first, second, *others = (f"{bracketed(host)}{suffix}/" for host in hosts)
        self.plain, self.second = f"http://{first}", f"https://{second}"
        self.unpinned = f"https://{others[0]}" if others else ""

    def redirect_url(self, answer: Answer) -> str:
        """Return the URL to which this answer redirects; empty if it does not redirect."""
        return {
            Answer.REDIRECT_SAME: self.same,
            Answer.REDIRECT_SECOND: self.second,
            Answer.REDIRECT_SECOND_KEEP: self.second,
            Answer.REDIRECT_PLAIN: self.plain,
            Answer.REDIRECT_UNPINNED: self.unpinned,
        }.get(answer, "")
