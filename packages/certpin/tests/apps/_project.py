"""Write the files of an app, and read them with the reader that a test chooses."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from certpin.apps.languages import DART
from certpin.apps.model import FileFindings, FoundPin, Place
from certpin.apps.project import read_project
from certpin.pins import Pin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from certpin.apps.model import SourceFile
    from certpin.apps.project import Project

    Reader = Callable[[SourceFile, datetime], FileFindings]

NOW = datetime(2027, 3, 1, tzinfo=UTC)


@contextmanager
def silent(_total: int) -> Iterator[Callable[[], None]]:
    yield lambda: None


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files below a folder, and return it."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def by_lines(file: SourceFile, _now: datetime) -> FileFindings:
    """Return a pin for each line that is a pin: a substitute for the reader of Dart files."""
    lines = enumerate(file.text.splitlines(), 1)
    return FileFindings(
        pins=[
            FoundPin(Pin.parse(line), Place(file.path, number), "pins")
            for number, line in lines
            if line.startswith(("sha256/", "cert-sha256/"))
        ]
    )


def read(*paths: str | Path, reader: Reader = by_lines, now: datetime = NOW) -> Project:
    """Read an app from files and folders, as ``certpin import`` does.

    Args:
        paths: the files and folders.
        reader: the function that reads each Dart file.
        now: the current time.
    """
    language = replace(DART, load=lambda: reader)
    return read_project([str(path) for path in paths], language, now, silent)


def names(*paths: str | Path) -> list[str]:
    """Return the paths of the Dart files that certpin reads for an app, in their order."""
    seen: list[str] = []

    def note(file: SourceFile, _now: datetime) -> FileFindings:
        seen.append(file.path)
        return FileFindings()

    read(*paths, reader=note)
    return seen
