"""What is spoken on a connection, on the server's side and without I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab.script import Act


class Application(Protocol):
    """The server's side of one protocol, on one connection, in clear text and then under TLS.

    ``data`` is what counts as the client's own: not what the protocol says of itself (a preface,
    a greeting, the wish for TLS). ``upgrade`` says that TLS must begin now, ``closing`` that the
    connection ends once the reply is sent. Nothing that a client sends may raise.
    """

    data: bytearray
    upgrade: bool
    closing: bool

    def begin(self, *, secure: bool) -> bytes:
        """What is said unasked: when the connection stands, and again when TLS does."""

    def receive(self, data: bytes, *, secure: bool) -> bytes:
        """Take what the client said; the reply."""


if TYPE_CHECKING:
    # Makes one for an act; the text is the token that every answer holds.
    Maker = Callable[[Act, "Where"], Application]


class Where:
    """What an answer needs to know of the lab: its token, and where redirects lead."""

    def __init__(self, token: str, same: str = "", second: str = "", plain: str = "") -> None:
        self.token = token
        self.same = same
        self.second = second
        self.plain = plain
