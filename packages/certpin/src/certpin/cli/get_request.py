"""The HTTP request of ``certpin get``. A request that servers can't parse is refused."""

from __future__ import annotations

import http.client
import re
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, urlsplit

import click

from certpin.probe import split_address
from certpin.support.network import connect_to, time_limit
from certpin.tls.failures import requesting

if TYPE_CHECKING:
    from certpin.tls import PinnedSSLContext

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 section 5.6.2
_LINE_ENDS = re.compile(r"[\r\n\0]")  # RFC 9110 section 5.5
_SAFE = "/?&=%:@!$'()*+,;~-._[]"  # not percent-encoded in path and query (RFC 3986)


@dataclass(frozen=True)
class Request:
    """The HTTP request of ``certpin get``.

    ``headers`` and ``body`` may contain secrets, and are not in its ``repr``.
    """

    host: str
    port: int
    target: str
    method: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes | None = field(repr=False)

    @classmethod
    def read(
        cls, url: str, method: str | None, headers: tuple[str, ...], data: str | None
    ) -> Request:
        """Return the request that the arguments of the command describe.

        Args:
            url: the URL, with https.
            method: the HTTP method; by default GET, or POST with data.
            headers: the headers, each as ``NAME: VALUE``.
            data: the body; None for no body.

        Raises:
            click.UsageError: an argument is invalid.
            HostError: the URL has no valid host.
        """
        parts = _split(url)
        host, port = split_address(parts.netloc)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if method is None:
            method = "GET" if data is None else "POST"
        if not _TOKEN.fullmatch(method):
            raise click.UsageError(f"{method[:80]!r} is not a method")
        body = None if data is None else data.encode(errors="surrogateescape")
        pairs = tuple(map(_header, headers))
        return cls(host, port, quote(target, _SAFE), method, pairs, body)

    def send(self, connection: http.client.HTTPSConnection) -> None:
        """Send the request over a connection.

        The caller then reads the response from the connection.

        Raises:
            OSError: the connection fails. ``PinError`` is a subclass.
            http.client.HTTPException: the request can't be sent.
        """
        names = {name.lower() for name, _ in self.headers}
        connection.putrequest(
            self.method,
            self.target,
            skip_host="host" in names,
            skip_accept_encoding="accept-encoding" in names,
        )
        for name, value in self.headers:
            connection.putheader(name, value.encode(errors="surrogateescape"))
        if self.body is not None and "content-length" not in names:
            connection.putheader("Content-Length", str(len(self.body)))
        connection.endheaders(self.body)


class PinnedConnection(http.client.HTTPSConnection):
    """A pinned HTTPS connection to a host, optionally through an address that the user chose.

    Args:
        request: the request, which names the host and the port.
        context: the TLS context, which checks the pins.
        connect: the address to connect to, ``ADDRESS[:PORT]``; None to resolve the host's name.
        timeout: seconds for each step of the connection, and for each read or write after that.

    Attributes:
        seconds: the timeout.
    """

    def __init__(
        self, request: Request, context: PinnedSSLContext, connect: str | None, timeout: float
    ) -> None:
        super().__init__(request.host, request.port, timeout=timeout, context=context)
        default = (request.host, request.port)
        self._address = default if connect is None else split_address(connect, request.port)
        self._pinned = context
        self.seconds = timeout
        # Python before 3.11.4 lets OpenSSL take a connection that was cut for one that was closed.
        ignored = int(getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0))  # not with OpenSSL 1.1.1
        context.options = ssl.Options(int(context.options) & ~ignored)

    def connect(self) -> None:
        """Connect, and check the pins before the first byte of the request is sent.

        Raises:
            PinError: the chain does not verify, or no pin matches.
            OSError: there was no connection in time.
        """
        plain = connect_to(*self._address, self.seconds)
        try:
            _, port = self._address  # for errors: the only server of the policy has it
            # A response that an attacker truncates must not look complete (RFC 9112 section 9.8).
            with requesting(self.host, port), time_limit(plain, self.seconds):
                self.sock = self._pinned.wrap_socket(
                    plain, server_hostname=self.host, suppress_ragged_eofs=False
                )
        except BaseException:
            plain.close()
            raise


def _split(url: str) -> SplitResult:
    """Split a URL into its parts. An error doesn't quote the URL, which may contain a password.

    Raises:
        click.UsageError: the URL is invalid, has a password, or is not https.
    """
    if not url.isprintable() or " " in url:
        raise click.UsageError("there is a space or a control character in the URL")
    try:
        parts = urlsplit(url)
    except ValueError as exc:
        raise click.UsageError("this is not a URL: write https://HOST/PATH") from exc
    if "@" in parts.netloc:
        raise click.UsageError(
            "a URL with a user name or a password is refused: it would appear in the list of "
            "processes and in logs. Send a header: -H 'Authorization: …'"
        )
    if parts.scheme != "https":
        raise click.UsageError(
            "this is not an https URL, and without TLS there is nothing to pin: write "
            "https://HOST/PATH"
        )
    return parts


def _header(text: str) -> tuple[str, str]:
    """Split a header ``NAME: VALUE`` into name and value.

    An error doesn't quote the text: it may contain a secret, and without a colon it is unknown
    which part is the secret.

    Raises:
        click.UsageError: the text is not a header.
    """
    name, colon, value = text.partition(":")
    if not colon or not _TOKEN.fullmatch(name) or _LINE_ENDS.search(value):
        raise click.UsageError(
            "a header (-H) is invalid: write NAME: VALUE, in one line. It is not shown here, "
            "because it may have a secret"
        )
    return name, value.strip()
