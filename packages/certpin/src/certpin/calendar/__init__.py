"""The calendar: coming events that can lock the clients of a pin set out, each with its date."""

from __future__ import annotations

from certpin.calendar.events import CalendarEvent, EventKind, list_events
from certpin.calendar.ical import to_ical

__all__ = ["CalendarEvent", "EventKind", "list_events", "to_ical"]
