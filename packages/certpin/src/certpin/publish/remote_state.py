"""Read and verify a signed pin set as a client does, from ``publish/site/`` or from the storage.

1. The roots begin with ``1.root.json``, follow one another (TUF 1.0.31, 5.3), and require metadata
   files to have their version in the name, as clients request them (6.2).
2. The timestamp names the snapshot, and the snapshot names the targets (5.4 to 5.6); the keys of
   one root have signed all of them.
3. The target files are those that the targets metadata names (5.7). A name is verified before it is
   used as a path.

``certpin.updates.trust`` has steps 2 and 3. Only files that are reached in this way are uploaded:
other files in ``publish/site/`` are not.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from tuf.api.exceptions import RepositoryError, UnsignedMetadataError

from certpin.errors import UpdateError
from certpin.updates.refusals import update_errors
from certpin.updates.settings import TIMESTAMP, target_path
from certpin.updates.trust import (
    SignedMetadata,
    VerifiedMetadata,
    follow_roots,
    read_metadata,
    require_signed,
    verify_files,
    verify_metadata,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tuf.api.metadata import Root

    from certpin.updates.settings import Limits
    from certpin.updates.trust import SignedSet

    # A file by its path and the most bytes that are taken, of which one more may be read.
    Read = Callable[[str, int], bytes | None]

_HIGHEST = 2**53 - 1  # the highest number that all who read JSON agree on (RFC 8259, 6)


class NewestMetadata(NamedTuple):
    """The timestamp metadata, and the snapshot and targets that it leads to, not verified yet.

    Attributes:
        timestamp: the version of the timestamp.
        snapshot: the version of the snapshot.
        targets: the version of the targets metadata.
        signed: the bytes of timestamp, snapshot and targets metadata.
        name: the name of the pin set in the targets metadata.
    """

    timestamp: int
    snapshot: int
    targets: int
    signed: SignedMetadata
    name: object

    @property
    def numbered(self) -> dict[str, bytes]:
        """The bytes of targets metadata and snapshot by their paths, in the order of upload.

        A path contains the version, such as ``metadata/7.targets.json``.
        """
        return {
            f"metadata/{self.targets}.targets.json": self.signed.targets,
            f"metadata/{self.snapshot}.snapshot.json": self.signed.snapshot,
        }


def root_path(version: int) -> str:
    """Return the path of a root metadata file, such as ``metadata/1.root.json``."""
    return f"metadata/{version}.root.json"


def read_roots(read: Read, limits: Limits) -> list[bytes]:
    """Return the bytes of all root metadata files, from version 1 to the first missing version.

    Args:
        read: a function that takes the path of a file and its maximum size in bytes. It returns the
            bytes of the file, or None if the file is missing.
        limits: the maximum sizes, and the number of roots that a client loads in one check.

    Raises:
        UpdateError: a root is too long, or there are more roots than a client loads in one check.
    """
    return list(_roots(read, limits))


def follow(data: Sequence[bytes], name: str) -> tuple[Root, ...]:
    """Parse root metadata, and require that each root is a valid successor of the one before it.

    Args:
        data: the bytes of the roots, from version 1 on.
        name: the name of the pin set, which no root may contradict.

    Returns:
        The parsed roots, in ascending order of versions.

    Raises:
        UpdateError: a root is invalid, or allows metadata without a version in its file name.
    """
    with update_errors():
        chain = follow_roots(data[0], data[1:], name)
        if chain[0].version != 1 or len(chain) < len(data):
            raise RepositoryError(f"{root_path(len(chain) + 1)} does not follow from those before")
        if not chain[-1].consistent_snapshot:
            raise RepositoryError("the root wants metadata without a version in its name")
        return chain


def read_newest(read: Read, limits: Limits) -> NewestMetadata | None:
    """Read the timestamp, and the snapshot and targets that it leads to; None without a timestamp.

    Not checked: the signatures.

    Args:
        read: a function that takes the path of a file and its maximum size in bytes. It returns the
            bytes of the file, or None if the file is missing.
        limits: the maximum sizes of the files.

    Raises:
        UpdateError: a file is missing, too long or unreadable.
    """
    timestamp = read(TIMESTAMP, limits.timestamp)
    if timestamp is None:
        return None
    top = _parsed("timestamp", _bounded(TIMESTAMP, timestamp, limits))
    snapshot_version = _number(top.snapshot_meta.version)
    snapshot = _needed(read, f"metadata/{snapshot_version}.snapshot.json", limits)
    targets_version = _targets_version(_parsed("snapshot", snapshot))
    targets = _needed(read, f"metadata/{targets_version}.targets.json", limits)
    signed = SignedMetadata(timestamp, snapshot, targets)
    name = _name_in(_parsed("targets", targets))
    return NewestMetadata(top.version, snapshot_version, targets_version, signed, name)


def verify_newest(
    read: Read, chain: Sequence[Root], newest: NewestMetadata, name: str, limits: Limits
) -> SignedSet:
    """Verify metadata with the roots, read and verify its target files, and return the pin set.

    Args:
        read: a function that takes the path of a file and its maximum size in bytes. It returns the
            bytes of the file, or None if the file is missing.
        chain: the verified roots, in ascending order of versions.
        newest: the metadata, from ``read_newest``.
        name: the name that the pin set must have.
        limits: the largest number and sizes of target files.

    Raises:
        UpdateError: clients would refuse the pin set, or a file can't be read.
    """
    with update_errors():
        verified = _promise(chain, newest, name, limits)
    files = {target: _target(read, verified, target) for target in verified.targets}
    with update_errors():
        return verify_files(verified, files)


def signed_version(root: Root, timestamp: bytes) -> int | None:
    """Return the version of timestamp metadata; None if this root's keys have not signed it."""
    if not is_signed(root, "timestamp", timestamp):
        return None
    version: int = _parsed("timestamp", timestamp).version
    return version


def is_signed(root: Root, role: str, data: bytes) -> bool:
    """Return True if ``data`` is metadata of this role, signed by enough keys of this root.

    ``role`` is a TUF role, such as ``targets``.
    """
    with suppress(UpdateError), update_errors():
        require_signed(root, read_metadata(role, data))
        return True
    return False


def _roots(read: Read, limits: Limits) -> Iterator[bytes]:
    for version in count(1):
        data = read(root_path(version), limits.root)
        if data is None:
            return
        if version > limits.rotations:
            raise _refused(f"there are more than {limits.rotations} roots", "refused")
        yield _bounded(root_path(version), data, limits)


def _promise(
    chain: Sequence[Root], newest: NewestMetadata, name: str, limits: Limits
) -> VerifiedMetadata:
    """Verify the newest metadata (timestamp, snapshot, targets) of a pin set, and return it.

    The roots are tried one after the other, the newest first, until one accepts the signatures. An
    older root is needed if the newest one has new keys that have not signed the metadata yet.

    Args:
        chain: the verified roots, in ascending order of versions.
        newest: the metadata, from ``read_newest``.
        name: the name that the pin set must have.
        limits: the largest sizes of the files.
    """
    for root in chain[:0:-1]:
        try:
            return verify_metadata(root, newest.signed, name, limits)
        except UnsignedMetadataError:
            continue
    return verify_metadata(chain[0], newest.signed, name, limits)


def _target(read: Read, verified: VerifiedMetadata, name: str) -> bytes:
    info = verified.targets[name]
    path = target_path(name, info.hashes["sha256"])
    data = read(path, info.length)
    if data is None:
        raise _refused(f"{path} is missing", "mismatch")
    return data


def _targets_version(snapshot: Any) -> int:
    with update_errors():
        return _number(snapshot.meta["targets.json"].version)


def _number(version: int) -> int:
    """Return the metadata version ``version`` unchanged, after a check.

    Raise ``UpdateError`` if the number is too high for some JSON parsers.
    """
    if version > _HIGHEST:
        raise _refused("a version is higher than any number that is taken", "refused")
    return version


def _name_in(targets: Any) -> object:
    """Return the name of the pin set that the targets metadata gives for its first file.

    ``verify_newest`` later requires that all files have this name.
    """
    custom = next((info.custom for info in targets.targets.values()), None)
    return custom.get("pin-set") if isinstance(custom, dict) else None


def _parsed(role: str, data: bytes) -> Any:
    with update_errors():
        return read_metadata(role, data).signed


def _needed(read: Read, path: str, limits: Limits) -> bytes:
    data = read(path, limits.of(path))
    if data is None:
        raise _refused(f"{path} is missing", "mismatch")
    return _bounded(path, data, limits)


def _bounded(path: str, data: bytes, limits: Limits) -> bytes:
    if len(data) > limits.of(path):
        raise _refused(f"{path} has more than {limits.of(path)} bytes", "too-long")
    return data


def _refused(problem: str, reason: str) -> UpdateError:
    return UpdateError(problem, reason=reason, fix="sign again, and push")
