"""One small HTTP request with a deadline: no redirects, no proxies, no cookies, a bounded body."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping
    from email.message import Message

    from certpin.support.deadline import Deadline

_HTTP, _HTTPS = 80, 443


class BodyTooLargeError(http.client.HTTPException):
    """The body of a response is larger than the caller allows."""


@dataclass(frozen=True)
class HTTPAnswer:
    """The status, the headers and the body of a response."""

    status: int
    headers: Message
    body: bytes


class _Connection(http.client.HTTPConnection):
    """An HTTP connection with a deadline. ``context`` is its TLS context; None for clear text."""

    def __init__(
        self, host: str, port: int, deadline: Deadline, context: ssl.SSLContext | None
    ) -> None:
        super().__init__(host, port)
        self._deadline = deadline
        self._tls = context
        self.default_port = _HTTP if context is None else _HTTPS  # not written in the Host header

    def connect(self) -> None:
        sock = self._deadline.connect(self.host, self.port)
        if self._tls is not None:
            sock = self._tls.wrap_socket(sock, server_hostname=self.host)
        self.sock = sock


def exchange(  # noqa: PLR0913  # the parts of a request
    method: str,
    address: str,
    deadline: Deadline,
    context: ssl.SSLContext | None,
    *,
    host: str = "",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    max_bytes: int = 0,
) -> HTTPAnswer:
    """Send a request on a new connection, and return the response.

    Args:
        method: the HTTP method.
        address: an ``https://`` or ``http://`` URL. The caller decides if clear text is allowed.
        deadline: the time limit of the whole exchange.
        context: verifies the server; used only for ``https://``.
        host: the normalised host, if it differs from the one in the URL.
        headers: additional headers of the request.
        body: the body of the request.
        max_bytes: the largest body of a response that is accepted. With 0 the body is not read.

    Raises:
        OSError: there was no connection, or no response in time.
        http.client.HTTPException: the response is not HTTP, or too large (``BodyTooLargeError``).
    """
    url = urlsplit(address)
    secure = url.scheme == "https"
    port = url.port or (_HTTPS if secure else _HTTP)
    used = context if secure else None
    connection = _Connection(host or url.hostname or "", port, deadline, used)
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    sent = {"Accept-Encoding": "identity", "Connection": "close", **(headers or {})}
    with deadline.enforced():
        try:
            connection.request(method, target, body, sent)
            response = connection.getresponse()
            data = response.read(max_bytes + 1) if max_bytes else b""
            if len(data) > max_bytes:
                raise BodyTooLargeError(f"the answer has more than {max_bytes} bytes")
            return HTTPAnswer(response.status, response.headers, data)
        finally:
            connection.close()
