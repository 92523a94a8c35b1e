"""A report collector on loopback, over HTTP or HTTPS, which stores the requests that it gets."""

from __future__ import annotations

import gzip
import json
import threading
from collections import deque
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from certpin.lab.lab_server import server_context

if TYPE_CHECKING:
    from certpin.lab import Identity

PATIENCE = 15  # seconds


class Arrival(NamedTuple):
    """One request that a collector received: the path, the headers and the decoded JSON body."""

    path: str
    headers: dict[str, str]
    document: dict[str, Any]


class Answer(NamedTuple):
    """The HTTP response that a collector sends to one request: its status and headers."""

    status: int
    headers: dict[str, str] = {}  # noqa: RUF012  # never changed


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.owner.take(Arrival(self.path, headers, json.loads(body)))
        if answer is None:
            self._drag()
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _drag(self) -> None:
        """Send the response one byte at a time, and never finish it."""
        with suppress(OSError):
            while not self.server.owner.let_go.wait(0.02):
                self.wfile.write(b"H")
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 64
    owner: Collector

    def handle_error(self, *_: Any) -> None:
        pass  # clients hang up


class Collector:
    """A report collector: an HTTP server that runs while its ``with`` block runs.

    It responds with the elements of ``answers``, in order, and with status 204 when none is left.
    For the element ``None`` it sends a response that never ends.

    Args:
        identity: the certificate and key for HTTPS; ``None`` for HTTP.
        name: the host in the collector's ``url``.
    """

    def __init__(self, identity: Identity | None = None, name: str = "127.0.0.1") -> None:
        self.answers: deque[Answer | None] = deque()
        self.let_go = threading.Event()
        self._arrived: list[Arrival] = []
        self._changed = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        if identity is not None:
            tls = server_context(identity)
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        scheme = "http" if identity is None else "https"
        self.url = f"{scheme}://{name}:{self._server.server_address[1]}/reports?app=bank"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def take(self, arrival: Arrival) -> Answer | None:
        with self._changed:
            self._arrived.append(arrival)
            self._changed.notify_all()
            return self.answers.popleft() if self.answers else Answer(204)

    def arrived(self, count: int = 0) -> list[Arrival]:
        """Wait until at least ``count`` requests have arrived, and return all requests so far."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self._arrived) >= count, PATIENCE)
            assert came, f"{len(self._arrived)} of {count} arrived"
            return list(self._arrived)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
