"""Read and write the folder ``publish/`` with the signed metadata. A crash leaves it consistent.

    publish.toml         the settings
    site/metadata/       1.root.json … 7.targets.json, 9.snapshot.json, timestamp.json
    site/targets/        SHA256.pins.toml, and the trust files that it names
    drafts/root.json     metadata that needs signatures, without signatures
    drafts/root.KEY.json a signature by the key with this ID

Each signature has a separate file, so that two people who sign the same draft, each in a clone of
the repository, never change the same file.

No file in the folder may be a symbolic link, because links can come with a commit: its author would
choose the files that are read, written and deleted. The folder itself may be a link.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from contextlib import contextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING, Any

from tuf.api.metadata import Metadata
from tuf.api.serialization.json import JSONSerializer

from certpin.errors import ConfigError, PinFileError
from certpin.pinfile.file import left_overs, put
from certpin.publish.content import LIMITS
from certpin.publish.state import FolderContents, pin_file_errors
from certpin.rotation.history import journal_path, other_beside_link
from certpin.support.files import has_locks, is_plain, try_lock
from certpin.support.text import printable
from certpin.updates.settings import target_path
from certpin.updates.trust import PIN_SET_FIELD, SignedMetadata, read_metadata

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from certpin.publish.sign import SigningResult as Done

FOLDER = "publish"
SETTINGS = "publish.toml"
DRAFTED = ("root", "targets")
SIGNATURE = re.compile(r"(root|targets)\.([0-9a-f]{64})\.json", re.ASCII)
_PUT = {
    "drafts": re.compile(rf"(root|targets)\.json|{SIGNATURE.pattern}", re.ASCII),
    "site/metadata": re.compile(r"timestamp\.json|[0-9]+\.(root|targets|snapshot)\.json", re.ASCII),
    "site/targets": re.compile(r"[0-9a-f]{64}\..+", re.ASCII),
}
_LONGEST_SIGNATURE = 4096  # bytes; one of RSA with 8192 bits has 2048 as hexadecimal digits
_MOST_SIGNATURES = 256
_CONFLICT = b"<<<<<<< "  # metadata is one line, so git's marker comes first


def folder_of(pin_file: Path) -> Path:
    """Return the path of the folder ``publish/`` of a pin file: it is beside the journal.

    If the pin file is a symbolic link, folder and journal are beside the target of the link. If
    there is also a folder ``publish/`` beside the link, an error is raised: clients trust the first
    root of only one of the two folders.

    Raises:
        ConfigError: there is another such folder beside the link.
    """
    folder = journal_path(pin_file).with_name(FOLDER)
    if (other := other_beside_link(pin_file, folder)) is not None:
        raise ConfigError(
            f"{pin_file} is a link, and its signed files are in {folder}: {other} is not read",
            key="publish",
            fix=f"move it to {folder}; if that has a root already, remove the other folder",
        )
    return folder


def read(folder: Path) -> FolderContents:
    """Read the files of the folder ``publish/``, without verifying them.

    Files that don't exist yet, and unreadable signatures, are left out. If a draft can't be read,
    the error is in the result.

    Raises:
        PinFileError: another file can't be read, is too long, or is a symbolic link; or a file that
            the metadata names is missing.
    """
    _require_no_links(folder)
    site = folder / "site"
    signed, files = _signed(site)
    limits = {"root": LIMITS.root, "targets": LIMITS.targets}
    drafts = {
        role: _read_draft(folder / "drafts" / f"{role}.json", limits[role]) for role in DRAFTED
    }
    return FolderContents(
        tuple(_roots(site / "metadata")),
        signed,
        files,
        frozenset(_names(site / "metadata")),
        {role: data for role, data in drafts.items() if data is not None},
        _signatures(folder / "drafts"),
    )


def require_owner(folder: Path, pin_file: Path, name: str) -> None:
    """Raise ``ConfigError`` if the first root in the folder ``publish/`` names a different pin set.

    The purpose is a clear error message if the user put two pin files into one folder, or renamed
    the pin set. So the root is not verified here, and a root without a name is accepted.

    Args:
        folder: the folder ``publish/``.
        pin_file: the pin file beside it.
        name: the name of the pin set in the pin file.
    """
    owner = _owner(folder)
    if isinstance(owner, str) and owner != name:
        shown = printable(owner)[:80]
        command = f"certpin publish init --file {shlex.quote(pin_file.name)}"
        raise ConfigError(
            f"{folder} belongs to the pin set {shown!r}, and {pin_file.name} is {name!r}",
            key="name",
            fix=f"put {pin_file.name} into another folder, and run there: {command}; if "
            f'you have renamed the pin set, write name = "{shown}" again',
        )


def _owner(folder: Path) -> object:
    """Return the name of the pin set that the first root in ``folder`` (``publish/``) contains.

    If ``publish/site/`` has no readable first root, its draft is read. Return None if neither can
    be read, or if the root contains no name.
    """
    for place in (folder / "site/metadata/1.root.json", folder / "drafts/root.json"):
        with suppress(Exception):  # other functions report an invalid root
            root = read_metadata("root", _read(place, LIMITS.root) or b"").signed
            return root.unrecognized_fields.get(PIN_SET_FIELD)
    return None


def write(folder: Path, done: Done) -> None:
    """Write the files that signing produced, and delete obsolete drafts at the end.

    Drafts are metadata that needs signatures. They are written first, then ``site/``, which has the
    files for clients. If the process is interrupted, run the same command again to complete the
    work.

    Args:
        folder: the folder ``publish/``. The caller must hold its lock.
        done: the result of signing, with the files to write and the drafts to delete.

    Raises:
        PinFileError: a file can't be written, or is a symbolic link.
    """
    _require_no_links(folder)
    _clear(folder)
    files = {role: dict(_draft_files(role, draft)) for role, draft in done.drafts.items()}
    for draft_files in files.values():
        for name, data in draft_files.items():
            _put(folder / "drafts" / name, data)
    for path, data in done.site:
        _put(folder / "site" / path, data)
    for role in done.gone:
        files[role] = {}
    for name in _names(folder / "drafts"):
        role = name.partition(".")[0]
        if _is_draft(name) and role in files and name not in files[role]:
            _remove(folder / "drafts" / name)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Lock the folder ``publish/`` during a ``with`` block, so that only one command changes it.

    On systems without file locks, nothing is locked.

    Raises:
        ConfigError: another command is using the folder.
        PinFileError: the folder can't be read.
    """
    if not has_locks():
        yield
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as exc:
        raise PinFileError(
            f"it cannot be used: {exc.strerror}", path=folder, fix="certpin publish init makes it"
        ) from exc
    try:
        if not try_lock(descriptor):
            raise ConfigError(
                "another command is at work in this folder", key=str(folder), fix="try again"
            )
        yield
    finally:
        os.close(descriptor)


def _signed(site: Path) -> tuple[SignedMetadata | None, Mapping[str, bytes]]:
    """Read the signed pin set in ``publish/site/``: its TUF metadata, and its target files by name.

    The metadata is timestamp, snapshot and targets. Return ``(None, {})`` if there is no timestamp.
    """
    metadata = site / "metadata"
    timestamp = _read_signed(metadata / "timestamp.json", LIMITS.timestamp)
    if timestamp is None:
        return None, {}
    with pin_file_errors(metadata):
        number = read_metadata("timestamp", timestamp).signed.snapshot_meta.version
        snapshot = _needed(metadata / f"{number:d}.snapshot.json", LIMITS.snapshot)
        number = read_metadata("snapshot", snapshot).signed.meta["targets.json"].version
        targets = _needed(metadata / f"{number:d}.targets.json", LIMITS.targets)
        infos = read_metadata("targets", targets).signed.targets
        if len(infos) > LIMITS.count:
            raise ConfigError(f"there are {len(infos)} targets, and {LIMITS.count} are taken")
        names = {name: info.hashes["sha256"] for name, info in infos.items()}
        files = {name: _target(site, name, digest) for name, digest in names.items()}
    return SignedMetadata(timestamp, snapshot, targets), files


def _target(site: Path, name: str, digest: str) -> bytes:
    path = target_path(name, digest)
    if not is_plain(path):
        raise ConfigError(f"{name!r} is no name of a file")
    return _needed(site / path, LIMITS.target)


def _roots(metadata: Path) -> Iterator[bytes]:
    for number in count(1):
        data = _read_signed(metadata / f"{number}.root.json", LIMITS.root)
        if data is None:
            return
        yield data


def _signatures(drafts: Path) -> Mapping[str, Mapping[str, bytes]]:
    found: dict[str, dict[str, bytes]] = {role: {} for role in DRAFTED}
    names = [name for name in _names(drafts) if SIGNATURE.fullmatch(name)]
    for name in names[:_MOST_SIGNATURES]:
        role, key, _ = name.split(".")
        with suppress(PinFileError):  # an unreadable file is not a signature
            found[role][key] = _read(drafts / name, _LONGEST_SIGNATURE) or b""
    return found


def _is_draft(name: str) -> bool:
    return name in {f"{role}.json" for role in DRAFTED} or bool(SIGNATURE.fullmatch(name))


def _draft_files(role: str, draft: Metadata[Any]) -> Iterator[tuple[str, bytes]]:
    bare: Metadata[Any] = Metadata(draft.signed)
    yield f"{role}.json", bare.to_bytes(JSONSerializer(compact=False)) + b"\n"
    for key, signature in draft.signatures.items():
        yield f"{role}.{key}.json", json.dumps(signature.to_dict(), indent=1).encode() + b"\n"


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise PinFileError(f"it cannot be read: {exc.strerror}", path=folder) from exc


def _needed(path: Path, limit: int) -> bytes:
    data = _read_signed(path, limit)
    if data is None:
        raise PinFileError("it is missing", path=path, fix="bring it back: git checkout")
    return data


def _read_signed(path: Path, limit: int) -> bytes | None:
    """Return the bytes of ``path``, a file in ``publish/site/``, or None if it is missing.

    Raises:
        PinFileError: the file can't be read, is longer than ``limit`` bytes, or contains the marks
            of a conflict in version control.
    """
    data = _read(path, limit)
    if data is not None and data.startswith(_CONFLICT):
        raise PinFileError(
            "git has left a conflict in it",
            path=path,
            fix=f"take the whole file of one side (git checkout --ours {path}, or --theirs), "
            "and sign again: certpin publish sign KEY",
        )
    return data


def _read_draft(path: Path, limit: int) -> bytes | PinFileError | None:
    """Return the bytes of ``drafts/ROLE.json``, the metadata that needs signatures.

    ``path`` is the file, and ``limit`` its largest size in bytes. Return None if the file is
    missing. If the file can't be read, return the error. The error is not raised, because an
    unreadable draft must block only the people who sign this draft.
    """
    try:
        return _read(path, limit)
    except PinFileError as exc:
        return exc


def _read(path: Path, limit: int) -> bytes | None:
    """Return the bytes of the file at ``path``, or None if it is missing.

    Raises:
        PinFileError: the file can't be read, or is longer than ``limit`` bytes.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise PinFileError(f"it cannot be read: {exc.strerror}", path=path) from exc
    if len(data) > limit:
        raise PinFileError(f"it has more than {limit} bytes, which no client takes", path=path)
    return data


def _put(path: Path, data: bytes) -> None:
    """Write ``data`` to a file atomically, unless the file already has this content.

    Atomic means that a crash leaves the old or the new content. Raises ``PinFileError`` if the file
    can't be written.
    """
    try:
        if path.is_file() and path.read_bytes() == data:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        put(path, data)
    except OSError as exc:
        raise PinFileError(
            f"it cannot be written: {exc.strerror or exc}",
            path=path,
            fix="make room, or check its rights, and run the same command again",
        ) from exc


def _require_no_links(folder: Path) -> None:
    """Raise ``PinFileError`` if the folder ``publish/`` contains a symbolic link.

    The files ``publish.toml``, ``drafts/``, ``site/`` and the files below them are checked.
    """
    for place in (folder / SETTINGS, folder / "drafts", folder / "site"):
        _require_no_link(place)
        for path in place.rglob("*"):  # does not go into links
            _require_no_link(path)


def _require_no_link(path: Path) -> None:
    if path.is_symlink():
        raise PinFileError(
            "it is a symbolic link, and signed files must be in this folder itself",
            path=path,
            fix="remove the link, put the file or the folder there, and ask who made it",
        )


def _clear(folder: Path) -> None:
    """Delete temporary files that killed processes left in the folder ``publish/``.

    The caller must hold the lock of the folder (``held``).
    """
    for place, known in _PUT.items():
        for path in left_overs(folder / place, known):
            _remove(path)


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError as exc:
        raise PinFileError(f"it cannot be removed: {exc.strerror}", path=path) from exc
