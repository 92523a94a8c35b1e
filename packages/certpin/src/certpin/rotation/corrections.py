"""Correct the times of journal entries that came from a clock that was ahead.

Such an entry would block the journal until its time has passed (``certpin.rotation.clock``). The
journal is append-only, so the entry stays as it is. A ``clock`` event names its line by SHA-256;
from then on the entry counts as written at the time of that event.

That time is a safe bound: the entry existed when it was corrected, so it was written before. A
version counts as published later than it was, and the version before it as held longer. A
correction never moves an entry to a later time than it has.
"""

from __future__ import annotations

from dataclasses import replace
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

from certpin.rotation.journal import Event, in_order
from certpin.rotation.sightings import CLOCK_TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime


def corrected(events: Iterable[Event]) -> tuple[Event, ...]:
    """Return the events of a journal with corrected times, sorted by time.

    A ``clock`` event may itself be corrected by a later one.
    """
    events = tuple(events)
    by_line = {event.digest: event for event in events if event.digest}
    repairs: dict[str, list[str]] = {}
    for digest, event in by_line.items():
        for line in event.lines:
            if line in by_line:
                repairs.setdefault(line, []).append(digest)
    # No cycle: a line would have to contain the digest of a line that contains its own digest.
    times: dict[str, datetime] = {}
    for digest in TopologicalSorter(repairs).static_order():
        bounds = [times[repair] for repair in repairs.get(digest, ())]
        times[digest] = min([by_line[digest].time, *bounds])
    return in_order(_at(event, times.get(event.digest, event.time)) for event in events)


def ahead_of(events: Sequence[Event], now: datetime) -> tuple[Event, ...]:
    """Return the entries with times after the current time, which servers confirmed.

    Args:
        events: the events of a journal, with corrected times.
        now: the confirmed current time. ``CLOCK_TOLERANCE`` is allowed.
    """
    return tuple(event for event in events if event.time - now > CLOCK_TOLERANCE)


def correction(late: Sequence[Event], now: datetime, who: str, reason: str) -> Event:
    """Return the event that corrects the times of journal entries to ``now``.

    Args:
        late: the entries with wrong times, as they were read from the journal.
        now: the confirmed current time.
        who: the person who corrects them.
        reason: why their times are wrong.
    """
    return Event(now, who, "clock", reason=reason, lines=tuple(event.digest for event in late))


def _at(event: Event, time: datetime) -> Event:
    if time == event.time:
        return event
    release = replace(event.release, shipped=time) if event.release else None
    return replace(event, time=time, recorded=event.time, release=release)
