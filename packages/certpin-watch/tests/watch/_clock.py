"""Change the time of day that running programs see.

Their monotonic clock is not affected, as when the real time is set. NATS is linked statically, and
always sees the machine's time.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from certpin.lab.client import moved_clock
from tests.servers._run import require

if TYPE_CHECKING:
    from pathlib import Path

AHEAD, BACK = timedelta(days=5), timedelta(hours=-1)


class Clock:
    """A clock; the file ``path`` contains its difference from the machine's."""

    def __init__(self, path: Path) -> None:
        require("faketime")
        self._path = path
        self.variables = moved_clock(AHEAD) | {
            "FAKETIME_TIMESTAMP_FILE": str(path),
            "FAKETIME_CACHE_DURATION": "1",  # seconds until the file is read again
        }
        del self.variables["FAKETIME"]  # it would come before the file
        self.step(timedelta(0))

    def step(self, by: timedelta) -> None:
        """Set the difference from the machine's clock."""
        part = self._path.with_suffix(".part")
        part.write_text(f"{by.total_seconds():+.0f}\n")
        part.replace(self._path)

    def break_(self) -> None:
        """Go days ahead: the service takes this for a jump of the clock."""
        self.step(AHEAD)

    def restore(self) -> None:
        """Go back to an hour before the machine's time."""
        self.step(BACK)
