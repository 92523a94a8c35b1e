"""The journal: an append-only file of JSON lines beside ``pins.toml``, kept in version control.

Lines of two people may come together in any order (git's ``merge=union``): events are sorted by
their time, and an event that is listed twice counts once. Contradictions are reported, not
repaired.

Clocks have seconds, and differ from machine to machine. So an event that is appended comes after
those that are there already (``after``), unless its clock is minutes behind them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, get_args

from certpin.errors import InputError, JournalError
from certpin.rotation.event import StepName, format_event, parse_event

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from certpin.rotation.event import Event

SUFFIX = ".journal.jsonl"

# By how much the clocks of two machines that keep time may differ.
CLOCK_TOLERANCE = timedelta(minutes=5)
_FIRST = datetime.min.replace(tzinfo=UTC)
_INSTANT = timedelta(microseconds=1)
_STEP_ORDER = {name: rank for rank, name in enumerate(get_args(StepName))}

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
    """Return events by time, each once.

    Those of the same moment are in the order of a rotation, and of versions. No merge changes it.
    """
    lines = {format_event(event): event for event in events}

    def place(line: str) -> tuple[object, ...]:
        event = lines[line]
        return event.time, _STEP_ORDER[event.step], event.version or 0, line

    return tuple(lines[line] for line in sorted(lines, key=place))


def after(known: Sequence[Event], new: Sequence[Event]) -> Iterator[Event]:
    """Yield new events, each with a time after the one before and after those that are known.

    An event whose clock is more than ``CLOCK_TOLERANCE`` behind keeps its time: then one of the
    clocks is wrong, and that is not for the journal to hide.

    Args:
        known: the events of the journal, sorted by time.
        new: the events to append, in their order.
    """
    newest = known[-1].time if known else _FIRST
    earliest = max(newest, _FIRST + CLOCK_TOLERANCE) - CLOCK_TOLERANCE
    for event in new:
        late = earliest <= event.time <= newest
        dated = replace(event, time=newest + _INSTANT) if late else event
        newest = max(newest, dated.time)
        yield dated


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
