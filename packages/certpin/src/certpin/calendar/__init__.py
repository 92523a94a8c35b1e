"""The calendar: coming events that can lock the clients of a pin set out, each with its date."""

from __future__ import annotations

from certpin.calendar.events import CalendarEvent, EventKind, in_order, list_events, policy_events
from certpin.calendar.ical import to_ical

__all__ = ["CalendarEvent", "EventKind", "in_order", "list_events", "policy_events", "to_ical"]
