"""Compare the place from which clients fetch with the files of this clone.

If it lacks the signed timestamp or the newest root, a push is missing. An example is a daily job
that signs and never pushes: all dates in ``publish/site`` are right, but the metadata that clients
have expires. If it has a newer version than the journal, this clone is out of date.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin.cli.choices import PROBE_SECONDS
from certpin.cli.rotate.files import settings_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from certpin.cli.publish.context import PublishContext
    from certpin.cli.rotate.files import RotationFiles
    from certpin.pins import PinSet
    from certpin.publish.state import FolderState
    from certpin.rotation import DeployedVersions
    from certpin.support.network import Deadline

    # A file by its path and the largest number of bytes that is accepted; None if it is missing.
    Read = Callable[[str, int], bytes | None]

# The time limit for all files together, as a multiple of the one for each request. A pin set is
# some ten small files. Each root is one more request, so without this limit a destination with many
# roots could delay an emergency for hours.
_TIMEOUTS_IN_TOTAL = 4


@dataclass(frozen=True)
class Delivery:
    """The comparison of the signed files with the files at the destination.

    Attributes:
        where: the URL or folder that was read; ``None`` if neither could be read.
        delivered: True if the destination has the signed timestamp and the newest root; ``None`` if
            no destination was read, or if nothing is signed and nothing is there.
        problem: the reason why ``delivered`` is not True. Empty if it is True, or if nothing is
            signed and nothing is known to be there.
        failed: True if a destination is set, and could not be read.
        ahead: True if the destination has a newer timestamp or root than this clone, or has a
            timestamp and this clone has none. Either this clone is out of date or damaged, or a key
            was stolen. A push does not replace the newer file.
    """

    where: str | None = None
    delivered: bool | None = None
    problem: str = ""
    failed: bool = False
    ahead: bool = False


def read_delivery(context: PublishContext, *, offline: bool) -> Delivery:
    """Read timestamp and root from the destination, and compare them with the signed files.

    The destination is ``url`` in ``publish.toml``. If ``url`` is not set or can't be read,
    ``fetch_url`` is read instead. It is the second choice, because a cache in front of it can
    return older files.

    Args:
        context: the pin file and the folder ``publish``.
        offline: True to read no destination.
    """
    from certpin.errors import ConfigError, UpdateError

    state = context.policy.state
    if state.root is None or (offline and state.current is None):
        return Delivery()
    if offline:
        return Delivery(problem="the destination was not read (--offline)")
    problem = "publish.toml has neither url nor fetch_url" if state.current else ""
    failed = False
    for where, open_reader in _readers(context):
        failed = True
        try:
            return _compare(context, where, open_reader())
        except (ConfigError, UpdateError) as exc:
            problem = f"{where} can't be read: {exc.problem}"
    return Delivery(problem=problem, failed=failed)


def _readers(context: PublishContext) -> Iterator[tuple[str, Callable[[], Read]]]:
    from certpin.publish.storage import open_storage

    settings, beside = context.policy.settings, context.folder.parent
    if settings.url is not None:
        url = settings.url
        yield url, lambda: open_storage(url, beside, settings.storage).read
    if settings.fetch_url is not None:
        fetch_url, pins = settings.fetch_url, context.files.pins
        yield fetch_url, lambda: _https_reader(fetch_url, pins, _deadline(PROBE_SECONDS))


def _compare(context: PublishContext, where: str, read: Read) -> Delivery:
    """Compare the signed timestamp and the newest root with the files at a destination.

    Args:
        context: the pin file and the folder ``publish``.
        where: the URL or folder of the destination.
        read: a function that takes a file path and a maximum size, and returns the file there;
            ``None`` if it is missing.

    Raises:
        UpdateError: the destination can't be read.
    """
    from certpin.publish.content import LIMITS
    from certpin.publish.remote_state import root_path, signed_version
    from certpin.updates.settings import TIMESTAMP

    state = context.policy.state
    current, root = state.current, state.root
    assert root is not None  # noqa: S101  # read_delivery checks it
    found = read(TIMESTAMP, LIMITS.timestamp)
    version = None if found is None else signed_version(root, found)
    has_next_root = read(root_path(root.version + 1), LIMITS.root) is not None
    name = "another timestamp" if version is None else f"timestamp {version}"
    there = "" if found is None else f"{name} is there"
    if problem := _newer(state, there, version, has_next_root=has_next_root):
        return Delivery(where, delivered=False, problem=problem, ahead=True)
    if current is None:
        return Delivery()
    if found is None:
        problem = "no timestamp is there"
    elif found != current.verified.signed.timestamp:
        assert state.timestamp is not None  # noqa: S101  # a signed set has one
        problem = f"{there}, and timestamp {state.timestamp.version} is signed"
    elif read(root_path(root.version), LIMITS.root) != state.root_files[-1]:
        problem = f"root {root.version} is not there"
    return Delivery(where, delivered=not problem, problem=problem)


def _newer(state: FolderState, there: str, version: int | None, *, has_next_root: bool) -> str:
    """Return an error text if a destination has newer files than this clone; else an empty text.

    Args:
        state: the contents of the folder ``publish/``, which has a root.
        there: a clause that names the timestamp at the destination; empty if there is none.
        version: the version of that timestamp; None if it has no valid signature.
        has_next_root: True if the destination has the root after that of this clone.
    """
    from certpin.publish.push import STOLEN

    assert state.root is not None  # noqa: S101  # the caller checks it
    newer = f"which is newer: get it (git pull); {STOLEN}"
    if has_next_root:
        return f"root {state.root.version + 1} is there, {newer}"
    if not there:
        return ""
    if state.current is None or state.timestamp is None:
        fix = "restore the committed files (git checkout), or get them (git pull)"
        return f"{there}, and publish/site has none: {fix}; {STOLEN}"
    is_newer = version is not None and version > state.timestamp.version
    return f"{there}, {newer}" if is_newer else ""


@dataclass(frozen=True)
class RemoteVersion:
    """The version of the pin set that clients can fetch now.

    Attributes:
        where: the URL or folder that was read.
        number: the number of the version.
        pins: the pin set, if its signatures were verified with the root of this clone. None if they
            were not, so that anyone with write access there can have written the number: the extra
            ``publish`` is missing, or this clone has no root, or another one.
    """

    where: str
    number: int
    pins: PinSet | None = None

    def newer_than(self, deployed: DeployedVersions) -> str:
        """Return a clause if the journal is outdated by this version; otherwise an empty text.

        That is the case if its number is higher than each one in the journal, or if the journal has
        the number with other pins. A lower number that the journal lacks does not outdate it: see
        ``missing_in``.

        Args:
            deployed: the versions in the journal.
        """
        from certpin.pins.policy import meaning

        latest = deployed.latest
        if latest is None:
            return f"{self._place}, and the journal has no version"
        if self.number > latest.number:
            return f"{self._place}, and the newest one in the journal is {latest.number}"
        known = [each for each in deployed.versions if each.number == self.number]
        if not known or self.pins is None:
            return ""
        if any(meaning(each.pins) == meaning(self.pins) for each in known):
            return ""
        return f"{self._place}, and the journal has it with other pins"

    def missing_in(self, deployed: DeployedVersions) -> str:
        """Return a clause if the journal has newer versions, and not this one; else an empty text.

        Old files that are copied to the destination look like this. They have valid signatures, but
        no client that has a newer version accepts them (a rollback, TUF 1.0.34, section 5.4.3).

        Args:
            deployed: the versions in the journal.
        """
        latest = deployed.latest
        if latest is None or self.number > latest.number:
            return ""
        if any(each.number == self.number for each in deployed.versions):
            return ""
        return f"{self._place}, which the journal lacks, and its newest one is {latest.number}"

    @property
    def _place(self) -> str:
        from certpin.support.text import printable

        return f"version {self.number} is at {printable(self.where)}"


def read_version(files: RotationFiles, timeout: float) -> RemoteVersion | None:
    """Read which version of the pin set is at the destination of pushes, to compare the journal.

    ``fetch_url`` of ``publish.toml`` is read as clients do. If it is not set, ``url`` is read.

    Args:
        files: the pin file, with ``publish/publish.toml`` beside it, and the journal.
        timeout: seconds for each of connecting, the handshake and the response. Reading all files
            takes at most a few times as long.

    Returns:
        The version; None if ``publish.toml`` names no destination, if nothing is signed there, or
        if the timestamp there is that in ``publish/site``: then this clone is up to date.

    Raises:
        ConfigError: ``publish.toml`` is invalid.
        UpdateError: the destination can't be read in time, or its metadata are damaged. The problem
            names it.
    """
    from certpin.cli.rotate.signed_site import (
        MAX_METADATA,
        DamagedFileError,
        signed_parts,
        version_of,
    )
    from certpin.errors import UpdateError
    from certpin.publish.settings import load
    from certpin.publish.storage import open_storage
    from certpin.updates.settings import TIMESTAMP

    file = settings_path(files.path)
    settings = load(file)
    where = settings.fetch_url or settings.url
    if where is None:
        return None
    deadline = _deadline(timeout)
    try:
        if settings.fetch_url:
            read = _https_reader(where, files.pins, deadline)
        else:
            storage = open_storage(where, file.parent.parent, settings.storage)
            read = _read_until(deadline, storage.read)
        timestamp = read(TIMESTAMP, MAX_METADATA)
        if timestamp is None or timestamp == _signed_timestamp(file.parent / "site"):
            return None
        if (pins := _verified_pins(files, file.parent / "site", read)) is not None:
            return RemoteVersion(where, pins.version, pins)
        parts = signed_parts(lambda path: read(f"metadata/{path}", MAX_METADATA))
        return RemoteVersion(where, version_of(parts))
    except UpdateError as exc:
        raise UpdateError(
            f"{where} can't be read: {exc.problem}", reason=exc.reason, fix=exc.fix
        ) from exc
    except DamagedFileError as exc:
        raise UpdateError(
            f"the signed files at {where} are damaged: {exc}",
            reason="metadata",
            fix="certpin publish status checks them",
        ) from exc


def _signed_timestamp(site: Path) -> bytes | None:
    """Return the timestamp metadata in ``publish/site``; None if they can't be read."""
    from certpin.cli.rotate.signed_site import MAX_METADATA
    from certpin.pinfile.file import read_regular
    from certpin.updates.settings import TIMESTAMP

    try:
        return read_regular(site / TIMESTAMP, MAX_METADATA)
    except OSError:
        return None


def _verified_pins(files: RotationFiles, site: Path, read: Read) -> PinSet | None:
    """Return the pin set at the destination; None if it can't be verified with this clone's root.

    Args:
        files: the pin file and the journal.
        site: the folder ``publish/site`` of this clone.
        read: a function that takes a file path and a maximum size, and returns the file at the
            destination; ``None`` if it is missing.

    Raises:
        UpdateError: the destination can't be read.
    """
    from certpin.errors import UpdateError

    try:
        from certpin.publish.content import LIMITS
        from certpin.publish.remote_state import (
            follow,
            read_newest,
            read_roots,
            root_path,
            verify_newest,
        )
        from certpin.publish.storage import STORAGE, FolderStorage
    except ModuleNotFoundError:  # the extra
        return None
    first = root_path(1)
    try:
        own = FolderStorage(site).read(first, LIMITS.root)
        if own is None or read(first, LIMITS.root) != own:
            return None
        roots = read_roots(lambda path, most: own if path == first else read(path, most), LIMITS)
        newest = read_newest(read, LIMITS)
        if newest is None:
            return None
        chain = follow(roots, files.pins.name)
        return verify_newest(read, chain, newest, files.pins.name, LIMITS).pins
    except UpdateError as exc:
        if exc.reason == STORAGE:
            raise
        return None


def _deadline(timeout: float) -> Deadline:
    """Return the time limit to read a destination, which begins now.

    Args:
        timeout: seconds for each of connecting, the handshake and the response.
    """
    from certpin.support.network import Deadline

    return Deadline(timeout, timeout * _TIMEOUTS_IN_TOTAL)


def _read_until(deadline: Deadline, read: Read) -> Read:
    """Return a function that reads files with ``read``, until the time is up.

    It raises ``UpdateError`` then. A call of ``read`` is not interrupted.
    """
    from certpin.errors import UpdateError
    from certpin.publish.storage import STORAGE

    def read_in_time(path: str, max_bytes: int) -> bytes | None:
        if deadline.passed:
            raise UpdateError("its files could not be read in time", reason=STORAGE)
        return read(path, max_bytes)

    return read_in_time


def _https_reader(url: str, pins: PinSet, deadline: Deadline) -> Read:
    """Return a function that reads a file below a URL as clients do, but without pins.

    The function raises ``UpdateError`` if the server does not answer in time.

    Args:
        url: ``fetch_url`` of ``publish.toml``.
        pins: the pin file, which can have trust anchors for the host.
        deadline: the time limit of all requests together, and of their steps.
    """
    from http import HTTPStatus
    from http.client import HTTPException
    from urllib.parse import urlsplit

    from certpin.errors import UpdateError
    from certpin.probe import ContextCache
    from certpin.publish.storage import STORAGE
    from certpin.support.network import exchange

    policy = pins.policy_for(urlsplit(url).hostname or "")
    tls = ContextCache().get(policy.trust if policy else None)

    def read(path: str, max_bytes: int) -> bytes | None:
        address = f"{url.rstrip('/')}/{path}"
        try:
            answer = exchange("GET", address, deadline, tls, max_bytes=max_bytes)
        except (OSError, HTTPException) as exc:
            raise UpdateError(str(exc) or type(exc).__name__, reason=STORAGE) from exc
        if answer.status in {HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN}:
            return None
        if answer.status != HTTPStatus.OK:
            raise UpdateError(f"the answer has status {answer.status}", reason=STORAGE)
        return answer.body

    return _read_until(deadline, read)
