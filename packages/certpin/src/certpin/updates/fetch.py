"""Fetch the newest signed pin set over one pinned connection, with limits on time and size.

1. The timestamp metadata is fetched. There is nothing new if it equals the timestamp of the newest
   known pin set, and none of that pin set's metadata has expired (docs/decisions, 23). Then only a
   newer root could matter, because it may revoke the key that signed this timestamp: the next root
   is requested at intervals (``Timing.roots``), over the same connection.
2. Otherwise ``tuf.ngclient`` follows TUF 1.0.31, section 5, from the bundled root, with the cached
   metadata.
3. The target files that are not known yet are fetched, and ``trust`` verifies the whole pin set.

Only ``https``; no redirects, compression or proxies. One deadline limits the whole check, because a
server that sends a byte a second would never exceed the timeout of a single read.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import replace
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

from certpin._version import __version__
from certpin.errors import PinError
from certpin.pins import utc_now, verify
from certpin.support.network import Connection
from certpin.tls import assert_pinned
from certpin.updates import trust

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from http.client import HTTPResponse

    from tuf.api.metadata import Root, TargetFile

    from certpin.pins import HostPolicy
    from certpin.support.network import Deadline
    from certpin.tls import PinnedSSLContext
    from certpin.updates.cache import Store
    from certpin.updates.settings import Address, Limits
    from certpin.updates.trust import SignedSet, VerifiedMetadata


_CHUNK = 64 * 1024
_HEADERS = {
    # RFC 9110 section 12.5.3: no compression, because decompressed data could be endless.
    "Accept-Encoding": "identity",
    "User-Agent": f"certpin/{__version__}",  # some firewalls refuse a request without one
}
_MAX_ERROR_PAGE = 16 * 1024  # bytes of an error page that are read to keep the connection


class Channel(FetcherInterface):
    """Downloads the files of one update check over one connection, which is opened on first use.

    If the server closes the connection between two requests, another one is opened.
    ``tuf.ngclient`` uses this class as its fetcher, so all errors are a ``DownloadError`` of tuf.
    The connection is one of the standard library, and not of urllib3, because a package that
    replaces urllib3 changes SSL contexts (docs/decisions, 36).

    Args:
        address: host, port and path of the published folder.
        limits: the maximum sizes of the files.
        contexts: SSL contexts with different pins for the server, in the order in which they are
            tried until one accepts the server. There are several, because wrong pins in the newest
            pin set must not prevent later updates.
        deadline: the time limit of the whole check.
        newest: the policy that the newest pin set has for the server, if any. A key that it marks
            compromised is refused whatever its mode is, also if a context accepts that key.
    """

    def __init__(
        self,
        address: Address,
        limits: Limits,
        contexts: Sequence[PinnedSSLContext],
        deadline: Deadline,
        newest: HostPolicy | None,
    ) -> None:
        self._address = address
        self._limits = limits
        self._contexts = contexts
        self._deadline = deadline
        self._newest = newest
        self._connection: Connection | None = None

    def close(self) -> None:
        """Close the connection, if one is open."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    @contextmanager
    def download_file(self, url: str, max_length: int) -> Iterator[IO[bytes]]:
        """Yield the content of a published file, as a file in memory.

        The content is not written to disk, because the size limits are low and a disk may be full.

        Args:
            url: the path of the file on the update server.
            max_length: the maximum size in bytes. It may come from signed metadata, and an attacker
                with a stolen online key can sign any size of the snapshot. Therefore the limit of
                ``Limits`` for this file applies too.

        Raises:
            DownloadError: the file is too long, or can't be fetched in time.
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
        """Request a file by its path on the update server, and yield its content in chunks.

        Raises ``DownloadError`` of tuf if that fails.
        """
        try:
            with self._request(url) as response:
                self._require_file(url, response)
                while chunk := self._read(url, response):
                    yield chunk
        except DownloadHTTPError:
            raise
        except DownloadError:
            self.close()
            raise
        except (OSError, HTTPException, ValueError) as exc:
            self.close()
            self._require_time()
            raise _failed(url, exc) from exc

    def _request(self, path: str) -> HTTPResponse:
        reused = self._connection is not None and self._connection.sock is not None
        try:
            return self._send(path)
        except OSError as exc:
            # The server may close an idle connection at any time (RFC 9112 section 9.5). Depending
            # on the moment, that is a ConnectionError or one of several SSLErrors.
            if not reused or isinstance(exc, TimeoutError):
                raise
        self.close()
        return self._send(path)

    def _send(self, path: str) -> HTTPResponse:
        connection = self._connected()
        connection.request("GET", path, headers=_HEADERS)
        return connection.getresponse()

    def _require_file(self, path: str, response: HTTPResponse) -> None:
        if response.status != HTTPStatus.OK:
            response.read(_MAX_ERROR_PAGE)
            if not response.isclosed():
                self.close()
            raise _refused(path, response.status)
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise DownloadError(f"{path} is compressed, which was not requested")

    def _read(self, path: str, response: HTTPResponse) -> bytes:
        """Return the next bytes of the body of ``response``; empty at its end.

        ``path`` is the path of the file on the server, for errors. Raises ``DownloadError`` of tuf
        if the body is too short, or no time is left.
        """
        chunk = response.read(_CHUNK)
        self._require_time()  # the deadline ends a connection, which looks like the end of a body
        if not chunk and response.length:
            raise DownloadError(f"{path} ended {response.length} bytes too early")
        return chunk

    def _require_time(self) -> None:
        if self._deadline.passed:
            raise SlowRetrievalError("the time for a refresh is up")

    def _connected(self) -> Connection:
        self._require_time()
        if self._connection is None or self._connection.sock is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> Connection:
        *newer, last = self._contexts
        for context in newer:
            with suppress(PinError):
                return self._connect_with(context)
        connection = self._connect_with(last)
        try:
            self._require_uncompromised(connection)
        except PinError:
            connection.close()
            raise
        return connection

    def _connect_with(self, context: PinnedSSLContext) -> Connection:
        connection = Connection(self._address.host, self._address.port, self._deadline, context)
        connection.connect()
        return connection

    def _require_uncompromised(self, connection: Connection) -> None:
        """Raise ``PinMismatchError`` if the newest pin set marks a key of the server compromised.

        The context of the newest set may not have compared any keys: it may have refused the server
        because of its trust anchors, or there is none, because the policy only reports.

        Args:
            connection: a connection that another context accepted; the keys of its verified chain
                are compared.
        """
        if self._newest is None:
            return
        host = self._address.host
        accepted = assert_pinned(connection, host)
        verdict = verify(accepted.chain, self._newest, utc_now(), pins_only=True)
        if verdict.reason == "compromised-key":
            refusal = replace(verdict, decision="refuse")  # in mode "report", too
            refusal.raise_for_refusal(host, self._address.port)


def _refused(path: str, status: int) -> DownloadError:
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return DownloadError(f"{path} is answered with a redirect ({status}), and none is followed")
    return DownloadHTTPError(f"{path} is answered with status {status}", status)


def _failed(path: str, exc: Exception) -> DownloadError:
    if isinstance(exc, TimeoutError):
        return SlowRetrievalError(f"{path}: nothing came in time")
    # The text of an HTTPException may contain a line of the server.
    return DownloadError(f"{path}: {exc!r}" if isinstance(exc, HTTPException) else f"{path}: {exc}")


class UpdateSource(NamedTuple):
    """The settings and data of an updater that all its update checks share.

    Attributes:
        name: the name of the pin set bundled with the app, which each published pin set must have
            too.
        root: the bytes of the root metadata bundled with the app.
        address: host, port and path of the published folder.
        limits: the maximum sizes of the files.
        store: the cache folder.
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
    """Fetch and verify the newest signed pin set. Return ``known`` itself if none is newer.

    Call it within ``update_errors()``, which turns the exceptions of tuf into ``UpdateError``. The
    metadata must be valid by two clocks: by the system's clock, which ``tuf.ngclient`` reads, and
    at the time ``now``.

    Args:
        source: the settings and data that all checks of an updater share.
        channel: the connection to the update server.
        known: the newest pin set that was verified before; ``None`` if there is none.
        now: the current time.
        ask_root: True to request the next version of the root metadata even if the timestamp hasn't
            changed.
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
    """Return True if the server has root metadata newer than the cached one (TUF 1.0.31, 5.3.3).

    The downloaded bytes are discarded: ``tuf.ngclient`` fetches the root again and verifies it.
    Status 403 also means that the file is missing, as in ``tuf.ngclient``, because object storage
    returns it for a missing file if clients can't list files.

    ``source`` has the settings and the cache, and ``channel`` is the connection to the server.
    """
    version = source.store.follow(source.root, source.name)[-1].version + 1
    try:
        channel.download_bytes(f"{source.address.metadata}{version}.root.json", source.limits.root)
    except DownloadHTTPError as exc:
        if exc.status_code in {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}:
            return False
        raise
    return True


def follow(source: UpdateSource, channel: FetcherInterface) -> None:
    """Fetch and verify the newest metadata with ``tuf.ngclient``, which stores it in the cache.

    It follows TUF 1.0.31, sections 5.3 to 5.6. Metadata that was verified before an error stays in
    the cache, so that later checks refuse lower versions.

    Args:
        source: the settings and data that all checks of an updater share.
        channel: downloads the files.

    Raises:
        RepositoryError: the metadata is invalid. This is an error class of tuf.
        DownloadError: a file can't be fetched. This is an error class of tuf, too.
        OSError: the cache can't be written.
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
    source.store.make_metadata_folder()
    # Not the bundled one: tuf.ngclient counts rotations from here, so that a client could never get
    # past the largest number of them.
    bootstrap = source.store.newest_root(source.root, source.name)
    newest = trust.read_metadata("root", bootstrap).signed
    source.store.drop_roots(newest.version)
    Updater(
        str(source.store.metadata),
        source.address.metadata,
        fetcher=_RootFilter(channel, newest, source.name),
        config=config,
        bootstrap=bootstrap,
    ).refresh()


class _RootFilter(FetcherInterface):
    """Downloads files for ``tuf.ngclient``, and refuses root metadata of a different pin set.

    ``tuf.ngclient`` doesn't distinguish pin sets: if another pin set's root has valid signatures,
    it would store that root and trust it.

    Args:
        channel: downloads the files.
        newest: the newest verified root metadata.
        name: the name of the pin set bundled with the app.
    """

    def __init__(self, channel: FetcherInterface, newest: Root, name: str) -> None:
        self._channel, self._newest, self._name = channel, newest, name

    @contextmanager
    def download_file(self, url: str, max_length: int) -> Iterator[IO[bytes]]:
        with self._channel.download_file(url, max_length) as file:
            if url.endswith(".root.json"):
                root = trust.read_metadata("root", file.read()).signed
                trust.require_pin_set(root, self._newest, self._name)
                self._newest = root  # tuf.ngclient verifies it before it requests another file
                file.seek(0)
            yield file

    def _fetch(self, url: str) -> Iterator[bytes]:
        return self._channel.fetch(url)


def _fetch_set(
    source: UpdateSource, channel: Channel, known: SignedSet | None, now: datetime
) -> SignedSet:
    roots = source.store.follow(source.root, source.name)
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
    """Return the content of ``name``, a file of the pin set such as ``pins.toml``.

    If the pin set ``known``, which was verified before, has this file with the same length and
    hashes, its content is returned. Otherwise the file is fetched over ``channel``. ``verified``
    has the signed length and hashes of the file, and ``source`` the address of the server.
    """
    info = verified.targets[name]
    if known is not None and name in known.files:
        same = known.verified.targets[name]
        if (same.length, same.hashes) == (info.length, info.hashes):
            return known.files[name]
    return fetch_target(source.address, channel, name, info)


def fetch_target(address: Address, channel: FetcherInterface, name: str, info: TargetFile) -> bytes:
    """Download a target file. Its hashes are not verified yet.

    Args:
        address: host, port and path of the published folder.
        channel: downloads the file.
        name: the name of the target in the targets metadata, such as ``pins.toml``.
        info: the signed length of the target, which limits the download, and its signed hashes.
    """
    return channel.download_bytes(address.target(name, info.hashes["sha256"]), info.length)
