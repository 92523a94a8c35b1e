"""The cache folder of a ``PinUpdater``, which survives restarts of the app.

    last-known-good.json       the signed pin set that was verified last, with its metadata
    last-known-good.json.bad   a cached pin set that failed verification, kept for inspection
    metadata/                  the metadata of ``tuf.ngclient`` (TUF 1.0.31, 5.3-5.6); never a link
    lock                       locked by the process that is checking for a newer pin set

The last known good pin set is one file, so that it is replaced atomically: after a crash, separate
files could belong to different versions. It is verified each time it is read (``trust.verify``).

Only files with the names that certpin and ``tuf.ngclient`` use there are replaced or deleted. If
``metadata/`` is a symbolic link, it is not used, because these files would be somewhere else.

If the cache folder is not writable, the metadata is stored in a temporary folder until the process
ends, so that rollbacks are still detected. As soon as the cache folder is writable, the metadata is
moved back to it.

``tuf.ngclient`` doesn't support concurrent refreshes in one folder, so a lock prevents them.
Without locks (no ``fcntl``, or a file system without them) the last writer wins: every file is
written whole, and everything is verified again when it is read.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
import weakref
from base64 import b64decode, b64encode
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from stat import S_ISREG
from typing import IO, TYPE_CHECKING, Any

from certpin.errors import UpdateError
from certpin.pinfile.file import left_overs, put
from certpin.support.files import open_lock_file, try_lock, unlock_and_close
from certpin.updates.trust import CachedSet, SignedMetadata, follow_roots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tuf.api.metadata import Root

    from certpin.updates.settings import Limits
    from certpin.updates.trust import SignedSet


_GOOD = "last-known-good.json"
_GOOD_NAME = re.compile(re.escape(_GOOD))
_LOCK = "lock"
_PRIVATE = 0o600
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # not needed on systems without named pipes in folders
_ROLES = ("timestamp", "snapshot", "targets")
_METADATA = re.compile(r"(timestamp|snapshot|targets|[0-9]+\.root)\.json", re.ASCII)
_TEMPORARY = re.compile(r"tmp[a-z0-9_]{8}", re.ASCII)  # tempfile's names, in tuf.ngclient
_SPARE = Path("/dev/shm")  # noqa: S108  # if the folder for temporary files can't be used either
_SCHEMA = 1
_PAUSE = 0.05  # seconds between two attempts, while another process refreshes


class Store:
    """Reads and writes a ``PinUpdater``'s cache folder: signed pin sets and TUF metadata.

    Methods raise ``OSError`` unless noted otherwise. Not thread-safe. ``limits`` are the maximum
    sizes of the files that are read.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder = folder
        self._limits = limits
        self._scratch: Path | None = None
        self._remove_scratch: weakref.finalize[..., Store] | None = None

    @property
    def metadata(self) -> Path:
        """The folder in which ``tuf.ngclient`` stores TUF metadata.

        It is in the cache folder, or a temporary folder if the cache folder is not writable.
        """
        return self._scratch or self.folder / "metadata"

    def stamp(self) -> tuple[int, ...]:
        """Return inode, time and size of the cached pin set's file; ``()`` if the file is missing.

        They change when any process writes another pin set. So if two results are equal, the file
        was not changed in between.
        """
        with suppress(OSError):
            found = (self.folder / _GOOD).stat()
            return (found.st_ino, found.st_mtime_ns, found.st_size)
        return ()

    def load(self) -> CachedSet | None:
        """Read the pin set that was last stored in the cache; None if there is none.

        It was verified before it was stored. It is not verified here: the caller has to do that.

        Raises:
            UpdateError: the file can't be read, is too long, or is damaged.
        """
        try:
            with _opened(self.folder / _GOOD) as file:
                data = file.read(max_size(self._limits) + 1)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise unusable(exc) from exc
        if len(data) > max_size(self._limits):
            raise UpdateError("the last known good set is too long", reason="cache")
        return decode(data)

    def save(self, signed_set: SignedSet) -> None:
        """Replace the cached pin set by a signed pin set that was just verified, atomically."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        put(self.folder / _GOOD, encode(signed_set), new_mode=_PRIVATE)

    def put_aside(self) -> None:
        """Rename an invalid ``last-known-good.json``, the cached pin set, to ``….bad``.

        Never raises.
        """
        with suppress(OSError):
            (self.folder / _GOOD).replace(self.folder / f"{_GOOD}.bad")

    def follow(self, bundled: bytes, name: str) -> tuple[Root, ...]:
        """Return the bundled root metadata, then its valid newer versions in the cache, in order.

        Args:
            bundled: the TUF root metadata that the app contains.
            name: the name of the pin set that the app contains.

        Raises:
            RepositoryError: the bundled root is invalid.
            DeserializationError: the bundled root can't be parsed. Both are error classes of tuf.
        """
        chain = follow_roots(bundled, (), name)
        return follow_roots(bundled, self._roots(chain[0].version + 1), name)

    def newest_root(self, bundled: bytes, name: str) -> bytes:
        """Return the newest valid root metadata as bytes: the bundled one, or one in the cache.

        Args:
            bundled: the TUF root metadata that the app contains.
            name: the name of the pin set that the app contains.

        Raises:
            RepositoryError: the bundled root is invalid.
            DeserializationError: the bundled root can't be parsed. Both are error classes of tuf.
        """
        chain = [bundled]

        def later() -> Iterator[bytes]:
            for data in self._roots(first.version + 1):
                chain.append(data)
                yield data

        (first,) = follow_roots(bundled, (), name)
        return chain[len(follow_roots(bundled, later(), name)) - 1]

    def make_metadata_folder(self) -> None:
        """Create the folder in which ``tuf.ngclient`` stores TUF metadata, if it is missing.

        The folder for roots in it is created, too. Only the owner can access the two folders.

        Raises:
            OSError: a folder can't be created; or it is a symbolic link, so that files in another
                folder would be replaced.
        """
        if link := self._linked():
            raise OSError(errno.ELOOP, f"its {link.name} is a symbolic link")
        self.metadata.mkdir(mode=0o700, parents=True, exist_ok=True)
        # tuf.ngclient would let every user read it.
        (self.metadata / "root_history").mkdir(mode=0o700, exist_ok=True)

    def _linked(self) -> Path | None:
        """Return the folder of the TUF metadata that is a symbolic link, and so must not be used.

        This is the metadata folder, or the folder for roots in it. Return None if neither is a
        link.
        """
        for folder in (self.metadata, self.metadata / "root_history"):
            with suppress(OSError):
                if folder.is_symlink():
                    return folder
        return None

    def drop_roots(self, above: int) -> None:
        """Delete the cached root metadata with a higher version than ``above``.

        ``above`` is the newest version that ``follow`` accepted. The deleted versions were not
        accepted, but ``tuf.ngclient`` would load them.
        """
        known = {f"root_history/{version}.root.json" for version in range(1, above + 1)}
        for name in self._root_names():
            if name not in known:
                (self.metadata / name).unlink()

    def has_root(self, version: int) -> bool:
        """Return True if root metadata with this version number is in the metadata folder.

        It shows that a newer root was fetched. The file is not verified here.
        """
        return (self.metadata / "root_history" / f"{version}.root.json").exists()

    def _roots(self, first: int) -> Iterator[bytes]:
        for version in count(first):
            try:
                with _opened(self.metadata / "root_history" / f"{version}.root.json") as file:
                    yield file.read(self._limits.root)
            except OSError:
                return

    def read(self) -> SignedMetadata:
        """Return the timestamp, snapshot and targets metadata that ``tuf.ngclient`` stored last.

        ``tuf.ngclient`` stores only metadata that it has verified.
        """
        return SignedMetadata(*((self.metadata / f"{role}.json").read_bytes() for role in _ROLES))

    def sweep(self) -> None:
        """Delete temporary files that killed processes left behind, and unusable metadata files.

        A metadata file is unusable if it is longer than its limit, or not a regular file. It has to
        be deleted because ``tuf.ngclient`` would load it. Files with names that certpin and
        ``tuf.ngclient`` don't use are never deleted. The caller must hold the lock of the folder.
        """
        for path in (*left_overs(self.folder, _GOOD_NAME, recursive=False), *self._unusable()):
            with suppress(OSError):
                path.unlink()

    def _unusable(self) -> Iterator[Path]:
        if self._linked():
            return
        yield from left_overs(self.metadata, _METADATA)
        for path in self.metadata.glob("tmp*"):
            if _TEMPORARY.fullmatch(path.name) and path.is_file():
                yield path
        names = [*(f"{role}.json" for role in ("root", *_ROLES)), *self._root_names()]
        yield from filter(self._is_not_metadata, (self.metadata / name for name in names))

    def _root_names(self) -> list[str]:
        found = self.metadata.glob("root_history/*.root.json")
        return sorted(
            f"root_history/{path.name}" for path in found if _METADATA.fullmatch(path.name)
        )

    def _is_not_metadata(self, path: Path) -> bool:
        """Return True if a file can't be read safely: it is too long, or not a regular file.

        Reading a named pipe, for example, would block. Such files are deleted, and never copied.
        """
        with suppress(OSError):
            found = path.stat()
            return not S_ISREG(found.st_mode) or found.st_size > self._limits.of(
                f"metadata/{path.name}"
            )
        return True

    def move_out(self) -> bool:
        """Use a temporary folder for TUF metadata, because the cache folder is not writable.

        The readable metadata of ``tuf.ngclient`` in the cache folder is copied to the temporary
        folder. Return True if the folder was created, or False if a temporary folder is already in
        use.
        """
        if self._scratch is not None:
            return False
        scratch = Path(_make_scratch())
        for name in () if self._linked() else self._stored_names():
            with suppress(OSError):  # this file is fetched again
                (scratch / name).parent.mkdir(exist_ok=True)
                (scratch / name).write_bytes((self.metadata / name).read_bytes())
        self._scratch = scratch
        # Also at the end of the process: few programs close an updater.
        self._remove_scratch = weakref.finalize(self, shutil.rmtree, scratch, ignore_errors=True)
        return True

    def move_back(self) -> None:
        """Move ``tuf.ngclient``'s metadata from the temporary folder back to the cache folder.

        Does nothing if no temporary folder is in use. Raises ``OSError`` if the cache folder can't
        be written.
        """
        if self._scratch is None:
            return
        home = Store(self.folder, self._limits)
        home.make_metadata_folder()
        for name in self._stored_names():
            put(home.metadata / name, (self._scratch / name).read_bytes(), new_mode=_PRIVATE)
        self.clear()

    def _stored_names(self) -> list[str]:
        """Return the paths of the readable metadata files, relative to the metadata folder.

        Root metadata comes first: if a copy in this order is interrupted, the copied files are
        still valid.
        """
        names = [*self._root_names(), *(f"{role}.json" for role in _ROLES)]
        return [name for name in names if not self._is_not_metadata(self.metadata / name)]

    def clear(self) -> None:
        """Delete the temporary folder for TUF metadata, if there is one.

        The updater uses such a folder only while the cache folder is not writable.
        """
        if self._remove_scratch is not None:
            self._remove_scratch()
        self._scratch = self._remove_scratch = None

    def forget(self) -> None:
        """Stop using the temporary folder for TUF metadata, without deleting it.

        A forked child process calls this, because the folder belongs to its parent.
        """
        if self._remove_scratch is not None:
            self._remove_scratch.detach()
        self._scratch = self._remove_scratch = None


def _opened(path: Path) -> IO[bytes]:
    """Open a file for reading in binary mode, without blocking if it is a pipe without a writer.

    Another program could have put such a pipe into the cache folder.
    """
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | _NONBLOCK))


def unusable(exc: OSError) -> UpdateError:
    """Convert an error of reading or writing the cache folder to an ``UpdateError``."""
    return UpdateError(
        f"the folder of the cache cannot be used: {exc.strerror or exc}",
        reason="storage",
        fix="give the app a separate folder that it may write to, with room on the disk; "
        "until then updates hold in memory, and are fetched again at each start",
    )


def _make_scratch() -> str:
    try:
        return tempfile.mkdtemp(prefix="certpin-updates-")
    except OSError:
        return tempfile.mkdtemp(prefix="certpin-updates-", dir=_SPARE)


def encode(signed_set: SignedSet) -> bytes:
    """Return a signed pin set as the JSON bytes of ``last-known-good.json``."""
    verified = signed_set.verified
    data = {
        "schema": _SCHEMA,
        "root": verified.root,
        "metadata": {name: _text(raw) for name, raw in verified.signed._asdict().items()},
        "files": {name: _text(raw) for name, raw in signed_set.files.items()},
    }
    return json.dumps(data, indent=1).encode()


def decode(data: bytes) -> CachedSet:
    """Parse the JSON bytes of ``last-known-good.json`` into a signed pin set, without verifying it.

    Raises:
        UpdateError: the bytes don't have the format that ``encode`` writes.
    """
    try:
        top = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise _damaged("it is not JSON") from exc
    if not isinstance(top, dict) or top.get("schema") != _SCHEMA:
        raise _damaged(f"it is not of schema {_SCHEMA}, which this certpin reads")
    root, metadata = top.get("root"), _table(top.get("metadata"))
    if type(root) is not int or metadata.keys() != set(SignedMetadata._fields):
        raise _damaged("something is missing in it")
    return CachedSet(root, SignedMetadata(**metadata), _table(top.get("files")))


def max_size(limits: Limits) -> int:
    """Return the maximum size of ``last-known-good.json`` in bytes.

    ``limits`` are those of the files in it. The file has the metadata and target files in base64,
    which takes four bytes for three.
    """
    held = limits.timestamp + limits.snapshot + limits.targets + limits.total
    return held * 4 // 3 + limits.targets


def _table(value: Any) -> dict[str, bytes]:
    if not isinstance(value, dict):
        raise _damaged("something is missing in it")
    return {name: _bytes(data) for name, data in value.items()}


def _text(data: bytes) -> str:
    return b64encode(data).decode()


def _bytes(text: Any) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (ValueError, TypeError) as exc:
        raise _damaged("it is not base64") from exc


def _damaged(what: str) -> UpdateError:
    return UpdateError(
        f"the last known good set cannot be read: {what}",
        reason="cache",
        fix="nothing: it is fetched again; if it happens again, look at the disk",
    )


class FolderLock:
    """The lock file of a ``PinUpdater``'s cache folder. Only one process at a time can lock it.

    In ``held``, other processes wait for it, and get an ``UpdateError`` if no time is left.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: int | None = None

    @contextmanager
    def held(self, may_wait: Callable[[float], bool]) -> Iterator[None]:
        """Lock the cache folder during a ``with`` block.

        If the lock file can't be opened, or the system has no file locks, nothing is locked.

        Args:
            may_wait: a function that sleeps for the given seconds, and returns False if no time is
                left to wait.

        Raises:
            UpdateError: another process had the lock until no time was left.
        """
        self._held = open_lock_file(self._folder / _LOCK)
        try:
            while self._held is not None and not try_lock(self._held):
                if not may_wait(_PAUSE):
                    raise _busy()
            yield
        finally:
            held, self._held = self._held, None
            if held is not None:
                unlock_and_close(held)

    def forget(self) -> None:
        """Close the lock file in a forked child process. The parent process keeps the lock."""
        held, self._held = self._held, None
        if held is not None:
            os.close(held)


def _busy() -> UpdateError:
    return UpdateError(
        "another process is refreshing in the same folder, and has not finished",
        reason="busy",
        fix="wait for it, or give each app a separate folder",
    )
