"""The calendar: dated events after which clients of a pin set may be locked out."""

from __future__ import annotations

from certpin.calendar.events import (
    CalendarEvent,
    EventKind,
    expired_certificates,
    in_order,
    list_events,
    policy_events,
)
from certpin.calendar.ical import to_ical

__all__ = [
    "CalendarEvent",
    "EventKind",
    "expired_certificates",
    "in_order",
    "list_events",
    "policy_events",
    "to_ical",
]
