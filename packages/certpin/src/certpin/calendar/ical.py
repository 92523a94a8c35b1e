"""Write the calendar of a pin set as iCalendar (RFC 5545), to import or to subscribe to."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from certpin._version import __version__
from certpin.support.text import printable, sentence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from certpin.calendar.events import CalendarEvent

_MAX_OCTETS = 75  # of a content line without its line break (RFC 5545 section 3.1)
# Of the reminder before an event: with default delays, clients have new pins after 32 days.
_LEAD_DAYS = 45


def to_ical(events: Iterable[CalendarEvent], pin_set: str, now: datetime) -> str:
    """Return an iCalendar object with an all-day event for each event that has a date.

    The UID of an event stays the same, so that a calendar program that imports the file again
    replaces the event. Events without a date are left out: iCalendar can't express them.

    Args:
        events: the events.
        pin_set: the name of the pin set.
        now: the time at which the object is made (DTSTAMP), with a time zone.

    Returns:
        The text, with CRLF line ends. Write it as UTF-8.
    """
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        f"PRODID:-//certpin//certpin {__version__}//EN",
        "CALSCALE:GREGORIAN",
        f"X-WR-CALNAME:{_escape(f'certpin: {pin_set}')}",
    ]
    for event in events:
        lines += _event(event, pin_set, now)
    return "".join(f"{_fold(line)}\r\n" for line in (*lines, "END:VCALENDAR"))


def _event(event: CalendarEvent, pin_set: str, now: datetime) -> Iterator[str]:
    if event.day is None:
        return
    title = f"{event.host or pin_set}: {event.text}"
    details = [sentence(event.text), f"fix: {event.fix}"]
    details += [f"source: {event.source} ({event.published})"] if event.source else []
    yield "BEGIN:VEVENT"
    yield f"UID:{event.uid(pin_set)}"
    yield f"DTSTAMP:{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    yield f"DTSTART;VALUE=DATE:{event.day:%Y%m%d}"  # without DTEND: one day (RFC 5545, 3.6.1)
    yield f"SUMMARY:{_escape(title)}"
    yield "DESCRIPTION:" + "\\n".join(map(_escape, details))
    yield f"CATEGORIES:{event.kind}"
    if event.source.startswith("https://"):
        yield f"URL:{printable(event.source)}"
    yield "TRANSP:TRANSPARENT"
    yield "BEGIN:VALARM"
    yield "ACTION:DISPLAY"
    yield f"DESCRIPTION:{_escape(title)}"
    yield f"TRIGGER:-P{_LEAD_DAYS}D"
    yield "END:VALARM"
    yield "END:VEVENT"


def _escape(text: str) -> str:
    """Return a text as a TEXT value (RFC 5545, 3.3.11). Control characters are escaped."""
    text = "\n".join(map(printable, text.split("\n")))
    for character in ("\\", ";", ","):
        text = text.replace(character, "\\" + character)
    return text.replace("\n", "\\n")


def _fold(line: str) -> str:
    """Fold a content line after at most 75 octets, never inside a character (RFC 5545, 3.1)."""
    pieces, taken = [""], 0
    for character in line:
        octets = len(character.encode())
        if taken + octets > _MAX_OCTETS:
            pieces.append(" ")  # part of the next line's length
            taken = 1
        pieces[-1] += character
        taken += octets
    return "\r\n".join(pieces)
