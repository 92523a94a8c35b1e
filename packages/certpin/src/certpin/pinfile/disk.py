"""Read files that a user or another file names, and replace files atomically.

Reading takes regular files only, up to a size. A FIFO, a device and a folder are refused, because
reading them may never end.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from errno import EFBIG, EINVAL
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.errors import PinFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

# A million hosts take some 200 MB. A larger file is not a pin file, and a parser has to end.
MAX_PIN_FILE_BYTES = 256 * 1024 * 1024

_CHUNK = 1024 * 1024
# O_NONBLOCK: opening a FIFO without a writer would wait for one. Windows has no such files.
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)
_TEMPORARY = re.compile(r"\.(.+)\.[a-z0-9_]{8}", re.ASCII)  # tempfile.mkstemp's names, in put()
_NEW_FILE_MODE = 0o644  # pins are public


def read_regular(path: Path, limit: int) -> bytes:
    """Read a regular file of at most ``limit`` bytes.

    Raises:
        OSError: the file cannot be read, is not a regular file, or has more bytes.

    """
    descriptor = os.open(path, _FLAGS)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(EINVAL, "it is not a regular file")
        size, read, chunks = status.st_size, 0, []
        while max(size, read) <= limit and (chunk := os.read(descriptor, _CHUNK)):
            chunks.append(chunk)
            read += len(chunk)
    finally:
        os.close(descriptor)
    if max(size, read) > limit:
        raise OSError(EFBIG, f"it has more than {limit} bytes")
    return b"".join(chunks)


def read_text(path: Path) -> str:
    """Return the text of a pin file, with its line ends unchanged.

    Raises:
        PinFileError: the file cannot be read, is too large, or is not UTF-8 without a byte order
            mark.

    """
    try:
        text = read_regular(path, MAX_PIN_FILE_BYTES).decode()
    except UnicodeDecodeError as exc:
        raise PinFileError("it is not UTF-8 text", path=path, fix="save it as UTF-8") from exc
    except (OSError, ValueError) as exc:  # ValueError: the path contains a NUL
        raise PinFileError(
            f"it cannot be read: {getattr(exc, 'strerror', exc)}",
            path=path,
            fix="check the path, or make one: certpin add HOST",
        ) from exc
    if text.startswith("\N{BOM}"):
        raise PinFileError(
            "it begins with a byte order mark",
            path=path,
            line=1,
            fix="save it as UTF-8 without one",
        )
    return text


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file by renaming, and keep its permissions.

    If ``path`` is a link, replace its target.

    Raises:
        PinFileError: the file cannot be written.
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
    """Replace a file by renaming, so that a crash leaves the old file or the new one.

    Args:
        path: the file. If it is a symbolic link, the link is replaced, not its target.
        data: the new content.
        new_mode: the permissions of a file that does not exist yet; others keep theirs.

    Raises:
        OSError: the file cannot be written.
    """
    import tempfile  # takes longer to import than to read a pin file

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
    """Yield the temporary files that killed processes left in a folder during ``put``.

    Args:
        folder: the folder to search.
        known: must match the whole name of the file that ``put`` was writing.
        recursive: also yield the files of the folders below it.
    """
    for path in folder.rglob(".*") if recursive else folder.glob(".*"):
        left = _TEMPORARY.fullmatch(path.name)
        if left and known.fullmatch(left[1]) and path.is_file() and not path.is_symlink():
            yield path


def sync_folder(folder: Path) -> None:
    """Write a folder to disk, so that a new file name in it survives a loss of power.

    rename(2) does not promise this. File systems that can't do it are ignored.
    """
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
