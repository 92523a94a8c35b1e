"""Fetch the newest signed pin set over one pinned connection, with limits on time and size.

1. The timestamp is fetched. If it is the one of the newest known pin set, and no metadata
   have expired, there is nothing new (docs/decisions, 23), unless there is a newer root, which may
   revoke the key that signed this timestamp. The next root is requested at intervals
   (``Timing.roots``), over the same connection.
2. Otherwise ``tuf.ngclient`` follows TUF 1.0.31, section 5, from the bundled root, with the cached
   metadata.
3. The targets that are not known yet are fetched, and ``trust`` verifies the whole pin set.

Only ``https``; no redirects, compression or proxies. The deadline of the whole check stops a server
that avoids the timeout of each read by sending a byte a second.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.client import HTTPException
from io import BytesIO
from typing import IO, TYPE_CHECKING, NamedTuple

from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    SlowRetrievalError,
)
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as HTTPTimeoutError

from certpin.errors import PinError
from certpin.updates import trust

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from tuf.api.metadata import TargetFile
    from urllib3.response import BaseHTTPResponse

    from certpin.support.http import Deadline
    from certpin.tls import PinnedSSLContext
    from certpin.updates.cache import Store
    from certpin.updates.settings import Address, Limits
    from certpin.updates.trust import SignedSet, VerifiedMetadata


_CHUNK = 64 * 1024
# RFC 9110 section 12.5.3: no compression, because decompressed data could be endless.
_HEADERS = {"Accept-Encoding": "identity"}
_MAX_ERROR_PAGE = 16 * 1024  # bytes of an error page that are read to keep the connection


class _UpdateConnection(HTTPSConnection):
    """An HTTPS connection with a deadline for connecting and reading."""

    deadline: Deadline

    def _new_conn(self) -> socket.socket:
        return self.deadline.connect(self.host, self.port, self.socket_options or ())


class Channel(FetcherInterface):
    """Fetches the files of one refresh over one connection, which is opened on first use.

    The first of ``contexts`` with pins that match the server is used, because a pin set in force
    with wrong pins for the update server must not prevent later updates. All errors are
    ``DownloadError`` of tuf.
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
        self._connection: _UpdateConnection | None = None

    def close(self) -> None:
        """Close the connection, if one is open."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    @contextmanager
    def download_file(self, url: str, max_length: int) -> Iterator[IO[bytes]]:
        """Yield the content of a file of the server, as a file in memory.

        It is not written to disk, because the limits are low and a disk may be full. The limit for
        the file applies too, because ``max_length`` may come from signed metadata: for a snapshot,
        an attacker needs only the online key.
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
        """Request a file, and yield its content in pieces. ``url`` is a path on the only server."""
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

    def _connected(self) -> _UpdateConnection:
        self._require_time()
        if self._connection is None or not self._connection.is_connected:
            self.close()
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> _UpdateConnection:
        *others, last = self._contexts
        for context in others:
            with suppress(PinError):
                return self._connect_with(context)
        return self._connect_with(last)

    def _connect_with(self, context: PinnedSSLContext) -> _UpdateConnection:
        host, port, _ = self._address
        connection = _UpdateConnection(host, port, timeout=self._deadline.left, ssl_context=context)
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


class UpdateSource(NamedTuple):
    """The data that stay the same in all checks of an updater.

    ``name`` is the name of the pin set, ``root`` the root metadata bundled with the app.
    """

    name: str
    root: bytes
    address: Address
    limits: Limits
    store: Store


def fetch_newest(
    source: UpdateSource,
    channel: Channel,
    known: SignedSet | None,
    now: datetime,
    *,
    ask_root: bool,
) -> SignedSet:
    """Fetch and verify the newest signed pin set. Return ``known`` itself if there is nothing new.

    Call it within ``update_errors()``. ``tuf.ngclient`` reads the system's clock; the metadata that
    it accepts must also be valid at ``now``.

    Args:
        source: the constants of all checks.
        channel: the connection to the server.
        known: the newest pin set that was verified before.
        now: the current time.
        ask_root: request the next root even if the timestamp is the known one.
    """
    if (
        known is not None
        and known.is_newest(_timestamp(source, channel), now)
        and not (ask_root and _has_newer_root(source, channel))
    ):
        return known
    try:
        follow(source, channel)
    except OSError:  # of the disk: network errors are DownloadErrors
        if not source.store.move_out():
            raise
        follow(source, channel)
    return _fetch_set(source, channel, known, now)


def _timestamp(source: UpdateSource, channel: Channel) -> bytes:
    path = source.address.metadata + "timestamp.json"
    return channel.download_bytes(path, source.limits.timestamp)


def _has_newer_root(source: UpdateSource, channel: Channel) -> bool:
    """Return True if the server has a root newer than the newest cached one (TUF 1.0.31, 5.3.3).

    The bytes are not used: ``tuf.ngclient`` fetches and verifies the root. Object storage that
    clients can't list answers 403 for a missing file, which ``tuf.ngclient`` also accepts.
    """
    version = source.store.follow(source.root)[-1].version + 1
    try:
        channel.download_bytes(f"{source.address.metadata}{version}.root.json", source.limits.root)
    except DownloadHTTPError as exc:
        if exc.status_code in {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}:
            return False
        raise
    return True


def follow(source: UpdateSource, channel: FetcherInterface) -> None:
    """Fetch and verify the newest metadata with ``tuf.ngclient``, which stores it in the cache.

    It follows TUF 1.0.31, sections 5.3 to 5.6. Raises the errors of tuf, and ``OSError`` of the
    disk. Roles verified before an error stay in the cache, as a lower bound for later versions.
    """
    limits = source.limits
    config = UpdaterConfig(
        max_root_rotations=limits.rotations,
        max_delegations=0,
        root_max_length=limits.root,
        timestamp_max_length=limits.timestamp,
        snapshot_max_length=limits.snapshot,
        targets_max_length=limits.targets,
    )
    source.store.metadata.mkdir(mode=0o700, parents=True, exist_ok=True)
    Updater(
        str(source.store.metadata),
        source.address.metadata,
        fetcher=channel,
        config=config,
        # Not the bundled one: tuf.ngclient counts rotations from here, so that a client could never
        # get past the largest number of them.
        bootstrap=source.store.newest_root(source.root),
    ).refresh()


def _fetch_set(
    source: UpdateSource, channel: Channel, known: SignedSet | None, now: datetime
) -> SignedSet:
    roots = source.store.follow(source.root)
    verified = trust.verify_metadata(roots[-1], source.store.read(), source.name, source.limits)
    if now >= verified.until:
        raise ExpiredMetadataError(f"it was good until {verified.until:%Y-%m-%d %H:%M} UTC")
    files = {
        name: _target_bytes(source, channel, verified, known, name) for name in verified.targets
    }
    return trust.mark_recovery(trust.verify_files(verified, files), known, roots[-1])


def _target_bytes(
    source: UpdateSource,
    channel: Channel,
    verified: VerifiedMetadata,
    known: SignedSet | None,
    name: str,
) -> bytes:
    """Return a target file: that of the known pin set if it is unchanged, else fetch it."""
    info = verified.targets[name]
    if known is not None and name in known.files:
        same = known.verified.targets[name]
        if (same.length, same.hashes) == (info.length, info.hashes):
            return known.files[name]
    return fetch_target(source.address, channel, name, info)


def fetch_target(address: Address, channel: FetcherInterface, name: str, info: TargetFile) -> bytes:
    """Fetch a target file, at most as many bytes as are signed. The bytes are not verified yet."""
    return channel.download_bytes(address.target(name, info.hashes["sha256"]), info.length)
