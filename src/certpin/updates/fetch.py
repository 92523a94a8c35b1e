"""The way to the server: one pinned connection for one refresh, with limits on time.

Only ``https``, no redirect, no compression, no proxy. A server that is slow within each wait, by
sending a byte a second, meets the deadline of the whole.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.client import HTTPException
from io import BytesIO
from typing import IO, TYPE_CHECKING

from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    SlowRetrievalError,
)
from tuf.ngclient import FetcherInterface
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as HTTPTimeoutError

from certpin.errors import PinError

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence

    from urllib3.response import BaseHTTPResponse

    from certpin.support.deadline import Deadline
    from certpin.tls import PinnedSSLContext
    from certpin.updates.address import Address
    from certpin.updates.settings import Limits

_CHUNK = 64 * 1024
# RFC 9110 section 12.5.3: no compression, because decompressed data could be endless.
_HEADERS = {"Accept-Encoding": "identity"}
_MAX_ERROR_PAGE = 16 * 1024  # bytes of an error page that are read to keep the connection


class _Connection(HTTPSConnection):
    """A connection with a deadline, which also covers connecting."""

    deadline: Deadline

    def _new_conn(self) -> socket.socket:
        return self.deadline.connect(self.host, self.port, self.socket_options or ())


class Channel(FetcherInterface):
    """Fetches the files of one refresh over one connection, which is opened on first use.

    The first of ``contexts`` whose pins match is used: a set in force with wrong pins for the
    update server must not prevent later updates. All errors are ``DownloadError`` of tuf.
    """

    def __init__(
        self,
        address: Address,
        limits: Limits,
        contexts: Sequence[PinnedSSLContext],
        deadline: Deadline,
    ) -> None:
        self._address = address
        self._limits = limits
        self._contexts = contexts
        self._deadline = deadline
        self._connection: _Connection | None = None

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    @contextmanager
    def download_file(self, url: str, max_length: int) -> Iterator[IO[bytes]]:
        """As in ``FetcherInterface``, but in memory: the limits are low, and a disk may be full.

        The limit for the file applies too, because ``max_length`` may come from signed metadata:
        for a snapshot, an attacker needs only the online key.
        """
        limit = min(max_length, self._limits.of(url.removeprefix(self._address.path)))
        held = BytesIO()
        for chunk in self.fetch(url):
            if held.tell() + len(chunk) > limit:
                self.close()
                raise DownloadLengthMismatchError(f"{url} has more than {limit} bytes")
            held.write(chunk)
        held.seek(0)
        yield held

    def _fetch(self, url: str) -> Iterator[bytes]:
        """Yield the body. ``url`` is a path: there is only one server."""
        try:
            response = self._request(url)
            while chunk := response.read1(_CHUNK, decode_content=False):
                yield chunk
                self._require_time()
        except DownloadHTTPError:
            raise
        except DownloadError:
            self.close()
            raise
        except (OSError, HTTPError, HTTPException, ValueError) as exc:
            self.close()
            self._require_time()
            raise _failed(url, exc) from exc

    def _request(self, path: str) -> BaseHTTPResponse:
        connection = self._connected()
        connection.timeout = self._deadline.left
        connection.request("GET", path, headers=_HEADERS, preload_content=False)
        response = connection.getresponse()
        if response.status != HTTPStatus.OK:
            if len(response.read(_MAX_ERROR_PAGE, decode_content=False)) == _MAX_ERROR_PAGE:
                self.close()
            raise _refused(path, response.status)
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise DownloadError(f"{path} is compressed, which was not requested")
        return response

    def _require_time(self) -> None:
        if self._deadline.passed:
            raise SlowRetrievalError("the time for a refresh is up")

    def _connected(self) -> _Connection:
        self._require_time()
        if self._connection is None or not self._connection.is_connected:
            self.close()
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> _Connection:
        *others, last = self._contexts
        for context in others:
            with suppress(PinError):
                return self._connect_with(context)
        return self._connect_with(last)

    def _connect_with(self, context: PinnedSSLContext) -> _Connection:
        host, port, _ = self._address
        connection = _Connection(host, port, timeout=self._deadline.left, ssl_context=context)
        connection.deadline = self._deadline
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        return connection


def _refused(path: str, status: int) -> DownloadError:
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return DownloadError(f"{path} is answered with a redirect ({status}), and none is followed")
    return DownloadHTTPError(f"{path} is answered with status {status}", status)


def _failed(path: str, exc: Exception) -> DownloadError:
    if isinstance(exc, TimeoutError | HTTPTimeoutError):
        return SlowRetrievalError(f"{path}: nothing came in time")
    return DownloadError(f"{path}: {exc}")
