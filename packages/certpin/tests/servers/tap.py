"""A TCP forwarder in front of a server, which records the bytes that clients send."""

from __future__ import annotations

import contextlib
import select
import socket
import socketserver
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from tests.servers._run import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE = 20.0  # seconds without any byte
_APPLICATION_DATA = 23  # RFC 8446 section 5.1
_HANDSHAKE = b"\x16\x03"


class Tap:
    """A TCP forwarder to a server on loopback, which records the traffic.

    Clients connect to ``port``. When a connection has ended, ``sent`` has the bytes that its client
    sent, and ``passed`` the number of bytes in both directions.

    Args:
        upstream: the port of the server.
    """

    def __init__(self, upstream: int) -> None:
        self.sent: list[bytes] = []
        self.passed: list[int] = []
        self.upstream = upstream
        handler: Any = self._relay
        self.server = socketserver.ThreadingTCPServer((LOOPBACK, 0), handler)
        self.port: int = self.server.server_address[1]

    def encrypted_records(self) -> int:
        """Return the number of encrypted TLS records that all clients sent.

        In TLS 1.3 the first such record of a connection is the Finished message, which the
        application did not write.
        """
        return sum(_count(_after_clear_text(sent), _APPLICATION_DATA) for sent in self.sent)

    def in_clear_text(self) -> bytes:
        """Return the bytes that clients sent before TLS began."""
        return b"".join(sent[: len(sent) - len(_after_clear_text(sent))] for sent in self.sent)

    def connect(self, client: socket.socket) -> socket.socket:
        """Open a connection to the server, to forward a client's bytes to."""
        return socket.create_connection((LOOPBACK, self.upstream))

    def _relay(self, client: socket.socket, address: object, server: object) -> None:
        with self.connect(client) as upstream:
            kept, back = bytearray(), bytearray()
            while True:
                ready, _, _ = select.select([client, upstream], [], [], _PATIENCE)
                if client in ready and not _pass_on(client, upstream, kept):
                    break
                if not ready or (upstream in ready and not _pass_on(upstream, client, back)):
                    break
            self.sent.append(bytes(kept))
            self.passed.append(len(kept) + len(back))


_AnyTap = TypeVar("_AnyTap", bound=Tap)


def _pass_on(source: socket.socket, target: socket.socket, kept: bytearray) -> bool:
    """Read available bytes from ``source``, send them to ``target`` and append them to ``kept``.

    Return False if one of the connections has ended.
    """
    with contextlib.suppress(OSError):
        data = source.recv(65536)
        kept += data
        target.sendall(data)
        return bool(data)
    return False


def _after_clear_text(sent: bytes) -> bytes:
    start = sent.find(_HANDSHAKE)
    return b"" if start < 0 else sent[start:]


def _count(records: bytes, kind: int) -> int:
    found = 0
    while len(records) >= 5:
        found += records[0] == kind
        records = records[5 + int.from_bytes(records[3:5]) :]
    return found


class Socks(Tap):
    """A ``Tap`` to which clients connect as to a SOCKS proxy (RFC 1928), without authentication.

    Whichever name a client requests, its connection goes to the one server.
    """

    def connect(self, client: socket.socket) -> socket.socket:
        """Complete the SOCKS negotiation with the client, and open a connection to the server."""
        version, count = client.recv(2)
        client.recv(count)
        client.sendall(bytes((version, 0)))
        _, command, _, kind, length = client.recv(5, socket.MSG_WAITALL)
        client.recv(length + 2, socket.MSG_WAITALL)
        assert (version, command, kind) == (5, 1, 3)  # CONNECT to a name
        client.sendall(bytes((5, 0, 0, 1)) + bytes(6))
        return super().connect(client)


class Tunnel(Tap):
    """A ``Tap`` to which clients connect as to an HTTP proxy, by CONNECT (RFC 9110 section 9.3.6).

    Whichever host a client requests, its connection goes to the one server. ``asked`` has the
    clients' CONNECT requests, with their headers, and ``answer`` is the response to them.
    """

    def __init__(self, upstream: int, answer: bytes) -> None:
        super().__init__(upstream)
        self.asked: list[bytes] = []
        self.answer = answer

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def connect(self, client: socket.socket) -> socket.socket:
        """Answer the client's CONNECT request, and open a connection to the server."""
        head = b""
        while not head.endswith(b"\r\n\r\n") and (byte := client.recv(1)):
            head += byte
        self.asked.append(head)
        client.sendall(self.answer)
        return super().connect(client)


def tap(upstream: int) -> contextlib.AbstractContextManager[Tap]:
    """Run a forwarder to the port ``upstream`` while the block runs, and record the traffic.

    At the end, wait until the last client has disconnected.
    """
    return _running(Tap(upstream))


def socks_proxy(upstream: int) -> contextlib.AbstractContextManager[Tap]:
    """Run a SOCKS proxy that forwards to one port on loopback while the block runs.

    Args:
        upstream: the port to forward to, whichever address a client requests.
    """
    return _running(Socks(upstream))


def tunnel(
    upstream: int, answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n"
) -> contextlib.AbstractContextManager[Tunnel]:
    """Run an HTTP proxy that forwards to one port on loopback while the block runs.

    Args:
        upstream: the port to forward to, whichever address a client requests.
        answer: the bytes to send after a CONNECT request.
    """
    return _running(Tunnel(upstream, answer))


@contextlib.contextmanager
def _running(tapped: _AnyTap) -> Iterator[_AnyTap]:
    thread = threading.Thread(target=tapped.server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield tapped
    finally:
        tapped.server.shutdown()
        tapped.server.server_close()  # waits for the threads of all clients
        thread.join()
