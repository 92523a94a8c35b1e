"""A client's clock, moved: libfaketime, for programs that load libraries."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.lab.case import CannotServeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

_DARWIN = sys.platform == "darwin"
_PRELOAD = "DYLD_INSERT_LIBRARIES" if _DARWIN else "LD_PRELOAD"
_SUFFIX = "1.dylib" if _DARWIN else "so.1"
# The build for programs with threads first: it serves those without as well.
_NAMES = (f"libfaketimeMT.{_SUFFIX}", f"libfaketime.{_SUFFIX}")
# Where Debian, Fedora, Arch and Homebrew put it.
_FOLDERS = (
    "/usr/lib/*/faketime",
    "/usr/lib64/faketime",
    "/usr/lib/faketime",
    "/usr/local/lib/faketime",
    "/opt/homebrew/lib/faketime",
)
_FIX = "install libfaketime: apt-get install libfaketime"


def moved_clock(by: timedelta) -> dict[str, str]:
    """The variables that move the clock of a program; none for its own time.

    A program that is linked statically, as those of Go often are, does not see them.
    Raises ``CannotServeError`` where libfaketime is missing.
    """
    if not by:
        return {}
    library = faketime()
    if library is None:
        raise CannotServeError("moving the client's clock takes libfaketime", fix=_FIX)
    before = os.environ.get(_PRELOAD)
    return {
        _PRELOAD: f"{library}:{before}" if before else str(library),
        "FAKETIME": f"{by.total_seconds():+.0f}",
        # Time-outs must still end, and the dates of files are no dates of certificates.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
        "FAKETIME_DISABLE_SHM": "1",  # a client that is killed would leave some behind
    }


def faketime() -> Path | None:
    """Where the library is."""
    return next(_places(), None)


def _places() -> Iterator[Path]:
    for name in _NAMES:
        for folder in _FOLDERS:
            yield from sorted(Path("/").glob(f"{folder[1:]}/{name}"))
