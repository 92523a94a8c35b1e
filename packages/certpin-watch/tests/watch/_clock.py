"""Change the time of day of running programs with libfaketime, for the tests.

The programs' monotonic clock is not affected, as when an administrator sets the time. The NATS
server is linked statically, so libfaketime has no effect on it.
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
    """A clock for programs that run under libfaketime.

    The file ``path`` contains the difference between this clock and the machine's clock, in
    seconds. A program uses this clock if it starts with the environment variables in ``variables``.
    """

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
        """Set the clock to the machine's time plus ``by``."""
        part = self._path.with_suffix(".part")
        part.write_text(f"{by.total_seconds():+.0f}\n")
        part.replace(self._path)

    def break_(self) -> None:
        """Set the clock five days ahead, which the monitoring service treats as a jump of the
        clock.
        """
        self.step(AHEAD)

    def restore(self) -> None:
        """Set the clock to one hour before the machine's time."""
        self.step(BACK)
