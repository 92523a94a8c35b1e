"""Writes the files of ``certpin export``, or with ``--check`` compares them with existing files."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from certpin.errors import ConfigError, FormatError
from certpin.formats.format import MAX_SOURCE_BYTES
from certpin.formats.header import quoted, read_header
from certpin.pinfile.file import read_regular, write_atomically
from certpin.support.text import printable

if TYPE_CHECKING:
    from certpin.formats import Export, Format

# The note in the first lines of each file that certpin makes, if its format has comments.
_MARK = re.compile(r"(?:Made|Copied) by: certpin export ([a-z-]+)\.")
_HEADER_LINES = 12  # XML has a declaration and a copyright before it
_MARK_CHARACTERS = 16 * 1024  # more than the longest name of a pin set, escaped

# The extensions by which compilers know the language of a file.
_SCRIPTS = {".js", ".mjs", ".ts"}  # a project chooses between these
SOURCE_CODE = {".cs", ".dart", ".go", ".java", ".kt", ".swift", *_SCRIPTS}

_LINE_ENDS = (
    "only the line ends differ: a checkout changed them to CR LF\n"
    "  fix: write *{} text eol=lf into .gitattributes, and check the file out again\n"
)

OutputState = Literal["printed", "written", "unchanged", "current", "differs", "missing"]


@dataclass(frozen=True)
class OutputFile:
    """A file that ``certpin export`` makes.

    Attributes:
        path: the path to which the file is written.
        text: the content to write.
        state: how the file was handled or compared, such as ``printed``, ``differs`` or
            ``missing``.
        difference: a unified diff from the existing file, for people; empty if there is none.
    """

    path: Path
    text: str
    state: OutputState = "printed"
    difference: str = ""

    @property
    def stale(self) -> bool:
        """True if the existing file is missing, or has different content.

        ``certpin export --check`` then ends with exit code 1.
        """
        return self.state in {"differs", "missing"}


def output_files(chosen: Format, made: Export, out: str) -> list[OutputFile]:
    """Return the files of an export, each with the path to which it is to be written.

    Args:
        chosen: the format of the export.
        made: the export, with the content of its files.
        out: the value of ``--out``: a folder, or the name of the file if there is only one.

    Raises:
        ConfigError: ``out`` is a file, or named like a file, and the format needs a folder; or its
            extension is not that of the format.
    """
    path = Path(out)
    suffix = Path(made.files[0].path).suffix
    # A format with several files may still have one: `--out lib/pins.dart` names that file.
    named = len(made.files) == 1 and path.suffix == suffix
    folder = chosen.folder and not named
    if not (folder or path.is_dir() or out.endswith(os.sep)):
        if _is_wrong_suffix(path.suffix, suffix):
            plain = path.with_suffix("")
            fix = f"name a file: {plain}{suffix}, or a folder: {plain}{os.sep}"
            problem = f"does not end with {suffix}, the extension of the format {chosen.name}"
            raise _error(path, problem, printable(fix))
        return [OutputFile(path, made.files[0].text)]
    if path.exists() and not path.is_dir():
        raise _error(path, f"is a file, and {chosen.name} goes into a folder", "name a folder")
    # The folder of an export that is no source code may have any name, such as pins.curl.
    like_a_file = path.suffix == suffix or (path.suffix and suffix in SOURCE_CODE)
    if like_a_file and not path.exists() and not out.endswith(os.sep):
        count = f"{len(made.files)} files" if path.suffix == suffix else f"*{suffix}"
        problem = f"names a file, and {chosen.name} writes {count}"
        fix = f"name a folder: {path.with_suffix('')}, or, if it has this name, {path}{os.sep}"
        raise _error(path, problem, printable(fix))
    return [OutputFile(path / file.path, file.text) for file in made.files]


def _is_wrong_suffix(suffix: str, right: str) -> bool:
    """Return True if an exported file must not have this file name extension.

    A file of source code needs the extension of its language, so that a compiler reads it. Other
    files, such as those of proxies, can have any extension but one of source code.

    Args:
        suffix: the extension that the user chose.
        right: the extension of the format.
    """
    if right not in SOURCE_CODE:
        return suffix in SOURCE_CODE
    return suffix != right and not {suffix, right} <= _SCRIPTS


def write_files(files: list[OutputFile]) -> list[OutputFile]:
    """Write each file with changed content, and return the files with their new states.

    Each file is written completely, or not at all. An existing file is replaced only if it is
    empty, or an export of the same format and pin set; otherwise no file is written. certpin
    recognises an export by the note that it writes at the top. Formats without comments, such as
    JSON, have no note, so their files are always replaced.

    Raises:
        ConfigError: a file can't be read or written, or must not be replaced.
    """
    for file in files:
        _refuse_foreign(file)
    return [_write(file) for file in files]


def compare_files(files: list[OutputFile]) -> list[OutputFile]:
    """Compare each file with the existing one, and return the files with their states.

    Raises:
        ConfigError: a file can't be read.
    """
    return [_compare(file) for file in files]


def _error(path: Path, problem: str, fix: str) -> ConfigError:
    return ConfigError(f"{printable(str(path))} {problem}", key="--out", fix=fix)


def _refuse_foreign(file: OutputFile) -> None:
    """Raise ``ConfigError`` if a file exists that is not an export of the same format and pin set.

    An empty file can be replaced. Without this check, the pins of debug builds could replace those
    for users, if both are exported to the default file.
    """
    existing = _read(file.path) or ""
    old, new = _mark(existing), _mark(file.text)
    if not existing.strip() or not new:
        return
    if not old:
        raise _error(
            file.path,
            "exists, and certpin did not make it",
            "name another path, or move the file away. For a file of pins in another format: "
            "certpin import",
        )
    other = ""
    if old != new:
        other = f"certpin export {old}"
    elif (name := _pin_set(existing)) not in {"", _pin_set(file.text)}:
        other = f"the pin set {quoted(name)}"
    if other:
        raise _error(
            file.path,
            f"exists, and is of {printable(other)}",
            "name another path; or delete the file, if it is not needed any more",
        )


def _mark(text: str) -> str:
    """Return the name of the format from certpin's note at the top of an exported file.

    Return an empty string if the text has no such note.
    """
    first = "\n".join(text[:_MARK_CHARACTERS].split("\n")[:_HEADER_LINES])
    found = _MARK.search(first)
    return found[1] if found else ""


def _pin_set(text: str) -> str:
    """Return the name of the pin set in the header of an exported file.

    Return an empty string if the file has no such header, or the header has no name.
    """
    try:
        return read_header(text)[0]
    except FormatError:
        return ""


def _write(file: OutputFile) -> OutputFile:
    if _read(file.path) == file.text:
        return OutputFile(file.path, file.text, "unchanged")
    try:
        file.path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        fix = "name a folder that you may write to"
        raise _error(file.path.parent, f"cannot be made: {exc.strerror}", fix) from exc
    write_atomically(file.path, file.text)
    return OutputFile(file.path, file.text, "written")


def _compare(file: OutputFile) -> OutputFile:
    existing = _read(file.path)
    if existing is None:
        return OutputFile(file.path, file.text, "missing")
    if existing == file.text:
        return OutputFile(file.path, file.text, "current")
    if existing.replace("\r\n", "\n") == file.text:
        # curl refuses such a file, and a diff would show equal lines.
        return OutputFile(file.path, file.text, "differs", _LINE_ENDS.format(file.path.suffix))
    lines = unified_diff(
        existing.splitlines(keepends=True),
        file.text.splitlines(keepends=True),
        f"{file.path} (existing)",
        f"{file.path} (from the pin file)",
    )
    return OutputFile(file.path, file.text, "differs", "".join(lines))


def _read(path: Path) -> str | None:
    """Return the content of a file; ``None`` if the file doesn't exist."""
    try:
        data = read_regular(path, MAX_SOURCE_BYTES)
    except FileNotFoundError:
        return None
    except OSError as exc:
        fix = "name a file that you may read and write, or another folder"
        raise _error(path, f"cannot be read: {exc.strerror}", fix) from exc
    return data.decode(errors="backslashreplace")
