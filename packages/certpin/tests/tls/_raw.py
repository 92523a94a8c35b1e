"""Servers that record everything: raw TCP, and TLS with any settings that an attack needs."""

from __future__ import annotations

import socket
import socketserver
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

LOOPBACK = "127.0.0.1"
CANARY = b"canary: no one but the bank may read this"
PATIENCE = 10.0  # seconds that a server or a test waits for its peer


class _Server:
    """Base class of TCP servers that run in threads within a `with` block.

    A subclass defines ``serve``, which handles one connection. No thread outlives the block.
    """

    def __init__(self) -> None:
        handler: Any = self._handle
        self._server = socketserver.ThreadingTCPServer((LOOPBACK, 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._ended = threading.Condition()
        self._connections = 0
        self.address: tuple[str, int] = (LOOPBACK, self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def dial(self) -> socket.socket:
        """Open a TCP connection to this server."""
        return socket.create_connection(self.address, PATIENCE)

    def wait(self, connections: int = 1) -> None:
        """Wait until this many connections have ended."""
        with self._ended:
            assert self._ended.wait_for(lambda: self._connections >= connections, PATIENCE)

    def _handle(self, connection: socket.socket, *_: object) -> None:
        connection.settimeout(PATIENCE)
        try:
            with suppress(OSError):
                self.serve(connection)
        finally:
            with self._ended:
                self._connections += 1
                self._ended.notify_all()

    def serve(self, connection: socket.socket) -> None:
        raise NotImplementedError


class Recorder(_Server):
    """A raw TCP server that answers the first bytes with ``reply`` and records all bytes received.

    With ``close`` it closes the connection after its reply.
    """

    def __init__(self, reply: bytes = b"", *, close: bool = False) -> None:
        super().__init__()
        self.heard = bytearray()
        self._reply = reply
        self._close = close

    def serve(self, connection: socket.socket) -> None:
        reply = self._reply
        while data := connection.recv(65536):
            self.heard += data
            connection.sendall(reply)
            if self._close:
                return
            reply = b""


class Stalled(_Server):
    """A TCP server that reads the first byte of a connection, then sends nothing.

    It keeps the connection open until the `with` block ends.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self._released = threading.Event()

    def __exit__(self, *exc_info: object) -> None:
        self._released.set()
        super().__exit__(*exc_info)

    def serve(self, connection: socket.socket) -> None:
        connection.recv(1)
        self.reached.set()
        self._released.wait(PATIENCE)


@dataclass
class Visit:
    """What a ``TLSServer`` recorded of one client connection."""

    heard: bytes = b""
    client_certificate: bytes | None = None
    resumed: bool = False
    alpn: str | None = None
    cipher: str = ""
    version: str = ""


class TLSServer(_Server):
    """A TLS server that replies ``hello`` to the first data and records each connection.

    ``context`` is the server's TLS context. ``between`` is called before each handshake.
    """

    def __init__(self, context: ssl.SSLContext, between: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.visits: list[Visit] = []
        self._context = context
        self._between = between

    def serve(self, connection: socket.socket) -> None:
        visit = Visit()
        self.visits.append(visit)
        self._between()
        with self._context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        ) as tls:
            try:
                tls.do_handshake()
            finally:
                _look(tls, visit)
            visit.heard = tls.recv(65536)
            tls.sendall(b"hello")
            while more := tls.recv(65536):
                visit.heard += more


def _look(tls: ssl.SSLSocket, visit: Visit) -> None:
    with suppress(ValueError, OSError):  # a handshake that failed early has no certificate
        visit.client_certificate = tls.getpeercert(binary_form=True)
    visit.resumed = bool(tls.session_reused)
    visit.alpn = tls.selected_alpn_protocol()
    visit.cipher = (tls.cipher() or ("", "", 0))[0]
    visit.version = tls.version() or ""
