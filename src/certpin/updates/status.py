"""What an updater tells: its status when asked, and events as they happen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from certpin.errors import UpdateError
    from certpin.updates.states import UpdateState

    UpdateHook = Callable[["UpdateEvent"], object]

# updated: another set is in force. checked: there is nothing new. failed: a check failed, or the
# fetched set was refused. cache: the cached set was refused, or the cache can't be written.
What = Literal["updated", "checked", "failed", "cache"]


@dataclass(frozen=True)
class UpdateStatus:
    """The status of an updater.

    Attributes:
        state: see ``UpdateState``.
        name: the name of the pin set.
        version: the version of the set in force.
        checked: when the last check of this process succeeded.
        until: when the first metadata file of the set in force expires.
        failures: the number of failed checks since the last success.
        error: why the last check failed.
        cache_error: why the cache can't be read or written.
    """

    state: UpdateState
    name: str
    version: int
    checked: datetime | None
    until: datetime | None
    failures: int
    error: UpdateError | None
    cache_error: UpdateError | None


@dataclass(frozen=True)
class UpdateEvent:
    """One event. ``status`` is the status after it."""

    what: What
    at: datetime
    status: UpdateStatus
    error: UpdateError | None = None

    def fields(self) -> dict[str, Any]:
        """Return the fields for a structured log: plain values without secrets."""
        until = self.status.until
        return {
            "what": self.what,
            "at": self.at.isoformat(),
            "state": self.status.state,
            "pin_set": self.status.name,
            "pin_set_version": self.status.version,
            "until": None if until is None else until.isoformat(),
            "reason": None if self.error is None else self.error.reason,
            "failures": self.status.failures,
        }
