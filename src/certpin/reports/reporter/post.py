"""One request: a document as gzip, over TLS; nothing of the answer but its status is read.

No redirect is followed, no proxy of the environment is used, no cookie is kept, and nothing is sent
that tells one device from another.
"""

from __future__ import annotations

import gzip
import http.client
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from certpin._version import __version__
from certpin.pins import normalise
from certpin.reports.reporter.retry import Answer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from certpin.support.deadline import Deadline

    # For a normalised host: the context that its TLS is verified by.
    ContextFor = Callable[[str], ssl.SSLContext]

_HTTP, _HTTPS = 80, 443


class _Connection(http.client.HTTPConnection):
    """A connection with a deadline. ``context`` is None for clear text, to this machine."""

    def __init__(
        self, host: str, port: int, deadline: Deadline, context: ssl.SSLContext | None
    ) -> None:
        super().__init__(host, port)
        self._deadline = deadline
        self._tls = context
        # What the Host header leaves out.
        self.default_port = _HTTP if context is None else _HTTPS

    def connect(self) -> None:
        sock = self._deadline.connect(self.host, self.port)
        if self._tls is not None:
            sock = self._tls.wrap_socket(sock, server_hostname=self.host)
        self.sock = sock


def post(
    address: str,
    document: dict[str, Any],
    deadline: Deadline,
    context_for: ContextFor,
    *,
    packed: bool,
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
    connection = _Connection(host, port, deadline, context)
    with deadline.enforced():
        try:
            connection.request("POST", _target(url.path, url.query), body, headers)
            response = connection.getresponse()
            return Answer(response.status, response.headers.get("Retry-After", ""))
        finally:
            connection.close()


def _target(path: str, query: str) -> str:
    return (path or "/") + (f"?{query}" if query else "")
