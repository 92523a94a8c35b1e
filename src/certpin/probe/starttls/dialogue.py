"""The frame that every STARTTLS protocol stands in: bytes in, bytes out, no sockets.

A protocol is a generator function that takes a ``Wire`` and returns when TLS may begin. It reads
with ``yield from wire.line()`` or ``yield from wire.take(count)`` and answers with ``wire.send()``;
a bare ``yield`` means "more bytes, please". ``Dialogue`` runs such a generator over whatever moves
the bytes: a blocking socket, asyncio, or a test.

Nothing that a server says before TLS is authenticated. So everything is bounded, everything odd
ends in ``StartTLSError``, and what the server said is only ever quoted, with control characters
escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from certpin.errors import StartTLSError

T = TypeVar("T")
Steps = Generator[None, None, T]  # yields when it needs more bytes, returns what it read

# All bytes that a server may say before TLS. No RFC sets a bound; a greeting and a list of
# capabilities take some hundred octets, a long banner some thousand.
TOTAL_LIMIT = 65_536
# A line where the protocol itself sets no limit; the bound that Python's ftplib uses.
LINE_LIMIT = 8_192
_QUOTED = 100  # octets of the server's words that an error repeats

_STRIPPED = (
    "do not go on in clear text: without TLS anybody on the path can read and change everything, "
    "and taking away the offer is how an attacker makes clients do so (STARTTLS stripping); "
    "switch TLS on in the server, or compare from another network"
)
_TURNED_AWAY = (
    "check that the server takes connections from this address and for this host name; "
    "its words are not authenticated, so do not act on them alone"
)
_OTHER_SERVICE = (
    "check the port, and the protocol that is spoken there; "
    "a port that begins with TLS needs no STARTTLS"
)
_INJECTED = (
    "do not use this connection: bytes sent before TLS would be read as if TLS had protected them "
    "(response injection, CVE-2011-0411, CVE-2021-22947, CVE-2021-23222); update the server, "
    "or look for an attacker on the path"
)


@dataclass(frozen=True)
class Protocol:
    """One protocol that can begin TLS on a connection in clear text.

    ``port`` is the registered port of the service, ``tls_port`` the one where TLS comes first
    (None where there is none), ``script`` the client's part.
    """

    name: str
    script: Callable[[Wire], Steps[None]]
    port: int
    tls_port: int | None = None


class Wire:
    """Both directions of one dialogue, as a protocol's script sees them."""

    def __init__(self, protocol: Protocol, host: str, port: int) -> None:
        self.protocol = protocol
        self.host = host
        self.port = port
        self.inbox = bytearray()
        self.outbox = bytearray()

    def send(self, data: bytes) -> None:
        """Queue bytes for the server."""
        self.outbox += data

    def take(self, count: int) -> Steps[bytes]:
        """Read exactly ``count`` bytes. The caller bounds ``count``."""
        while len(self.inbox) < count:
            yield
        taken = bytes(self.inbox[:count])
        del self.inbox[:count]
        return taken

    def line(self, limit: int = LINE_LIMIT) -> Steps[bytes]:
        """Read a line of at most ``limit`` octets with its CRLF, and return it without.

        A line that ends in a bare LF, or holds a bare CR or a NUL, is refused.
        """
        while (end := self.inbox.find(b"\n", 0, limit)) < 0:
            if len(self.inbox) >= limit:
                self.garbled(f"sent a line longer than {limit} octets")
            yield
        line = yield from self.take(end + 1)
        text = line.removesuffix(b"\r\n")
        if text == line or b"\r" in text or b"\0" in text:
            self.garbled(f"sent a line that is no text line: {quote(line)}")
        return text

    def refused(self, problem: str) -> NoReturn:
        """End the dialogue: the server does not offer TLS, or declines it."""
        fix = _STRIPPED
        if self.protocol.tls_port:
            fix += f", or use the port that begins with TLS (usually {self.protocol.tls_port})"
        self._fail(problem, fix)

    def turned_away(self, problem: str) -> NoReturn:
        """End the dialogue: the server declines the connection, TLS or not."""
        self._fail(problem, _TURNED_AWAY)

    def garbled(self, problem: str) -> NoReturn:
        """End the dialogue: these bytes are not the protocol."""
        self._fail(problem, _OTHER_SERVICE)

    def injected(self) -> NoReturn:
        """End the dialogue: bytes came after the go-ahead, before TLS."""
        self._fail("sent bytes between its go-ahead and TLS", _INJECTED)

    def _fail(self, problem: str, fix: str) -> NoReturn:
        message = f"{self.protocol.name} STARTTLS: the server {problem}"
        raise StartTLSError(message, host=self.host, port=self.port, fix=fix)


class Dialogue:
    """One run of a protocol, without I/O.

    Send ``data_to_send()``, stop when ``done``, else hand over what came with ``receive()``.
    Once done, the very next bytes on the connection must be the client's TLS hello.
    After an error the dialogue stays failed. How the bytes are cut never changes the outcome.
    """

    def __init__(self, protocol: Protocol, host: str, port: int) -> None:
        """``host`` is the name that the server is asked for; ``port`` is only for errors."""
        self._wire = Wire(protocol, host, port)
        self._steps = protocol.script(self._wire)
        self._room = TOTAL_LIMIT
        self._finished = _step(self._steps)  # to where it waits for the first bytes
        self._error: StartTLSError | None = None

    @property
    def done(self) -> bool:
        """Whether the server is ready for TLS, and nothing went wrong."""
        return self._finished and self._error is None

    def data_to_send(self) -> bytes:
        """Take what must be sent now; empty where there is nothing to send."""
        data = bytes(self._wire.outbox)
        self._wire.outbox.clear()
        return data

    def receive(self, data: bytes) -> None:
        """Take bytes that the server sent; empty bytes mean that it hung up.

        Raises ``StartTLSError``: the server refused, hung up, spoke something else or too much,
        or sent bytes after its go-ahead.
        """
        if self._error is not None:
            raise self._error
        try:
            if not data:
                self._wire.garbled("hung up before TLS could begin")
            self._advance(data)
        except StartTLSError as error:
            self._wire.outbox.clear()
            self._error = error
            raise

    def _advance(self, data: bytes) -> None:
        """Feed the script; after its end, and past the limit, there must be nothing to feed."""
        fits, excess = data[: self._room], data[self._room :]
        self._room -= len(fits)
        self._wire.inbox += fits
        if not self._finished:
            self._finished = _step(self._steps)
        if self._finished and (self._wire.inbox or excess):
            self._wire.injected()
        if excess:
            self._wire.garbled(f"sent more than {TOTAL_LIMIT} bytes before TLS")


def _step(steps: Steps[None]) -> bool:
    """Run a script until it needs bytes; whether it came to its end."""
    try:
        next(steps)
    except StopIteration:
        return True
    return False


def quote(data: bytes) -> str:
    """What a server said, fit for an error message: short, ASCII, control characters escaped."""
    text = repr(data[:_QUOTED])[1:]
    return text + "…" if len(data) > _QUOTED else text
