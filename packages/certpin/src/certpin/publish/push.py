"""Push a signed pin set: read the storage, plan the uploads, upload, and read the files back.

Local files are those in ``publish/site/``, which signing wrote; stored files are those in the
storage that clients fetch from. A push raises ``UpdateError`` unless these conditions hold:

1. The stored roots, if there are any, equal the local ones, and no later root is stored. Otherwise
   another repository is stored there, or a newer root has been pushed.
2. The stored pin set has the same name.
3. No stored file differs from the local file of the same numbered name: numbered files never
   change. If a stored file has other bytes, another person has signed it under the same number. If
   it is the beginning of the local file, a push was interrupted, and the file is accepted.
4. The stored pin set is not newer: none of its versions is higher, and clients may go from its pins
   to the local ones (``trust.require_following``).

Two kinds of stored files don't prevent a push:

- a timestamp, or a target file (named by its hash), that clients refuse. It is overwritten;
- metadata that only replaced keys have signed. An attacker with a stolen key can sign with the
  highest possible version; when the key is replaced, clients forget that version (TUF 1.0.31,
  5.3.11). If the newest root has replaced the targets keys of the stored pin set, the local version
  must not be lower than the version in the apps (``trust.mark_recovery``). Numbered files of such
  metadata are left in place, because caches keep them for a year; the local files have other
  numbers.

Target files are uploaded first and the timestamp last, because clients begin with it: if a push is
interrupted, the stored timestamp still refers to complete files. Clients request a new root by its
number, so it is uploaded directly beside the timestamp, after all files that its keys have signed.
Files are never deleted: a client in the middle of an update still requests older ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from tuf.api.exceptions import RepositoryError

from certpin.errors import UpdateError
from certpin.pins import utc_now
from certpin.publish.content import LIMITS
from certpin.publish.remote_state import (
    follow,
    is_signed,
    read_newest,
    read_roots,
    root_path,
    signed_version,
    verify_newest,
)
from certpin.publish.storage import STORAGE, FolderStorage
from certpin.support.text import printable
from certpin.updates.settings import TIMESTAMP, target_path
from certpin.updates.trust import mark_recovery, require_following, verify_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from tuf.api.metadata import Root

    from certpin.pins import PinSet as AnyPinSet
    from certpin.publish.remote_state import NewestMetadata
    from certpin.publish.storage import Storage
    from certpin.updates.trust import SignedSet, VerifiedMetadata


Result = TypeVar("Result")

UNSIGNED = "unsigned"
_PULL = "get their push from version control (git pull), sign again, and push"
STOLEN = (
    "if no signer did, a key is stolen: certpin publish add-key NEW --role online (or targets), "
    "sign, and push"
)


@dataclass(frozen=True)
class Pushed:
    """A planned or completed upload of a signed pin set to the storage that clients fetch from.

    Attributes:
        local: the signed pin set in ``publish/site/``.
        uploads: the paths of the files to upload, in order; empty if the storage has all of them.
        damage: the reason why clients with the newest root refuse the pin set that was stored
            before the push; empty if they accept that pin set.
        stored: the files in the storage from which the push was planned, by path.
        lapsed: when the stored pin set expired, so that clients could not fetch it any more;
            ``None`` if it has not expired, or there is none.
    """

    local: Local
    uploads: tuple[str, ...]
    damage: str = ""
    stored: Mapping[str, bytes] = field(default_factory=dict)
    lapsed: datetime | None = None


def push(
    site: Path, storage: Storage, *, name: str | None = None, now: datetime | None = None
) -> Pushed:
    """Push the signed pin set: upload the files of ``publish/site/`` that the storage lacks.

    ``site`` is the path of that folder, and ``storage`` the destination. A pin set with a different
    name than ``name`` is refused; None accepts any. ``now`` is the current time; None for that of
    this machine's clock.

    Returns:
        The completed push.

    Raises:
        UpdateError: the push failed. The text contains the number of uploaded files, if any.
    """
    pushed = prepare(site, storage, name=name, now=now)
    upload(pushed, storage)
    return pushed


def prepare(
    site: Path,
    storage: Storage,
    *,
    name: str | None = None,
    now: datetime | None = None,
    shipped: AnyPinSet | None = None,
) -> Pushed:
    """Read the signed files and the storage, and plan the uploads without changing anything.

    Args:
        site: the folder ``publish/site/`` with the signed files.
        storage: the destination.
        name: the expected name of the pin set, or None to accept any.
        now: the current time.
        shipped: the newest pin set that an app was shipped with; ``None`` if none is known.

    Returns:
        The planned push.

    Raises:
        UpdateError: the push must not happen, or the storage can't be read.
    """
    now = now or utc_now()
    local = _read_local(FolderStorage(site), name, now)
    remote = _read_remote(FolderStorage(site), storage, local)
    uploads = plan_uploads(local, remote, shipped)
    damage = remote.damage or find_outrun(local, remote)
    until = remote.signed.verified.until if remote.signed else None
    lapsed = until if until and until <= now else None
    return Pushed(local, uploads, damage, remote.files, lapsed)


def upload(pushed: Pushed, storage: Storage, advance: Callable[[], None] = lambda: None) -> None:
    """Upload the files of a planned push, read them back, and delete old temporary files.

    Before a file is overwritten, the stored file is read again: it must not have changed since the
    push was planned. So another push goes unnoticed only if it writes between this read and the
    upload. If the upload is interrupted, the next push continues it.

    Args:
        pushed: the planned push, from ``prepare``.
        storage: the destination.
        advance: a function that is called after each upload, for example to show the progress.

    Raises:
        UpdateError: an upload failed, another push has changed the storage, or the storage returns
            a different file.
    """
    files = pushed.local.files
    for done, path in enumerate(pushed.uploads):
        try:
            _require_as_planned(pushed, storage, path)
            storage.write(path, files[path])
        except UpdateError as exc:
            raise _cut_off(exc, done, len(pushed.uploads)) from exc
        advance()
    for path in pushed.uploads:
        _confirm(storage, path, files[path])
    storage.sweep()


def _read_local(site: Storage, name: str | None, now: datetime) -> Local:
    """Read and verify the signed pin set in ``publish/site/``.

    Args:
        site: the folder ``publish/site/``.
        name: the name that the pin set must have; None to accept any.
        now: the current time.

    Raises:
        UpdateError: the folder has no signed pin set, clients would refuse it, or its metadata has
            expired.
    """
    try:
        local = _verified_local(site, name)
    except UpdateError as exc:
        if exc.reason in {STORAGE, UNSIGNED}:
            raise
        raise UpdateError(
            f"clients would refuse the signed set in {site.where}: {exc.problem}",
            reason=exc.reason,
            fix="sign again (certpin publish sign KEY); if that does not help, take publish/site "
            "as it was committed",
        ) from exc
    until = local.signed.verified.until
    if now >= until:
        raise UpdateError(
            f"the signed set expired on {until:%Y-%m-%d %H:%M} UTC",
            reason="expired",
            fix="sign it again (certpin publish sign KEY), then push",
        )
    return local


def _read_remote(site: Storage, storage: Storage, local: Local) -> Remote:
    """Read the files at the destination that decide whether the local pin set may be pushed.

    Args:
        site: the local folder ``publish/site/``. Its files are compared with files of the same
            names at the destination.
        storage: the destination.
        local: the verified pin set in ``publish/site/``.

    Returns:
        The files at the destination, and the local files of the same names (``Remote.before``).

    Raises:
        UpdateError: the storage can't be read.
    """
    found = {path: _read_expected(storage, path, data) for path, data in local.files.items()}
    files = {path: data for path, data in found.items() if data is not None}
    remote = Remote(files, storage.read(root_path(len(local.roots) + 1), LIMITS.root))
    if (timestamp := storage.read(TIMESTAMP, LIMITS.timestamp)) is None:
        return remote
    remote = remote._replace(timestamp_version=signed_version(local.chain[-1], timestamp))
    newest, damage = _read_or_damage(lambda: read_newest(storage.read, LIMITS))
    if newest is None:
        return remote._replace(damage=damage)
    before = {path: site.read(path, LIMITS.of(path)) for path in newest.numbered}
    known = {path: data for path, data in before.items() if data is not None}
    name = local.signed.verified.name
    signed, damage = _read_or_damage(
        lambda: verify_newest(storage.read, local.chain, newest, name, LIMITS)
    )
    return remote._replace(newest=newest, before=known, signed=signed, damage=damage)


def _read_or_damage(read: Callable[[], Result]) -> tuple[Result | None, str]:
    """Call ``read``, and return its result and an empty text.

    If ``read`` fails because clients would refuse the files in the storage, return None and the
    reason: a push may replace such files. Raises ``UpdateError`` if the storage can't be read.
    """
    try:
        return read(), ""
    except UpdateError as exc:
        if exc.reason == STORAGE:
            raise
        return None, exc.problem


def _verified_local(site: Storage, name: str | None) -> Local:
    roots, newest = read_roots(site.read, LIMITS), read_newest(site.read, LIMITS)
    if not roots or newest is None:
        raise UpdateError(
            f"nothing is signed in {site.where} yet",
            reason=UNSIGNED,
            fix="sign it with targets keys and the online key (certpin publish sign KEY…); certpin "
            "publish status lists the missing signatures",
        )
    wanted = str(newest.name) if name is None else name
    chain = follow(roots, wanted)
    signed = verify_newest(site.read, chain[-1:], newest, wanted, LIMITS)
    return Local(chain, tuple(roots), newest, signed)


def _read_expected(storage: Storage, path: str, data: bytes) -> bytes | None:
    """Return the bytes of the file ``path`` in the storage; ``None`` if the file is missing.

    The file should equal ``data``, so at most one byte more than the length of ``data`` is read.
    """
    return storage.read(path, len(data))


def _require_as_planned(pushed: Pushed, storage: Storage, path: str) -> None:
    """Raise ``UpdateError`` if another push has changed the storage since this one was planned.

    ``pushed`` is the planned push. Call this before the file ``path`` is uploaded. The stored file
    must be as it was when the push was planned, or equal to the local file. If the file is a root
    or the timestamp, two more conditions apply: the same is required of the stored timestamp, and
    the storage must have no root that is later than the local ones.
    """
    files, paths = pushed.local.files, {path}
    if path == TIMESTAMP or path.endswith(".root.json"):
        paths.add(TIMESTAMP)
        following = root_path(len(pushed.local.roots) + 1)
        if storage.read(following, LIMITS.root) is not None:
            raise _overtaken(following)
    for each in sorted(paths):
        found = _read_expected(storage, each, files[each])
        if found not in (files[each], pushed.stored.get(each)):
            raise _overtaken(each)


def _overtaken(path: str) -> UpdateError:
    return UpdateError(
        f"another push has changed {path} since this one began, so it was not finished",
        reason="ahead",
        fix=_PULL,
    )


def _confirm(storage: Storage, path: str, data: bytes) -> None:
    """Read an uploaded file back from the storage, and raise an error if it differs from ``data``.

    ``path`` is the path of the file in the storage. The error is ``UpdateError``. The file can
    differ if another push is running at the same time.
    """
    if _read_expected(storage, path, data) != data:
        raise UpdateError(
            f"{path} was uploaded, but the storage has another file there now",
            reason="unconfirmed",
            fix="another push is running, or the storage returns the previous file: wait, "
            "then push again",
        )


def _cut_off(exc: UpdateError, done: int, total: int) -> UpdateError:
    return UpdateError(
        f"{exc.problem} ({done} of {total} files were uploaded)",
        reason=exc.reason,
        fix=f"{exc.fix}; then push again, which continues this push",
    )


@dataclass(frozen=True)
class Local:
    """The verified signed pin set in the folder ``publish/site/``.

    Attributes:
        chain: the verified roots, in ascending order of versions.
        roots: the bytes of all roots in the same order.
        newest: the timestamp, and the snapshot and targets metadata that it leads to.
        signed: the verified pin set.
    """

    chain: tuple[Root, ...]
    roots: tuple[bytes, ...]
    newest: NewestMetadata
    signed: SignedSet

    @property
    def files(self) -> dict[str, bytes]:
        """All files of the signed pin set, as bytes by path, in the order of upload."""
        infos, files = self.signed.verified.targets, self.signed.files
        targets = {target_path(n, infos[n].hashes["sha256"]): files[n] for n in files}
        roots = {root_path(version): data for version, data in enumerate(self.roots, 1)}
        return {**targets, **self.newest.numbered, **roots, TIMESTAMP: self.newest.signed.timestamp}


class Remote(NamedTuple):
    """The storage's files before a push. Only ``signed`` and ``timestamp_version`` are verified.

    Attributes:
        files: the stored files that have the same paths as local files, by path.
        next_root: the stored root that follows the newest local one; ``None`` if it is missing.
        newest: the stored timestamp, and the snapshot and targets metadata that it leads to;
            ``None`` if one of these is missing or can't be read.
        before: the local files (in ``publish/site/``) that have the same paths as the stored files
            of ``newest``.
        signed: the whole stored pin set; ``None`` if it is missing, or clients refuse it.
        timestamp_version: the version of the stored timestamp; ``None`` unless the online key of
            the newest local root signed it.
        damage: the reason why clients refuse the stored pin set; empty if they accept it.
    """

    files: Mapping[str, bytes]
    next_root: bytes | None = None
    newest: NewestMetadata | None = None
    before: Mapping[str, bytes] = {}
    signed: SignedSet | None = None
    timestamp_version: int | None = None
    damage: str = ""


def plan_uploads(local: Local, remote: Remote, shipped: AnyPinSet | None = None) -> tuple[str, ...]:
    """Return the paths of the local files to upload to the storage, in the order of upload.

    Args:
        local: the signed pin set in ``publish/site/``.
        remote: the files in the storage.
        shipped: the newest pin set that an app was shipped with; ``None`` if none is known.

    Raises:
        UpdateError: the push must not happen: the storage has other roots, a pin set with a
            different name, a file with the same number and other bytes, or a newer pin set.
    """
    files = local.files
    _require_same_roots(local, remote)
    _require_same_pin_set(local, remote)
    _require_numbers_free(local, remote)
    _require_not_newer(local, remote)
    _require_followed(local, remote, shipped)
    uploads = [path for path, data in files.items() if remote.files.get(path) != data]
    if _only_timestamp_first(local, remote):
        uploads.remove(TIMESTAMP)
        first = next(at for at, path in enumerate(uploads) if path.endswith(".root.json"))
        uploads.insert(first, TIMESTAMP)
    return tuple(uploads)


def find_outrun(local: Local, remote: Remote) -> str:
    """Describe stored metadata that isn't older than ours, but is signed only by replaced keys.

    Ours is the metadata in ``publish/site/`` (``local``), and ``remote`` has the stored files. The
    newest root in ``publish/site/`` has replaced the keys, so an attacker may have signed the
    stored metadata. ``prepare`` returns the clause as the damage of the stored pin set
    (``Pushed.damage``).

    Returns:
        A clause about the first such metadata. It contains the version of the pin set, or the TUF
        role and the version of the metadata. Empty if the storage has no such metadata.
    """
    if remote.signed is None or remote.newest is None:
        return ""
    if _is_recovery(local, remote) and remote.signed.pins.version > local.signed.pins.version:
        number = remote.signed.pins.version
        return f"version {number} is signed only by targets keys that were replaced since"
    for role, theirs in remote.newest.signed._asdict().items():
        number = getattr(remote.newest, role)
        above = number >= getattr(local.newest, role) and theirs != getattr(
            local.newest.signed, role
        )
        if above and not is_signed(local.chain[-1], role, theirs):
            return f"{role} {number} is signed only by keys that were replaced since"
    return ""


def _is_recovery(local: Local, remote: Remote) -> bool:
    """Return True if the newest local root has replaced the targets keys of the stored pin set.

    The local pin set may then have a lower version than the stored one (recovery from a stolen
    key). ``local`` has the signed files in ``publish/site/``, and ``remote`` the files in the
    storage.
    """
    return mark_recovery(local.signed, remote.signed, local.chain[-1]).recovers


def _only_timestamp_first(local: Local, remote: Remote) -> bool:
    """Return True if the timestamp must be uploaded before the new root, not after it.

    ``local`` has the signed files in ``publish/site/``, and ``remote`` the files in the storage.
    The result is True if two conditions are met:

    - The keys of the new root have not signed the stored pin set. If the root came first, clients
      would load it, and refuse the pin set that is still stored.
    - The keys of both the previous and the new root have signed the local pin set. So if the
      timestamp comes first, no client refuses anything.
    """
    known = [root for root in local.chain if root_path(root.version) in remote.files]
    new = local.chain[len(known) :]
    if remote.signed is None or not new or not known:
        return False
    old_fits = all(_fits(root, remote.signed.verified) for root in new)
    return not old_fits and all(_fits(root, local.signed.verified) for root in (known[-1], *new))


def _fits(root: Root, verified: VerifiedMetadata) -> bool:
    """Return True if enough keys of ``root`` have signed a pin set: its clients then accept it.

    ``verified`` has the metadata of the pin set.
    """
    try:
        verify_metadata(root, verified.signed, verified.name, LIMITS)
    except RepositoryError:
        return False
    return True


def _require_same_roots(local: Local, remote: Remote) -> None:
    """Raise ``UpdateError`` unless the root metadata in the storage equals the local root metadata.

    Local files are those in ``publish/site/``, and ``remote`` has the files in the storage. Missing
    roots in the storage are accepted, unless all are missing and the storage has a timestamp. A
    root in the storage that is later than all local ones is refused. This is condition 1 in the
    docstring of this module.
    """
    found = [remote.files.get(root_path(version)) for version in range(1, len(local.roots) + 1)]
    first = found[0]
    another = first is not None and not local.roots[0].startswith(first)
    if another or (all(data is None for data in found) and TIMESTAMP in remote.files):
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
    """Raise ``UpdateError`` if the pin set in the storage and the one to push differ in name.

    This is condition 2 in the docstring of this module. ``local`` has the signed files in
    ``publish/site/``, and ``remote`` the files in the storage.
    """
    name, theirs = local.signed.verified.name, remote.newest.name if remote.newest else None
    if theirs is not None and theirs != name:
        raise _foreign(
            f"the pin set {printable(str(theirs))[:80]!r} is there, and this is {name!r}"
        )


def _require_numbers_free(local: Local, remote: Remote) -> None:
    """Raise ``UpdateError`` if the storage has other bytes under a version number of a local file.

    Local files are those in ``publish/site/``, and ``remote`` has the files in the storage. Targets
    and snapshot metadata are compared. A stored file without a valid signature is ignored, unless
    it has the same path as a local file. This is condition 3 in the docstring of this module.
    """
    for path, ours in local.newest.numbered.items():
        _require_same(path, ours, remote.files.get(path))
    for path, theirs in (remote.newest.numbered if remote.newest else {}).items():
        known = remote.before.get(path, theirs)
        if is_signed(local.chain[-1], _role_of(path), theirs) and not known.startswith(theirs):
            raise _changed(path, STOLEN)


def _require_not_newer(local: Local, remote: Remote) -> None:
    """Raise ``UpdateError`` if the pin set in the storage is newer than the one to push.

    ``local`` has the signed files in ``publish/site/``, and ``remote`` the files in the storage.
    The versions of timestamp, snapshot and targets metadata are compared with the local ones.
    Metadata counts only if the keys of the newest local root have signed it. But targets metadata
    also counts if these keys have signed the snapshot that names it, because clients remember the
    version in the snapshot (TUF 1.0.31, 5.5.5). This is condition 4 in the docstring of this
    module.
    """
    ours, theirs, root = local.newest, remote.newest, local.chain[-1]
    if remote.timestamp_version is not None:
        _require_not_above("timestamp", remote.timestamp_version, ours.timestamp)
        same = remote.files.get(TIMESTAMP) == ours.signed.timestamp
        if remote.timestamp_version == ours.timestamp and not same:
            raise _changed(f"timestamp {ours.timestamp}", STOLEN)
    if theirs is None:
        return
    counts = is_signed(root, "snapshot", theirs.signed.snapshot)
    if counts:
        _require_not_above("snapshot", theirs.snapshot, ours.snapshot)
    if counts or is_signed(root, "targets", theirs.signed.targets):
        _require_not_above("targets", theirs.targets, ours.targets)


def _require_followed(local: Local, remote: Remote, shipped: AnyPinSet | None) -> None:
    """Raise ``UpdateError`` unless clients with the stored pin set would accept the local one.

    ``local`` has the signed files in ``publish/site/``, and ``remote`` the files in the storage. If
    the newest root has replaced the targets keys that signed the stored pin set, clients ignore the
    version of that pin set. The local version then must not be lower than that of ``shipped``, the
    newest pin set in an app. This is a part of condition 4 in the docstring of this module.
    """
    stored = remote.signed.pins if remote.signed else None
    known = shipped if _is_recovery(local, remote) else stored
    if known is None:
        return
    try:
        require_following(local.signed.pins, known)
    except UpdateError as exc:
        raise UpdateError(
            f"no client could follow: {exc.problem}", reason="ahead", fix=exc.fix
        ) from exc


def _require_not_above(role: str, theirs: int, ours: int) -> None:
    if theirs > ours:
        raise UpdateError(
            f"a newer set has been pushed: {role} {theirs} is there, and the one here is {ours}",
            reason="ahead",
            fix=f"{_PULL}; {STOLEN}",
        )


def _require_same(path: str, ours: bytes, theirs: bytes | None) -> None:
    """Raise ``UpdateError`` if a stored file differs from the local file at the same path.

    A stored file that is only the beginning of the local one is accepted: an interrupted upload
    left it. It is not a complete JSON document, so no key has signed it.

    Args:
        path: the path of both files.
        ours: the bytes of the local file.
        theirs: the bytes of the stored file; ``None`` if it is missing, which is accepted.
    """
    if theirs is not None and not ours.startswith(theirs):
        role = _role_of(path)
        another = f"sign it under another number (certpin publish sign KEY --renew {role}), push"
        way = "remove it there" if role == "root" else another
        raise _changed(path, f"if no signer did, {way}, and find out who uploaded it")


def _role_of(path: str) -> str:
    return path.removesuffix(".json").rpartition(".")[2]


def _changed(what: str, otherwise: str) -> UpdateError:
    return UpdateError(
        f"{what} is stored with another content: another person has signed under that number, or "
        "an intruder can write there",
        reason="conflict",
        fix=f"{_PULL}; {otherwise}",
    )


def _foreign(problem: str) -> UpdateError:
    return UpdateError(
        problem,
        reason="foreign",
        fix="give each pin set a separate location: url, in publish/publish.toml",
    )
