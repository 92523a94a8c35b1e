"""A web server that records the notifications it receives, and responds with a chosen status."""

from __future__ import annotations

import contextlib
import json
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
