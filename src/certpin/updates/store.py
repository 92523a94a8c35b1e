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
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # where there is none, there are no such pipes
_ROLES = ("timestamp", "snapshot", "targets")
_SPARE = Path("/dev/shm")  # noqa: S108  # where not even the folder for temporary files can be used


class Store:
    """The folder of one updater. Its methods raise ``OSError``, unless they say otherwise."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder = folder
        self._limits = limits
        self._scratch: Path | None = None

    @property
    def metadata(self) -> Path:
        """Where ``tuf.ngclient`` keeps its metadata now."""
        return self._scratch or self.folder / "metadata"

    def stamp(self) -> tuple[int, ...]:
        """What tells that another process put another set there; empty where there is none."""
        with suppress(OSError):
            found = (self.folder / _GOOD).stat()
            return (found.st_ino, found.st_mtime_ns, found.st_size)
        return ()

    def load(self) -> CachedSet | None:
        """The last known good set, not believed yet; ``None`` where there is none.

        Raises ``UpdateError`` on what cannot be read.
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
        """Put a set in the place of the last one, whole or not at all."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        put(self.folder / _GOOD, encode(signed_set), new_mode=_PRIVATE)

    def put_aside(self) -> None:
        """Take away what is not to be believed. Never raises."""
        with suppress(OSError):
            (self.folder / _GOOD).replace(self.folder / f"{_GOOD}.bad")

    def follow(self, bundled: bytes) -> tuple[Root, ...]:
        """The root of the app, and those kept here that follow. Raises what tuf raises on it."""
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
        """The metadata that ``tuf.ngclient`` found good just now."""
        return SignedMetadata(*((self.metadata / f"{role}.json").read_bytes() for role in _ROLES))

    def sweep(self) -> None:
        """Remove what processes that were killed have left. For the holder of the lock.

        And what no metadata is: ``tuf.ngclient`` reads whatever stands there, all of it.
        """
        left = [*self.folder.glob(f".{_GOOD}.*"), *self.metadata.glob("tmp*")]
        for path in [*left, *filter(self._is_not_metadata, self.metadata.rglob("*.json"))]:
            with suppress(OSError):
                path.unlink()

    def _is_not_metadata(self, path: Path) -> bool:
        """Whether it is too long for metadata, or a pipe, which would never end."""
        with suppress(OSError):
            found = path.stat()
            return not S_ISREG(found.st_mode) or found.st_size > self._limits.of(
                f"metadata/{path.name}"
            )
        return True

    def move_out(self) -> bool:
        """Keep the metadata among temporary files from now on; false where it is there already."""
        if self._scratch is not None:
            return False
        scratch = Path(_make_scratch())
        with suppress(OSError):
            shutil.copytree(self.metadata, scratch, symlinks=True, dirs_exist_ok=True)
        self._scratch = scratch
        return True

    def move_back(self) -> None:
        """Keep the metadata where it belongs again, if it was moved out and there is room now."""
        if self._scratch is None:
            return
        home = self.folder / "metadata"
        (home / "root_history").mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self._kept_outside():
            put(home / path, (self._scratch / path).read_bytes(), new_mode=_PRIVATE)
        self.clear()

    def _kept_outside(self) -> list[str]:
        """Roots first, as they are fetched: what is there then is consistent at every moment."""
        roots = [f"root_history/{path.name}" for path in self.metadata.glob("root_history/*.json")]
        others = [f"{role}.json" for role in _ROLES]
        return [*sorted(roots), *(each for each in others if (self.metadata / each).exists())]

    def clear(self) -> None:
        """Remove what is kept among temporary files."""
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch = None

    def forget(self) -> None:
        """After a fork: what is kept among temporary files is the parent's."""
        self._scratch = None


def _opened(path: Path) -> IO[bytes]:
    """Open it to be read; if it is a pipe, without waiting for somebody who writes."""
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | _NONBLOCK))


def unusable(exc: OSError) -> UpdateError:
    """The error for a folder that cannot be used."""
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
