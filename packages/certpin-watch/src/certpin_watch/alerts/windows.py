"""Maintenance windows: what a rotation's journal says is meant to change. Pure.

A window is opened by an event of the journal, for the host and the pin of that event alone:
``activate`` (a server begins to serve a key), and ``publish`` for the pins that it calls ACTIVE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin_watch.alerts.quiet import Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import timedelta

    from certpin.rotation import Event
    from certpin_watch.snapshot import WatchedSet


def windows(sets: Iterable[WatchedSet], now: int, length: timedelta) -> tuple[Window, ...]:
    """Those that are open now."""
    seconds = int(length.total_seconds())
    return tuple(
        window
        for each in sets
        for event in each.history.events
        if int(event.time.timestamp()) <= now < int(event.time.timestamp()) + seconds
        for window in _opened(each.pins.name, event, seconds)
    )


def _opened(name: str, event: Event, seconds: int) -> Iterator[Window]:
    since = int(event.time.timestamp())
    why = f"{event.step} by {event.who}"
    if event.step == "activate" and event.pin:
        yield Window(name, event.host, str(event.pin), since, since + seconds, why)
    if event.step != "publish" or event.pins is None:
        return
    for policy in event.pins.policies:
        for entry in policy.pins:
            if entry.state == "active":
                pattern, pin = str(policy.pattern), str(entry.pin)
                yield Window(name, pattern, pin, since, since + seconds, why)
