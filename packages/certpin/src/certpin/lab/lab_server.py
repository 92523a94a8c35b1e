"""A small HTTPS server in a thread, on loopback, with the TLS of the standard library.

It is for the demonstration and for tests, and doesn't play the cases of the lab.
"""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Self

from certpin.lab.server.tls import load

if TYPE_CHECKING:
    from certpin.lab.authority import Identity


_PATIENCE = 10.0  # seconds to wait for a silent client
_MAX_REQUEST = 64 * 1024


class LabServer:
    """A small HTTPS server that answers each request with ``body``, and records received data.

    It is a context manager: it listens on ``address`` from entry to exit, and leaves no connection
    and no thread behind. ``received`` holds the application data of every connection, in the order
    of arrival. The data is empty if the client left during the handshake, or sent nothing.

    Args:
        identity: the certificate chain and the key.
        body: the body of each answer.
        port: the port; by default a free one.
        address: the loopback address (IPv4).
    """

    def __init__(
        self,
        identity: Identity,
        body: bytes = b"hello\n",
        *,
        port: int = 0,
        address: str = "127.0.0.1",
    ) -> None:
        self.received: list[bytes] = []
        self._body = body
        self._heard = threading.Condition()
        self._open: set[ssl.SSLSocket] = set()
        self._context = server_context(identity)
        # socketserver expects a class, but only calls it, so a method works.
        handler: Any = self._serve
        self._server = _ThreadingServer((address, port), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def port(self) -> int:
        """The port on which the server listens."""
        return int(self._server.server_address[1])

    def use(self, identity: Identity) -> None:
        """Use the chain and key of another identity for new connections."""
        self._context = server_context(identity)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        for connection in tuple(self._open):
            with suppress(OSError):
                # Not SSLSocket.shutdown: its thread would then read without TLS.
                socket.socket.shutdown(connection, socket.SHUT_RD)
        self._server.server_close()  # waits for the thread of each connection
        self._thread.join()

    def wait_for(self, connections: int) -> None:
        """Wait until this many connections have arrived, with their requests.

        Connections that failed in the handshake count too.

        Raises:
            TimeoutError: fewer arrived within 10 seconds.
        """
        with self._heard:
            if not self._heard.wait_for(lambda: len(self.received) >= connections, _PATIENCE):
                raise TimeoutError(f"fewer than {connections} connections arrived in time")

    def _serve(self, request: socket.socket, *_: object) -> None:
        request.settimeout(_PATIENCE)
        heard = bytearray()
        with suppress(OSError), ExitStack() as leaving:
            try:
                connection = self._context.wrap_socket(
                    request, server_side=True, do_handshake_on_connect=False
                )
                leaving.enter_context(connection)
                self._open.add(connection)
                leaving.callback(self._open.discard, connection)
                connection.do_handshake()
                _hear(connection, heard)
            finally:
                self._note(bytes(heard))
            if heard:
                self._answer(connection)

    def _note(self, data: bytes) -> None:
        with self._heard:
            self.received.append(data)
            self._heard.notify_all()

    def _answer(self, connection: ssl.SSLSocket) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(self._body)}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode() + self._body)


def _hear(connection: ssl.SSLSocket, heard: bytearray) -> None:
    """Read a request into the buffer ``heard``, until the empty line after its headers.

    ``connection`` is the client's connection. Reading also ends if the client closes it, or after
    64 KiB. If an error is raised, the data that arrived before it is in the buffer.
    """
    while b"\r\n\r\n" not in heard and len(heard) < _MAX_REQUEST:
        piece = connection.recv(4096)
        if not piece:
            break
        heard += piece


def server_context(identity: Identity) -> ssl.SSLContext:
    """Return a TLS server context with the chain and key of an identity.

    The key is not written to disk.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load(context, identity.chain_pem, identity.key_pem)
    return context


class _ThreadingServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
