"""Where an export goes: written, or compared with what is there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from certpin.errors import ConfigError
from certpin.formats.format import MAX_SOURCE_BYTES
from certpin.pinfile.disk import write_atomically
from certpin.x509 import printable

if TYPE_CHECKING:
    from certpin.formats import Export, Format

Placement = Literal["printed", "written", "unchanged", "current", "differs", "missing"]


@dataclass(frozen=True)
class Placed:
    """A file of an export, and what became of it. ``difference`` is for people."""

    path: Path
    text: str
    state: Placement = "printed"
    difference: str = ""

    @property
    def stale(self) -> bool:
        """Whether a check found it out of date."""
        return self.state in {"differs", "missing"}


def where(chosen: Format, made: Export, out: str) -> list[Placed]:
    """The path of each file. A format of one file may be given a name for it, or a folder.

    Raises ``ConfigError``.
    """
    path = Path(out)
    if not (chosen.folder or path.is_dir() or out.endswith(os.sep)):
        return [Placed(path, made.files[0].text)]
    if path.exists() and not path.is_dir():
        raise _refused(path, f"is a file, and {chosen.name} goes into a folder", "name a folder")
    return [Placed(path / file.path, file.text) for file in made.files]


def place(files: list[Placed]) -> list[Placed]:
    """Write each file that differs, whole or not at all. Raises ``ConfigError``."""
    return [_place(file) for file in files]


def compare(files: list[Placed]) -> list[Placed]:
    """Compare each file with the one on the disk. Raises ``ConfigError`` if it can't be read."""
    return [_compare(file) for file in files]


def check_folder(path: Path) -> None:
    """Say before a run, which may take long, that a file could not be written after it.

    Raises ``ConfigError``.
    """
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ConfigError(
            f"{printable(str(path))} cannot be written: no such folder, or no right to it",
            fix="name a file in a folder that you may write to",
        )


def _refused(path: Path, problem: str, fix: str) -> ConfigError:
    return ConfigError(f"{printable(str(path))} {problem}", key="--out", fix=fix)


def _place(file: Placed) -> Placed:
    if _read(file.path) == file.text:
        return Placed(file.path, file.text, "unchanged")
    try:
        file.path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        fix = "name a folder that you may write to"
        raise _refused(file.path.parent, f"cannot be made: {exc.strerror}", fix) from exc
    write_atomically(file.path, file.text)
    return Placed(file.path, file.text, "written")


def _compare(file: Placed) -> Placed:
    there = _read(file.path)
    if there is None:
        return Placed(file.path, file.text, "missing")
    if there == file.text:
        return Placed(file.path, file.text, "current")
    lines = unified_diff(
        there.splitlines(keepends=True),
        file.text.splitlines(keepends=True),
        f"{file.path} (there)",
        f"{file.path} (from the pin file)",
    )
    return Placed(file.path, file.text, "differs", "".join(lines))


def _read(path: Path) -> str | None:
    """What is there; ``None`` where there is nothing."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SOURCE_BYTES)
    except FileNotFoundError:
        return None
    except OSError as exc:
        fix = "name a file that you may read and write, or another folder"
        raise _refused(path, f"cannot be read: {exc.strerror}", fix) from exc
    return data.decode(errors="backslashreplace")
