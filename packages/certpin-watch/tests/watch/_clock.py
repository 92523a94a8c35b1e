"""A clock that steps, of programs that are begun with it: the time of day, and no other.

What waits and counts seconds goes by a clock that never steps, as after a step of the real one.
NATS is linked statically and goes by the machine's own.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from certpin.lab.client_env import moved_clock
from tests.servers._run import require

if TYPE_CHECKING:
    from pathlib import Path

AHEAD, BACK = timedelta(days=5), timedelta(hours=-1)


class Clock:
    """``path`` is a file that says how far it is from the machine's."""

    def __init__(self, path: Path) -> None:
        require("faketime")
        self._path = path
        self.variables = moved_clock(AHEAD) | {
            "FAKETIME": "",
            "FAKETIME_TIMESTAMP_FILE": str(path),
            "FAKETIME_CACHE_DURATION": "1",  # seconds until the file is read again
        }
        del self.variables["FAKETIME"]  # it would come before the file
        self.step(timedelta(0))

    def step(self, by: timedelta) -> None:
        """Be so far from the machine's clock."""
        part = self._path.with_suffix(".part")
        part.write_text(f"{by.total_seconds():+.0f}\n")
        part.replace(self._path)

    def break_(self) -> None:
        """Days ahead: far enough to be taken for a leap."""
        self.step(AHEAD)

    def restore(self) -> None:
        """Before where it was."""
        self.step(BACK)
