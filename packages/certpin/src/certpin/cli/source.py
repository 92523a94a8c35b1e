"""Read a file of another platform to import, and the files in the same folder that it names."""

from __future__ import annotations

import sys
from pathlib import Path

from certpin.errors import FormatError
from certpin.formats import Source
from certpin.formats.format import MAX_SOURCE_BYTES
from certpin.support.text import printable


def read_source(name: str) -> Source:
    """Read the file to import, or standard input if its name is ``-``.

    The file to import can name other files. They are read from its folder, when the reader of the
    format needs them; for standard input, they are refused.

    Raises:
        FormatError: the file can't be read.
    """
    if name == "-":
        return Source(sys.stdin.buffer.read(MAX_SOURCE_BYTES + 1), _refuse_beside)
    path = Path(name)
    return Source(_read(path), lambda beside: _read(path.parent / beside))


def _read(path: Path) -> bytes:
    """Return the content of a file, or only the beginning of a file that is too large.

    Of a large file, one byte more than importers accept is returned. So they notice that it is too
    large, and refuse it.
    """
    try:
        with path.open("rb") as file:
            return file.read(MAX_SOURCE_BYTES + 1)
    except (OSError, ValueError) as exc:  # ValueError: a path with a NUL in it
        raise FormatError(
            f"{printable(str(path))} cannot be read: {getattr(exc, 'strerror', exc)}",
            fix="check the path and its permissions",
        ) from exc


def _refuse_beside(beside: str) -> bytes:
    raise FormatError(
        f"it names the file {printable(beside)}, and standard input has no folder",
        fix="give the path of the file",
    )
