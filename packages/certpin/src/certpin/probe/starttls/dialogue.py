"""Run a STARTTLS protocol: without I/O (``Dialogue``), and over a blocking socket (``negotiate``).

The client's part of a protocol is a generator function, its script. It takes a ``Wire``, and
returns when TLS may begin. It reads with ``yield from wire.line()`` or ``yield from
wire.take(count)`` and answers with ``wire.send()``; a bare ``yield`` asks for more bytes.
``Dialogue`` runs such a generator over any transport: a blocking socket, asyncio, or a test.

The server's messages before TLS are not authenticated. So all input is bounded, every unexpected
byte ends in ``StartTLSError``, and errors only quote the server, with control characters escaped.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, TypeVar

from certpin.errors import StartTLSError

if TYPE_CHECKING:
    import socket

T = TypeVar("T")
Steps = Generator[None, None, T]  # yields when it needs more bytes, returns the value that it read

# All bytes that a server may send before TLS. No RFC sets a bound; a greeting and a list of
# capabilities take some hundred octets, a long banner some thousand.
TOTAL_LIMIT = 65_536
# A line, if the protocol sets no limit; the bound that Python's ftplib uses.
LINE_LIMIT = 8_192
_QUOTED = 100  # octets of the server's answer that an error repeats
_CHUNK = 4_096  # bytes per read; more than most servers send in all

_STRIPPED = (
    "do not continue without TLS: anyone on the path can read and change everything, and removing "
    "the offer of TLS is how an attacker makes clients do so (STARTTLS stripping); enable TLS on "
    "the server, or compare from another network"
)
_DECLINED = (
    "check that the server accepts connections from this address and for this host name; "
    "its answer is not authenticated, so do not act on it without another check"
)
_OTHER_SERVICE = (
    "check the port, and the protocol that the server speaks there; "
    "a port that begins with TLS needs no STARTTLS"
)
_INJECTED = (
    "do not use this connection: bytes sent before TLS would be read as if TLS had protected them "
    "(response injection, CVE-2011-0411, CVE-2021-22947, CVE-2021-23222); update the server, "
    "or look for an attacker on the path"
)
_SLOW = (
    "allow more time, and check the port and the protocol; "
    "a server that waits in silence may expect TLS from the start, without STARTTLS"
)
_LOST = "check that the server accepts connections from here, and speaks this protocol on this port"


@dataclass(frozen=True)
class Protocol:
    """An application protocol that can switch a connection to TLS.

    Attributes:
        name: the name of the protocol, such as ``smtp``.
        script: a generator function that conducts the client's part of the dialogue before TLS.
        port: the registered port of the service.
        tls_port: the registered port on which TLS begins at once; ``None`` if there is no such
            port.
    """

    name: str
    script: Callable[[Wire], Steps[None]]
    port: int
    tls_port: int | None = None


class Wire:
    """The bytes from and to the server in one STARTTLS dialogue.

    The script of a protocol (a generator function) reads and writes them. The methods that read are
    generators: call them with ``yield from``.

    Attributes:
        protocol: the protocol.
        host: the server's name, which some protocols send.
        port: the server's port, for errors only.
        inbox: received bytes that the script has not read yet.
        outbox: bytes that wait to be sent.
    """

    def __init__(self, protocol: Protocol, host: str, port: int) -> None:
        self.protocol = protocol
        self.host = host
        self.port = port
        self.inbox = bytearray()
        self.outbox = bytearray()

    def send(self, data: bytes) -> None:
        """Queue bytes for sending to the server."""
        self.outbox += data

    def take(self, count: int) -> Steps[bytes]:
        """Read exactly ``count`` bytes from the server, and return them.

        ``count`` is not limited here, so the caller must pass only a small number.
        """
        while len(self.inbox) < count:
            yield
        taken = bytes(self.inbox[:count])
        del self.inbox[:count]
        return taken

    def line(self, limit: int = LINE_LIMIT) -> Steps[bytes]:
        """Read a line from the server, and return it without its CRLF.

        Args:
            limit: the maximum number of octets, with the CRLF.

        Raises:
            StartTLSError: the line is too long, ends in a bare LF, or contains a bare CR or a NUL.
        """
        while (end := self.inbox.find(b"\n", 0, limit)) < 0:
            if len(self.inbox) >= limit:
                self.raise_garbled(f"sent a line longer than {limit} octets")
            yield
        line = yield from self.take(end + 1)
        text = line.removesuffix(b"\r\n")
        if text == line or b"\r" in text or b"\0" in text:
            self.raise_garbled(f"sent a line with invalid characters: {quote(line)}")
        return text

    def raise_tls_declined(self, problem: str) -> NoReturn:
        """Raise ``StartTLSError``: the server does not offer TLS, or declines it.

        ``problem`` is the rest of a message that begins with "the server", such as "does not offer
        TLS".
        """
        fix = _STRIPPED
        if self.protocol.tls_port:
            fix += f", or use the port that begins with TLS (usually {self.protocol.tls_port})"
        self._raise(problem, fix, insecure=True)

    def raise_connection_declined(self, problem: str) -> NoReturn:
        """Raise ``StartTLSError``: the server declines the connection itself, not only TLS.

        ``problem`` is the rest of a message that begins with "the server", such as "declined the
        connection".
        """
        self._raise(problem, _DECLINED)

    def raise_garbled(self, problem: str) -> NoReturn:
        """Raise ``StartTLSError``: the server's bytes don't follow the protocol.

        ``problem`` is the rest of a message that begins with "the server", such as "sent too much".
        """
        self._raise(problem, _OTHER_SERVICE)

    def raise_injected(self) -> NoReturn:
        """Raise ``StartTLSError``: the server agreed to TLS, and then sent bytes without TLS.

        These bytes are not protected, and may come from an attacker.
        """
        self._raise("sent bytes between its go-ahead and TLS", _INJECTED, insecure=True)

    def _raise(self, problem: str, fix: str, *, insecure: bool = False) -> NoReturn:
        message = f"{self.protocol.name} STARTTLS: the server {problem}"
        raise StartTLSError(message, host=self.host, port=self.port, fix=fix, insecure=insecure)


class Dialogue:
    """One run of a STARTTLS protocol, without I/O.

    In a loop: send ``data_to_send()``, stop if ``done``, else pass the received bytes to
    ``receive()``. When ``done`` is True, begin the TLS handshake on the connection. After an error,
    ``done`` stays False. The result doesn't depend on how the received bytes are split.
    """

    def __init__(self, protocol: Protocol, host: str, port: int) -> None:
        """Begin a dialogue: run the protocol up to the first bytes that it needs from the server.

        Args:
            protocol: the protocol.
            host: the server's name, which some protocols send.
            port: the server's port, for errors only.
        """
        self._wire = Wire(protocol, host, port)
        self._steps = protocol.script(self._wire)
        self._room = TOTAL_LIMIT
        self._finished = _step(self._steps)  # up to its first read
        self._error: StartTLSError | None = None

    @property
    def done(self) -> bool:
        """True if the server is ready for TLS, and no error occurred."""
        return self._finished and self._error is None

    def data_to_send(self) -> bytes:
        """Return the queued bytes to send to the server, and clear the queue.

        The result is empty if no bytes are queued.
        """
        data = bytes(self._wire.outbox)
        self._wire.outbox.clear()
        return data

    def receive(self, data: bytes) -> None:
        """Process bytes from the server. Empty bytes mean that the server closed the connection.

        Raises:
            StartTLSError: the server declined TLS, closed the connection, broke the protocol, sent
                too much, or sent bytes after it agreed to TLS.
        """
        if self._error is not None:
            raise self._error
        try:
            if not data:
                self._wire.raise_garbled("closed the connection before TLS could begin")
            self._advance(data)
        except StartTLSError as error:
            self._wire.outbox.clear()
            self._error = error
            raise

    def _advance(self, data: bytes) -> None:
        """Pass received bytes to the script of the protocol, and run it until it needs more bytes.

        Raises ``StartTLSError`` if bytes are left after the script's end, or the server sent more
        bytes than the limit.
        """
        fits, excess = data[: self._room], data[self._room :]
        self._room -= len(fits)
        self._wire.inbox += fits
        if not self._finished:
            self._finished = _step(self._steps)
        if self._finished and (self._wire.inbox or excess):
            self._wire.raise_injected()
        if excess:
            self._wire.raise_garbled(f"sent more than {TOTAL_LIMIT} bytes before TLS")


def _step(steps: Steps[None]) -> bool:
    """Continue the script of a protocol until it needs more bytes. Return True if it has ended.

    ``steps`` is the script: a generator that reads and writes the client's part of the dialogue.
    """
    try:
        next(steps)
    except StopIteration:
        return True
    return False


def quote(data: bytes) -> str:
    """Return a server's bytes as short ASCII text for an error, with control characters escaped."""
    text = repr(data[:_QUOTED])[1:]
    return text + "…" if len(data) > _QUOTED else text


def not_tls_error(protocol: Protocol, host: str, port: int) -> StartTLSError:
    """Return the error for a server that agreed to TLS, and then sent bytes that are not TLS.

    The caller raises it. The arguments name the protocol and the server in its message. An attacker
    may have injected the bytes. Injected bytes arrive together with the server's consent, or a
    moment later.
    """
    return StartTLSError(
        f"{protocol.name} STARTTLS: the server sent something other than TLS after its go-ahead",
        host=host,
        port=port,
        fix=_INJECTED,
        insecure=True,
    )


def negotiate(sock: socket.socket, protocol: Protocol, host: str, port: int) -> None:
    """Exchange messages with a server until the TLS handshake can begin on the socket.

    Not checked: the identity of the server. The TLS handshake does that.

    Args:
        sock: a blocking socket. Its time-out, in seconds, limits the whole dialogue, so that a
            server that sends single bytes can't prolong it. Without a time-out there is no limit.
            Afterwards the socket has the same time-out again.
        protocol: the protocol, from ``PROTOCOLS``.
        host: the server's name in ASCII, which XMPP sends.
        port: the server's port, for errors only.

    Raises:
        StartTLSError: the server does not offer TLS or declines it, breaks the protocol, closes the
            connection, is too slow, or sends bytes between its consent and TLS. Close the socket
            then.
    """
    timeout = sock.gettimeout()
    try:
        _run(sock, Dialogue(protocol, host, port), timeout)
    except TimeoutError as error:
        problem = f"{protocol.name} STARTTLS: the server gave no go-ahead in time"
        raise StartTLSError(problem, host=host, port=port, fix=_SLOW) from error
    except OSError as error:
        problem = f"{protocol.name} STARTTLS: the connection was lost: {error}"
        raise StartTLSError(problem, host=host, port=port, fix=_LOST) from error
    finally:
        with contextlib.suppress(OSError):  # closed meanwhile
            sock.settimeout(timeout)


def _run(sock: socket.socket, dialogue: Dialogue, timeout: float | None) -> None:
    """Send and receive on ``sock`` until the dialogue is done, within ``timeout`` seconds."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        _set_remaining(sock, deadline)
        if data := dialogue.data_to_send():
            sock.sendall(data)
        if dialogue.done:
            return
        _set_remaining(sock, deadline)
        dialogue.receive(sock.recv(_CHUNK))


def _set_remaining(sock: socket.socket, deadline: float | None) -> None:
    """Set the socket's time-out to the time left until ``deadline`` (``time.monotonic()``)."""
    if deadline is None:
        return
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    sock.settimeout(remaining)
