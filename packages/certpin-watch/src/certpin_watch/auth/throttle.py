"""Who is wrong too often has to wait, longer each time. Here for tokens; passwords: ``guesses.py``.

The secret of a token has 256 random bits: this saves the work of computing hashes for nothing, so
that it is in memory, bounded, and per process.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

FREE_PER_SOURCE = 5  # failures before a source has to wait
LONGEST_WAIT = 60.0  # seconds for a source
FORGOTTEN_AFTER = 900.0  # seconds without another failure
MOST = 10_000  # sources that are remembered
RECORDED_PER_MINUTE = 30  # failures that are written down, so that nobody can fill the disk


@dataclass
class Failures:
    """How many, and the moment of the last one in seconds since 1970."""

    count: int
    last: float


def counted(found: Failures | None, at: float) -> int:
    """How many of them still count.

    Those of the future were counted by a clock that ran ahead: nobody waits until then.
    """
    if found is None or abs(at - found.last) >= FORGOTTEN_AFTER:
        return 0
    return found.count


def wait_after(found: Failures | None, at: float) -> float:
    """How many seconds a source still has to wait; 0 or less for none."""
    over = counted(found, at) - FREE_PER_SOURCE
    if found is None or over < 0:
        return 0.0
    wait: float = min(2.0**over, LONGEST_WAIT)
    return wait - max(at - found.last, 0.0)


class Recorded:
    """How many failures of a minute are written down: nobody can fill the disk with them."""

    def __init__(self) -> None:
        self._minute = Failures(0, 0.0)

    def is_recorded(self, now: datetime) -> bool:
        """Whether this one is."""
        at = now.timestamp()
        if not 0 <= at - self._minute.last < 60:
            self._minute = Failures(0, at)
        self._minute.count += 1
        return self._minute.count <= RECORDED_PER_MINUTE


class Throttle:
    """Counts failures by source. Threads may share it."""

    def __init__(self) -> None:
        self._sources: OrderedDict[str, Failures] = OrderedDict()
        self._recorded = Recorded()
        self._lock = threading.Lock()

    def wait(self, source: str, now: datetime) -> float:
        """Before a secret is looked at: how many seconds there are to wait, if any."""
        with self._lock:
            return max(0.0, wait_after(self._sources.get(source), now.timestamp()))

    def failed(self, source: str, now: datetime) -> bool:
        """After a wrong one. Whether it shall be written down."""
        at = now.timestamp()
        with self._lock:
            self._sources[source] = Failures(counted(self._sources.get(source), at) + 1, at)
            self._sources.move_to_end(source)
            while len(self._sources) > MOST:
                self._sources.popitem(last=False)
            return self._recorded.is_recorded(now)

    def succeeded(self, source: str) -> None:
        """After the right one."""
        with self._lock:
            self._sources.pop(source, None)
