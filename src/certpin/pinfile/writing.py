"""Write a file whole or not at all."""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.errors import PinFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

_TEMPORARY = re.compile(r"\.(.+)\.[a-z0-9_]{8}", re.ASCII)  # tempfile.mkstemp's names, in put()
_NEW_FILE_MODE = 0o644  # pins are no secret


def write_atomically(path: Path, content: str | bytes) -> None:
    """Put a file in place by renaming, with the mode that the old one had. Raises ``PinFileError``.

    Where ``path`` is a link, what it points to is replaced.
    """
    try:
        data = content.encode() if isinstance(content, str) else content
        put(Path(os.path.realpath(path)), data)
    except UnicodeEncodeError as exc:
        raise PinFileError("it cannot be written as UTF-8", path=path) from exc
    except OSError as exc:
        raise PinFileError(
            f"it cannot be written: {exc.strerror or exc}", path=path, fix="check path and rights"
        ) from exc


def put(path: Path, data: bytes, *, new_mode: int = _NEW_FILE_MODE) -> None:
    """Put bytes in place by renaming: after a crash there is the old file or the new one.

    An old file gives its mode, ``new_mode`` is for one that was not there. Raises ``OSError``.
    """
    mode = path.stat().st_mode & 0o777 if path.exists() else new_mode
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    sync_folder(path.parent)


def left_overs(folder: Path, known: re.Pattern[str], *, recursive: bool = True) -> Iterator[Path]:
    """Yield the temporary files of ``put`` in a folder that a killed process left there.

    Args:
        folder: the folder.
        known: the names that were being written, as a whole.
        recursive: also yield the files of the folders below it.
    """
    for path in folder.rglob(".*") if recursive else folder.glob(".*"):
        left = _TEMPORARY.fullmatch(path.name)
        if left and known.fullmatch(left[1]) and path.is_file() and not path.is_symlink():
            yield path


def sync_folder(folder: Path) -> None:
    """A new name is on the disk only when its folder is (rename(2) says nothing of it)."""
    with suppress(OSError):  # some file systems cannot do it, and then there is nothing to be done
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
