"""The journal: an append-only file of JSON lines beside ``pins.toml``, kept in version control.

Lines of two people may come together in any order (git's ``merge=union``): events are sorted by
their time, and one that stands there twice is one. What contradicts is told, not repaired.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.errors import InputError, JournalError
from certpin.rotation.event import format_event, parse_event

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from certpin.rotation.event import Event

SUFFIX = ".journal.jsonl"

# A line has a whole pin set in it: that of 100 000 hosts takes some 50 MB.
MAX_JOURNAL_BYTES = 256 * 1024 * 1024

_CONFLICT = ("<<<<<<<", "=======", ">>>>>>>", "|||||||")


def parse_journal(text: str, *, path: str | Path = "<text>") -> tuple[Event, ...]:
    """Every event, sorted by time, each once. Raises ``JournalError``, with the line."""
    # Only the line end of JSON lines: other separators may stand inside a string.
    events = [
        _parse(line, number, path)
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    ]
    return in_order(events)


def in_order(events: Iterable[Event]) -> tuple[Event, ...]:
    """Events by time, each once; of the same moment in an order that no merge changes."""
    lines = {format_event(event): event for event in events}
    return tuple(lines[line] for line in sorted(lines, key=lambda each: (lines[each].time, each)))


def format_journal(events: Iterable[Event]) -> str:
    """The lines to append, each with its end."""
    return "".join(f"{format_event(event)}\n" for event in events)


def _parse(line: str, number: int, path: str | Path) -> Event:
    if line.startswith(_CONFLICT):
        raise JournalError(
            "git left a conflict there",
            path=path,
            line=number,
            fix="keep the lines of both sides, in any order, and delete git's markers",
        )
    try:
        return parse_event(line)
    except InputError as exc:
        raise JournalError(
            exc.problem,
            path=path,
            line=number,
            fix=exc.fix or "take the line as it was committed: the journal is only appended to",
        ) from exc
