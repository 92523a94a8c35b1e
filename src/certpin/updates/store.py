"""The folder that an updater keeps on the disk.

    last-known-good.json       the set that was verified last, with all that vouches for it
    last-known-good.json.bad   what stood there and was not to be believed, for who looks into it
    metadata/                  that of ``tuf.ngclient``: what this client saw (TUF 1.0.31, 5.3-5.6)
    lock                       held by the process that is refreshing

Where the folder cannot be written to, the metadata is kept in a folder for temporary files, for as
long as the process lives: rollbacks are seen there too, and it goes back as soon as it can.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from itertools import count
from pathlib import Path
from stat import S_ISREG
from typing import IO, TYPE_CHECKING

from certpin.errors import UpdateError
from certpin.pinfile.disk import put
from certpin.updates.keeping import decode, encode, max_size
from certpin.updates.trust import SignedMetadata, follow_roots

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuf.api.metadata import Root

    from certpin.updates.settings import Limits
    from certpin.updates.trust import CachedSet, SignedSet

_GOOD = "last-known-good.json"
_PRIVATE = 0o600
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # not needed on systems without named pipes in folders
_ROLES = ("timestamp", "snapshot", "targets")
_SPARE = Path("/dev/shm")  # noqa: S108  # if the folder for temporary files can't be used either


class Store:
    """The cache folder of one updater. Methods raise ``OSError`` unless noted otherwise."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder = folder
        self._limits = limits
        self._scratch: Path | None = None

    @property
    def metadata(self) -> Path:
        """The current metadata folder of ``tuf.ngclient``."""
        return self._scratch or self.folder / "metadata"

    def stamp(self) -> tuple[int, ...]:
        """Return a value that changes when any process writes a set; empty if there is no set."""
        with suppress(OSError):
            found = (self.folder / _GOOD).stat()
            return (found.st_ino, found.st_mtime_ns, found.st_size)
        return ()

    def load(self) -> CachedSet | None:
        """Return the last known good set, not verified yet. Return None if there is none.

        Raises:
            UpdateError: the file can't be read.
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
        """Replace the last known good set atomically."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        put(self.folder / _GOOD, encode(signed_set), new_mode=_PRIVATE)

    def put_aside(self) -> None:
        """Move an invalid set aside. Never raises."""
        with suppress(OSError):
            (self.folder / _GOOD).replace(self.folder / f"{_GOOD}.bad")

    def follow(self, bundled: bytes) -> tuple[Root, ...]:
        """Return the bundled root and the cached roots that follow it. Raises the errors of tuf."""
        chain = follow_roots(bundled, ())
        return follow_roots(bundled, self._roots(chain[0].version + 1))

    def has_root(self, version: int) -> bool:
        """Return True if ``tuf.ngclient`` has fetched this version of the root."""
        return (self.metadata / "root_history" / f"{version}.root.json").exists()

    def _roots(self, first: int) -> Iterator[bytes]:
        for version in count(first):
            try:
                with _opened(self.metadata / "root_history" / f"{version}.root.json") as file:
                    yield file.read(self._limits.root)
            except OSError:
                return

    def read(self) -> SignedMetadata:
        """Return the metadata that ``tuf.ngclient`` verified last."""
        return SignedMetadata(*((self.metadata / f"{role}.json").read_bytes() for role in _ROLES))

    def sweep(self) -> None:
        """Delete temporary files of killed processes. The caller holds the lock.

        Also delete unknown files, because ``tuf.ngclient`` loads every file in the directory.
        """
        left = [*self.folder.glob(f".{_GOOD}.*"), *self.metadata.glob("tmp*")]
        for path in [*left, *filter(self._is_not_metadata, self.metadata.rglob("*.json"))]:
            with suppress(OSError):
                path.unlink()

    def _is_not_metadata(self, path: Path) -> bool:
        """Return True if a file exceeds the limit, or is a pipe, which would block the reader."""
        with suppress(OSError):
            found = path.stat()
            return not S_ISREG(found.st_mode) or found.st_size > self._limits.of(
                f"metadata/{path.name}"
            )
        return True

    def move_out(self) -> bool:
        """Move the metadata to a temporary folder. Return False if it is there already."""
        if self._scratch is not None:
            return False
        scratch = Path(_make_scratch())
        with suppress(OSError):
            shutil.copytree(self.metadata, scratch, symlinks=True, dirs_exist_ok=True)
        self._scratch = scratch
        return True

    def move_back(self) -> None:
        """Move the metadata back to the cache folder, if it was moved out and there is room."""
        if self._scratch is None:
            return
        home = self.folder / "metadata"
        (home / "root_history").mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self._kept_outside():
            put(home / path, (self._scratch / path).read_bytes(), new_mode=_PRIVATE)
        self.clear()

    def _kept_outside(self) -> list[str]:
        """Return the names of the metadata files, roots first, so that a partial copy is valid."""
        roots = [f"root_history/{path.name}" for path in self.metadata.glob("root_history/*.json")]
        others = [f"{role}.json" for role in _ROLES]
        return [*sorted(roots), *(each for each in others if (self.metadata / each).exists())]

    def clear(self) -> None:
        """Delete the temporary folder."""
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch = None

    def forget(self) -> None:
        """Forget the temporary folder after a fork: it belongs to the parent."""
        self._scratch = None


def _opened(path: Path) -> IO[bytes]:
    """Open a file for reading. A pipe does not block until another process writes."""
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | _NONBLOCK))


def unusable(exc: OSError) -> UpdateError:
    """Return the error for a cache folder that can't be used."""
    return UpdateError(
        f"the folder of the cache cannot be used: {exc.strerror or exc}",
        reason="storage",
        fix="give the app a folder of its own that it may write to, with some room on the disk; "
        "until then updates hold in memory, and are fetched again at each start",
    )


def _make_scratch() -> str:
    try:
        return tempfile.mkdtemp(prefix="certpin-updates-")
    except OSError:
        return tempfile.mkdtemp(prefix="certpin-updates-", dir=_SPARE)
