"""One request: a document as gzip, over TLS; nothing of the answer but its status is read.

No redirect is followed, no proxy of the environment is used, no cookie is kept, and nothing is sent
that tells one device from another.
"""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from certpin._version import __version__
from certpin.pins import normalise
from certpin.reports.reporter.retry import Answer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from certpin.reports.reporter.settings import ReporterSettings

    # For a normalised host: the context that its TLS is verified by.
    ContextFor = Callable[[str], ssl.SSLContext]

_HTTP, _HTTPS = 80, 443


class Line:
    """A connection that another thread, or the clock, can cut."""

    def __init__(self, settings: ReporterSettings) -> None:
        self._guard = threading.Lock()
        self._socket: socket.socket | None = None
        self._cut = False
        self._patience = settings.patience.total_seconds()
        self._until = time.monotonic() + settings.deadline.total_seconds()

    def dial(self, host: str, port: int) -> socket.socket:
        """A connection. Raises ``OSError``."""
        sock = socket.create_connection((host, port), timeout=self._patience)
        with self._guard:
            self._socket = sock.dup()  # TLS takes the socket itself over
            if self._cut:
                self._shut()
        return sock

    def cut(self) -> None:
        """End whatever waits for the server, and whatever would."""
        with self._guard:
            self._cut = True
            self._shut()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Cut it at the deadline: a server may send a byte now and then for ever."""
        timer = threading.Timer(max(self._until - time.monotonic(), 0), self.cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            with self._guard:
                if self._socket is not None:
                    self._socket.close()
                self._socket = None

    def _shut(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


class _Connection(http.client.HTTPConnection):
    """To a host over a line. ``context`` is ``None`` for clear text, to this machine."""

    def __init__(self, host: str, port: int, line: Line, context: ssl.SSLContext | None) -> None:
        super().__init__(host, port)
        self._line = line
        self._tls = context
        # What the Host header leaves out.
        self.default_port = _HTTP if context is None else _HTTPS

    def connect(self) -> None:
        sock = self._line.dial(self.host, self.port)
        if self._tls is not None:
            sock = self._tls.wrap_socket(sock, server_hostname=self.host)
        self.sock = sock


def post(
    address: str, document: dict[str, Any], line: Line, context_for: ContextFor, *, packed: bool
) -> Answer:
    """Send a document. Raises ``OSError`` or ``http.client.HTTPException`` without an answer."""
    url = urlsplit(address)
    secure = url.scheme == "https"
    host = normalise(url.hostname or "")
    port = url.port or (_HTTPS if secure else _HTTP)
    context = context_for(host) if secure else None
    body = json.dumps(document).encode()
    headers = {"Content-Type": "application/json", "User-Agent": f"certpin/{__version__}"}
    headers |= {"Accept-Encoding": "identity", "Connection": "close"}
    if packed:
        body = gzip.compress(body, mtime=0)
        headers["Content-Encoding"] = "gzip"
    connection = _Connection(host, port, line, context)
    with line.watched():
        try:
            connection.request("POST", _target(url.path, url.query), body, headers)
            response = connection.getresponse()
            return Answer(response.status, response.headers.get("Retry-After", ""))
        finally:
            connection.close()


def _target(path: str, query: str) -> str:
    return (path or "/") + (f"?{query}" if query else "")
