"""The time until the next check. A pure function; the random number is passed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from certpin.updates.settings import Timing

_PARTS = 4  # what is left until an end is enough for so many checks, the last ones closer together
_DOUBLINGS = 20  # of a minute are two years: longer than any interval


def next_wait(
    timing: Timing, *, failures: int, end: datetime | None, now: datetime, random_share: float
) -> timedelta:
    """Return the time to wait before the next check, which is never longer than the interval.

    Args:
        timing: the intervals.
        failures: the number of failed checks since the last success.
        end: the time before which a newer set is needed (``next_end``).
        now: the current time.
        random_share: a random number from 0 to 1, which shortens the wait by up to
            ``timing.jitter``. Clients that start or fail together then don't ask together.
    """
    ceiling = _near(timing, end, now)
    steady = min(ceiling, _backed_off(timing, failures)) if failures else ceiling
    return steady * (1 - timing.jitter * random_share)


def _backed_off(timing: Timing, failures: int) -> timedelta:
    doublings: int = 2 ** min(failures - 1, _DOUBLINGS)
    return timing.retry * doublings


def _near(timing: Timing, end: datetime | None, now: datetime) -> timedelta:
    """The interval, or less where something ends soon; not less than the urgent one."""
    if end is None:
        return timing.interval
    return min(timing.interval, max((end - now) / _PARTS, timing.urgent))
