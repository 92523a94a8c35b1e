"""The journal of a pin file: where it lies, and what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.errors import JournalError
from certpin.rotation.history import History
from certpin.rotation.journal import MAX_JOURNAL_BYTES, SUFFIX, parse_journal

if TYPE_CHECKING:
    from pathlib import Path


def journal_beside(pin_file: Path) -> Path:
    """Where the journal of a pin file lies."""
    return pin_file.with_name(pin_file.stem + SUFFIX)


def load_journal(path: Path) -> History:
    """What a journal says; one that is not there yet says nothing. Raises ``JournalError``."""
    return History(parse_journal(_read(path), path=path))


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_JOURNAL_BYTES + 1)
    except FileNotFoundError:
        return ""
    except OSError as exc:
        raise JournalError(f"it cannot be read: {exc.strerror or exc}", path=path) from exc
    if len(data) > MAX_JOURNAL_BYTES:
        raise JournalError(f"it has more than {MAX_JOURNAL_BYTES} bytes", path=path)
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise JournalError("it is not UTF-8 text", path=path, line=line) from exc
