"""Telling somebody: the logger ``certpin.updates`` and the hooks of each event."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from certpin.tls.failures import Hooks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin.updates.status import UpdateEvent, UpdateHook

# Ordinary network and disk faults. Other reasons mean an attack or a mistake in publishing.
_NETWORK_REASONS = frozenset({"network", "slow", "http", "storage", "busy", "closed"})


class Notifier:
    """Sends events to the logger ``certpin.updates`` and to the hooks."""

    def __init__(self, hooks: Iterable[UpdateHook]) -> None:
        self._hooks: Hooks[UpdateEvent] = Hooks(tuple(hooks), "update", _logger)

    def notify(self, event: UpdateEvent) -> None:
        """Log an event and call the hooks. Never raises and never waits."""
        with suppress(Exception):
            _logger().log(_level(event), "%s", _message(event), extra={"certpin": event.fields()})
        with suppress(Exception):
            self._hooks.notify(event)


def _level(event: UpdateEvent) -> int:
    if event.what == "checked":
        return logging.DEBUG
    if event.error is None:
        return logging.INFO
    return logging.WARNING if event.error.reason in _NETWORK_REASONS else logging.ERROR


def _message(event: UpdateEvent) -> str:
    status = event.status
    held = f"version {status.version} of the pin set {status.name!r}"
    if event.error is not None:
        return f"{event.error.problem}; {held} stays in force ({status.state})"
    return f"{held} is in force now" if event.what == "updated" else f"{held} is the newest"


def _logger() -> logging.Logger:
    return logging.getLogger("certpin.updates")
