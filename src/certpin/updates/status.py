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

# updated: another set is in force. checked: there is nothing new. failed: a check failed, or what
# came was refused. cache: what was kept could not be trusted, or cannot be written.
What = Literal["updated", "checked", "failed", "cache"]


@dataclass(frozen=True)
class UpdateStatus:
    """Where an updater stands.

    ``version`` is that of the set in force. ``checked`` is when a server last showed that it is the
    newest, since this process began; ``until`` is how long that holds. ``error`` is what the last
    check failed of, ``cache_error`` what is wrong with the folder; ``None`` where nothing is.
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
    """One thing that happened. ``status`` is how the updater stood after it."""

    what: What
    at: datetime
    status: UpdateStatus
    error: UpdateError | None = None

    def fields(self) -> dict[str, Any]:
        """What goes into a structured log: plain values, and no secret among them."""
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
