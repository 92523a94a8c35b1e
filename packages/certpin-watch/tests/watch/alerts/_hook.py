"""A web server that receives notifications, keeps them, and answers with a chosen status."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Hook:
    """Keeps the requests in ``bodies``. Answers with ``status`` once ``go`` is set."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.raw: list[bytes] = []
        self.status = 200
        self.go = threading.Event()
        self.go.set()
        self.port = 0

    def url(self, secret: str = "", scheme: str = "json") -> str:
        """Return its address in the notation of apprise."""
        return f"{scheme}://127.0.0.1:{self.port}/{secret}"


@contextlib.contextmanager
def hook() -> Iterator[Hook]:
    """Run a server while the block runs."""
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
                self.send_header("Content-Length", "0")
                self.end_headers()

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
