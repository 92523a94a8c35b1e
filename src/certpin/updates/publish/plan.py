"""What a push does, or why it does not: pure, from what is signed and from what is there.

1. The roots there are those here, as far as there are any; and none follows them. Otherwise another
   repository lives there, or somebody has pushed a newer root.
2. What is there is of the same pin set.
3. A numbered file never changes. One that is there with other bytes was signed by somebody else
   under the same number, unless it is the beginning of ours: then a push was cut off.
4. It is not newer: no version of any metadata is higher, and clients may go from the pins there to
   those here (``trust.require_following``).

A timestamp there, or a target (whose name is its digest), that clients refuse is replaced. So is
what only keys have signed that the newest root here no longer names: a thief of a key gives numbers
that nobody can go above, and clients forget them with the key (TUF 1.0.31, 5.3.11). Its numbered
files are left where they are, since caches keep them for a year: ours takes another number.

Targets go first and the timestamp goes last, since a client begins there: whenever a push ends in
the middle, the timestamp that is there still leads to what it led to. A root shows itself, so that
it comes right beside the timestamp, after all that its keys have signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tuf.api.exceptions import RepositoryError

from certpin.errors import UpdateError
from certpin.updates.publish.content import LIMITS
from certpin.updates.publish.shown import TIMESTAMP, is_signed, root_path, target_path
from certpin.updates.trust import require_following, verify_metadata
from certpin.x509 import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuf.api.metadata import Root

    from certpin.updates.publish.shown import NewestMetadata
    from certpin.updates.trust import SignedSet, VerifiedMetadata

_PULL = "take what they pushed into version control (git pull), sign again, and push"
_STOLEN = (
    "if nobody did, a key is stolen: certpin publish add-key NEW --role online (or targets), sign, "
    "and push"
)


@dataclass(frozen=True)
class Local:
    """The verified local set. ``roots`` are the bytes of all roots in order."""

    chain: tuple[Root, ...]
    roots: tuple[bytes, ...]
    newest: NewestMetadata
    signed: SignedSet

    @property
    def files(self) -> dict[str, bytes]:
        """All files by path, in the order of upload."""
        verified = self.signed.verified
        targets = {target_path(verified, name): data for name, data in self.signed.files.items()}
        roots = {root_path(version): data for version, data in enumerate(self.roots, 1)}
        return {**targets, **self.newest.numbered, **roots, TIMESTAMP: self.newest.signed.timestamp}


class Remote(NamedTuple):
    """The contents of the storage. Only ``signed`` and ``timestamp_version`` are verified.

    Attributes:
        files: the stored versions of ``Local.files``, without those that are missing.
        next_root: a root that follows the last local one.
        newest: the metadata that the stored timestamp names.
        before: the local versions of the metadata files in ``newest``.
        signed: the whole stored set, if clients accept it.
        timestamp_version: the version of the stored timestamp, if the online key of the newest
            local root signed it.
        damage: why clients refuse the stored set, or empty.
    """

    files: Mapping[str, bytes]
    next_root: bytes | None = None
    newest: NewestMetadata | None = None
    before: Mapping[str, bytes] = {}
    signed: SignedSet | None = None
    timestamp_version: int | None = None
    damage: str = ""


def plan(local: Local, remote: Remote) -> tuple[str, ...]:
    """Return the paths to upload, in order. Raises ``UpdateError`` if a push must not happen."""
    files = local.files
    _require_same_roots(local, remote)
    _require_same_pin_set(local, remote)
    _require_numbers_free(local, remote)
    _require_not_newer(local, remote)
    uploads = [path for path, data in files.items() if remote.files.get(path) != data]
    if _only_timestamp_first(local, remote):
        uploads.remove(TIMESTAMP)
        first = next(at for at, path in enumerate(uploads) if path.endswith(".root.json"))
        uploads.insert(first, TIMESTAMP)
    return tuple(uploads)


def find_outrun(local: Local, remote: Remote) -> str:
    """Describe remote metadata with a version not below ours that only replaced keys signed."""
    if remote.signed is None or remote.newest is None:
        return ""
    for role, theirs in remote.newest.signed._asdict().items():
        number = getattr(remote.newest, role)
        above = number >= getattr(local.newest, role) and theirs != getattr(
            local.newest.signed, role
        )
        if above and not is_signed(local.chain[-1], role, theirs):
            return f"{role} {number} is signed only by keys that were replaced since"
    return ""


def _only_timestamp_first(local: Local, remote: Remote) -> bool:
    """Return True if the root must be uploaded last, so that clients accept every partial upload.

    That is so if a new root has other keys for the targets, and the previous keys have signed too.
    """
    known = [root for root in local.chain if root_path(root.version) in remote.files]
    new = local.chain[len(known) :]
    if remote.signed is None or not new or not known:
        return False
    old_fits = all(_fits(root, remote.signed.verified) for root in new)
    return not old_fits and all(_fits(root, local.signed.verified) for root in (known[-1], *new))


def _fits(root: Root, verified: VerifiedMetadata) -> bool:
    """Return True if the keys of a root have signed the metadata."""
    try:
        verify_metadata(root, verified.signed, verified.name, LIMITS)
    except RepositoryError:
        return False
    return True


def _require_same_roots(local: Local, remote: Remote) -> None:
    """Step 1."""
    found = [remote.files.get(root_path(version)) for version in range(1, len(local.roots) + 1)]
    first = found[0]
    another = first is not None and not local.roots[0].startswith(first)
    if another or (all(each is None for each in found) and TIMESTAMP in remote.files):
        raise _foreign("another repository is there, which begins with another root")
    for version, (ours, theirs) in enumerate(zip(local.roots, found, strict=True), 1):
        _require_same(root_path(version), ours, theirs)
    if remote.next_root is not None:
        raise UpdateError(
            f"there is a root {len(local.roots) + 1}, and the last one here is {len(local.roots)}",
            reason="ahead",
            fix=_PULL,
        )


def _require_same_pin_set(local: Local, remote: Remote) -> None:
    """Step 2."""
    name, theirs = local.signed.verified.name, remote.newest.name if remote.newest else None
    if theirs is not None and theirs != name:
        raise _foreign(
            f"the pin set {printable(str(theirs))[:80]!r} is there, and this is {name!r}"
        )


def _require_numbers_free(local: Local, remote: Remote) -> None:
    """Step 3, for targets and snapshot.

    A file without a valid signature matters only if it has the path of one of our files.
    """
    for path, ours in local.newest.numbered.items():
        _require_same(path, ours, remote.files.get(path))
    for path, theirs in (remote.newest.numbered if remote.newest else {}).items():
        known = remote.before.get(path, theirs)
        if is_signed(local.chain[-1], _role_of(path), theirs) and not known.startswith(theirs):
            raise _changed(path, _STOLEN)


def _require_not_newer(local: Local, remote: Remote) -> None:
    """Step 4. A version counts if the keys of the newest local root have signed it.

    The version of the targets also counts if the snapshot that names it counts, because clients
    compare with that (TUF 1.0.31, 5.5.5).
    """
    ours, theirs, root = local.newest, remote.newest, local.chain[-1]
    if remote.timestamp_version is not None:
        _require_not_above("timestamp", remote.timestamp_version, ours.timestamp)
        same = remote.files.get(TIMESTAMP) == ours.signed.timestamp
        if remote.timestamp_version == ours.timestamp and not same:
            raise _changed(f"timestamp {ours.timestamp}", _STOLEN)
    if theirs is None:
        return
    counts = is_signed(root, "snapshot", theirs.signed.snapshot)
    if counts:
        _require_not_above("snapshot", theirs.snapshot, ours.snapshot)
    if counts or is_signed(root, "targets", theirs.signed.targets):
        _require_not_above("targets", theirs.targets, ours.targets)
    if remote.signed is None:
        return
    try:
        require_following(local.signed.pins, remote.signed.pins)
    except UpdateError as exc:
        raise UpdateError(
            f"no client could follow: {exc.problem}", reason="ahead", fix=exc.fix
        ) from exc


def _require_not_above(role: str, theirs: int, ours: int) -> None:
    if theirs > ours:
        raise UpdateError(
            f"somebody else has pushed: {role} {theirs} is there, and the one here is {ours}",
            reason="ahead",
            fix=f"{_PULL}; {_STOLEN}",
        )


def _require_same(path: str, ours: bytes, theirs: bytes | None) -> None:
    """Step 3. The beginning of a JSON document is not a document, so no key has signed it."""
    if theirs is not None and not ours.startswith(theirs):
        role = _role_of(path)
        another = f"sign it under another number (certpin publish sign KEY --renew {role}), push"
        way = "remove it there" if role == "root" else another
        raise _changed(path, f"if nobody did, {way}, and find out who put it there")


def _role_of(path: str) -> str:
    return path.removesuffix(".json").rpartition(".")[2]


def _changed(what: str, otherwise: str) -> UpdateError:
    return UpdateError(
        f"{what} is there with another content: somebody else has signed under that number, or "
        "writes there who should not",
        reason="conflict",
        fix=f"{_PULL}; {otherwise}",
    )


def _foreign(problem: str) -> UpdateError:
    return UpdateError(
        problem,
        reason="foreign",
        fix="give each pin set a place of its own: url, in publish/publish.toml",
    )
