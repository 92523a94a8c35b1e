"""Read files that a user or another file names: regular ones only, up to a size.

A FIFO, a device and a folder are refused, since reading them may never end.
"""

from __future__ import annotations

import os
import stat
from errno import EFBIG, EINVAL
from typing import TYPE_CHECKING

from certpin.errors import PinFileError

if TYPE_CHECKING:
    from pathlib import Path

# A million hosts take some 200 MB. More than that is not a pin file, and a parser has to end.
MAX_PIN_FILE_BYTES = 256 * 1024 * 1024

_CHUNK = 1024 * 1024
# O_NONBLOCK: to open a FIFO without a writer would wait for one. Windows has no such files.
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)


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
    """The text of a pin file, with its line ends as they are. Raises ``PinFileError``."""
    try:
        text = read_regular(path, MAX_PIN_FILE_BYTES).decode()
    except UnicodeDecodeError as exc:
        raise PinFileError("it is not UTF-8 text", path=path, fix="save it as UTF-8") from exc
    except (OSError, ValueError) as exc:  # ValueError: a path with a NUL in it
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
