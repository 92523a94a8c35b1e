"""Servers to scan, good and hostile: real sockets on a free port of the loopback interface."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from certpin.lab.lab_server import server_context

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab import Identity

    Serve = Callable[[socket.socket], None]

_PATIENCE = 10.0


class Server:
    """A TCP server that calls ``serve`` with each connection, in its own thread.

    It is a context manager, which closes all connections and ends all threads. ``connections`` is
    the number of accepted connections.
    """

    def __init__(self, serve: Serve, address: str = "127.0.0.1", port: int = 0) -> None:
        self.connections = 0
        self._serve = serve
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, port), family=family, backlog=512)
        self._threads = [threading.Thread(target=self._accept)]
        self._open: list[socket.socket] = []

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.settimeout(_PATIENCE)
                self.connections += 1
                self._open.append(connection)
                self._threads.append(threading.Thread(target=self._handle, args=(connection,)))
                self._threads[-1].start()

    def _handle(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            self._serve(connection)


def tls(identity: Identity, change: Callable[[ssl.SSLContext], object] = id) -> Serve:
    """Return a function for ``Server`` that does a TLS handshake with this identity.

    ``change`` is called with the server's ``SSLContext``, to configure it.
    """
    context = server_context(identity)
    change(context)

    def serve(connection: socket.socket) -> None:
        come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
        secure = context.wrap_bio(come, go, server_side=True)
        while data := connection.recv(65536):
            come.write(data)
            try:
                secure.do_handshake()
            except ssl.SSLWantReadError:
                continue
            finally:  # an alert too
                connection.sendall(go.read())

    return serve


def say_nothing(connection: socket.socket) -> None:
    """Accept, and never answer."""
    while connection.recv(4096):
        pass


def close(connection: socket.socket) -> None:
    """Read the ClientHello, and close the connection in order."""
    connection.recv(4096)


def say(data: bytes) -> Serve:
    """Return a function for ``Server`` that answers the ClientHello with these bytes."""

    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(data)
        say_nothing(connection)

    return serve


def flood(connection: socket.socket) -> None:
    """Send records that OpenSSL skips: a HelloRequest in each. After some seconds, give up."""
    connection.recv(4096)
    for _ in range(200):
        connection.sendall(b"\x16\x03\x03\x00\x04\x00\x00\x00\x00" * 20_000)


def drip(connection: socket.socket) -> None:
    """Send the head of a record of 16 KiB byte by byte, and never the whole record."""
    connection.recv(4096)
    connection.sendall(b"\x16\x03\x03\x40\x00")
    gone = threading.Event()
    while not gone.wait(0.02):
        connection.sendall(b"\x02")
