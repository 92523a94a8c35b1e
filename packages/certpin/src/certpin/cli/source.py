"""The file of another platform, and those that it names beside it."""

from __future__ import annotations

import sys
from pathlib import Path

from certpin.errors import FormatError
from certpin.formats import Source
from certpin.formats.format import MAX_SOURCE_BYTES
from certpin.x509 import printable


def read_source(name: str) -> Source:
    """Read a file, or standard input where it is called ``-``. Raises ``FormatError``."""
    if name == "-":
        return Source(sys.stdin.buffer.read(MAX_SOURCE_BYTES + 1), _nothing)
    path = Path(name)
    return Source(_read(path), lambda beside: _read(path.parent / beside))


def _read(path: Path) -> bytes:
    """One byte more than is allowed, so that the format can tell."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_SOURCE_BYTES + 1)
    except (OSError, ValueError) as exc:  # ValueError: a path with a NUL in it
        raise FormatError(
            f"{printable(str(path))} cannot be read: {getattr(exc, 'strerror', exc)}",
            fix="check the path and the rights to it",
        ) from exc


def _nothing(beside: str) -> bytes:
    raise FormatError(
        f"it names the file {printable(beside)}, and standard input has none beside it",
        fix="give the path of the file",
    )
