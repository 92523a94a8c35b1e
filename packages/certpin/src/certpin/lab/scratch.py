"""The folder of one run: gone when the run ends, or when a later one finds that it was killed."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.support import locks

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = "certpin-lab-"
_LOCK = "running.lock"


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a locked temporary folder, and remove it afterwards."""
    folder = tempfile.TemporaryDirectory(prefix=_PREFIX)
    begun = Path(folder.name, "begun.lock")
    with begun.open("wb") as lock, folder as name:  # let go once the folder has gone
        locks.lock(lock.fileno())
        begun.rename(begun.with_name(_LOCK))  # whatever has this name was locked first
        yield Path(name)


def remove_leftovers() -> list[Path]:
    """Remove the folders of this user's runs that were killed, and could not. Which they were.

    The kernel lets go of a lock when its process ends, however that comes about.
    """
    folders = sorted(Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"))
    return [folder for folder in folders if _removed(folder)]


def _removed(folder: Path) -> bool:
    try:
        if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
            return False
        with open(folder / _LOCK, "rb", opener=_unfollowed) as lock:
            if not locks.try_lock(lock.fileno()):
                return False  # it is still running
            shutil.rmtree(folder)
    except OSError:  # it belongs to another user, or another run is removing it
        return False
    return True


def _unfollowed(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)
