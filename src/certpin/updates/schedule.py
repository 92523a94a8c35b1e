"""When to ask again: pure, with luck passed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from certpin.updates.settings import Timing

_PARTS = 4  # what is left until an end is enough for so many checks, the last ones closer together
_DOUBLINGS = 20  # of a minute are two years: longer than any interval


def wait(
    timing: Timing, *, failures: int, end: datetime | None, now: datetime, luck: float
) -> timedelta:
    """How long to wait before the next check.

    ``failures`` counts those since the last success, ``end`` is the moment before which something
    newer is wanted (``states.next_end``), and ``luck`` is from 0 to 1. The result is never longer
    than the interval, and shorter by up to ``timing.jitter`` of itself: whole fleets start at once,
    and fail at once.
    """
    ceiling = _near(timing, end, now)
    steady = min(ceiling, _backed_off(timing, failures)) if failures else ceiling
    return steady * (1 - timing.jitter * luck)


def _backed_off(timing: Timing, failures: int) -> timedelta:
    doublings: int = 2 ** min(failures - 1, _DOUBLINGS)
    return timing.retry * doublings


def _near(timing: Timing, end: datetime | None, now: datetime) -> timedelta:
    """The interval, or less where something ends soon; not less than the urgent one."""
    if end is None:
        return timing.interval
    return min(timing.interval, max((end - now) / _PARTS, timing.urgent))
