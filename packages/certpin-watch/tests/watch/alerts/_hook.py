"""A web server that records the notifications it receives, and responds with a chosen status.

``endless_server`` is a server that never ends its response.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Hook:
    """A web server that receives notifications.

    It records JSON bodies in ``bodies``, all bodies in ``raw`` and request paths in ``paths``. It
    responds with ``status``, but only once the event ``go`` is set. If ``endless`` is not empty, it
    sends that again and again until the client closes the connection, and sets ``closed`` then.
    """

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.raw: list[bytes] = []
        self.status = 200
        self.go = threading.Event()
        self.go.set()
        self.endless = b""
        self.closed = threading.Event()
        self.port = 0

    def url(self, secret: str = "", scheme: str = "json") -> str:
        """Return the server's URL for apprise, with ``secret`` as its path."""
        return f"{scheme}://127.0.0.1:{self.port}/{secret}"


@contextlib.contextmanager
def hook() -> Iterator[Hook]:
    """Run a web server that records notifications while the block runs, and yield its ``Hook``."""
    found = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.go.wait(30)
            found.raw.append(body)
            with contextlib.suppress(ValueError):  # of a service that sends no JSON
                found.bodies.append(json.loads(body))
            found.paths.append(self.path)
            with contextlib.suppress(OSError):
                self.send_response(found.status)
                if not found.endless:
                    self.send_header("Content-Length", "0")
                self.end_headers()
                while found.endless:
                    self.wfile.write(found.endless)
                    time.sleep(0.005)
            found.closed.set()

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield found
    finally:
        found.go.set()
        server.shutdown()
        thread.join()
        server.server_close()


class EndlessServer:
    """A server on ``port`` that sends ``first``, and then ``again`` until the client closes.

    It sets ``closed`` then. With an empty ``again`` it is silent.
    """

    def __init__(self, first: bytes, again: bytes) -> None:
        self.closed = threading.Event()
        self._texts = first, again
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def stop(self) -> None:
        """Stop listening."""
        self._listener.close()

    def _serve(self) -> None:
        first, again = self._texts
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(first)
                while again or connection.recv(65536):
                    connection.sendall(again)
                    time.sleep(0.005)
            self.closed.set()


@contextlib.contextmanager
def endless_server(first: bytes, again: bytes = b"") -> Iterator[EndlessServer]:
    """Run a server that never ends its response to one connection, and yield it."""
    server = EndlessServer(first, again)
    try:
        yield server
    finally:
        server.stop()
