"""The share of clients that has a version of a pin set, by the time since it was published.

Clients fetch a version, or get it in the binary of an app's release. For fetched versions, the
curve is computed: it adds up four waits with a uniform distribution (for the CDN, the cache, the
next poll, and the next time that the user opens the app) and the difference of the clocks. The
slowest clients (stragglers) take T_adopt, the sum of the longest possible delays. For a release,
the curve is the recorded or measured one; if there is none, it is a guess.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from math import ceil, log
from operator import itemgetter
from typing import TYPE_CHECKING

from certpin.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.rotation.releases import AppRelease
    from certpin.rotation.situation import AdoptionDelays

SECOND = timedelta(seconds=1)
WHOLE = 2**32  # a share of 100 %

# Guesses, for as long as nothing is measured: the curve of a release without a recorded one. The
# rest of the users never updates.
USUAL_APP_CURVE = tuple(
    (days, Fraction(percent, 100)) for days, percent in ((1, 10), (7, 50), (30, 80), (90, 95))
)
USUAL_STRAGGLERS = Fraction(1, 100)

_DAY_SECONDS = 86400
_CELLS = 1024  # of the curve of fetched versions

OpeningCurve = tuple[tuple[Fraction, timedelta], ...]


@dataclass(frozen=True)
class Arrivals:
    """A curve: the share of a group of clients that has a version, by the time since it came out.

    Attributes:
        points: pairs of a time in seconds and a share in units of 1/``WHOLE``, both ascending.
            Between two points, the share rises linearly. Before the first point, the share is 0;
            after the last one, it keeps its last value.
    """

    points: tuple[tuple[int, int], ...]

    def counts(self, clients: int) -> list[tuple[int, int]]:
        """Return the curve with numbers of clients instead of shares.

        ``clients`` is the number of all clients in the group.

        Returns:
            Pairs of a time in seconds, and the number of clients that have the version at that
            time.
        """
        return [(at, clients * share // WHOLE) for at, share in self.points]

    def reached(self, clients: int, seconds: int) -> int:
        """Return the number of clients that have the version ``seconds`` after it came out.

        ``clients`` is the number of all clients in the group.
        """
        after = bisect_right(self.points, seconds, key=itemgetter(0))
        if after == 0:
            return 0
        begin, share = self.points[after - 1]
        low = clients * share // WHOLE
        if after == len(self.points):
            return low
        end, share = self.points[after]
        high = clients * share // WHOLE
        return low + (high - low) * (seconds - begin) // (end - begin)


def app_arrivals(release: AppRelease) -> Arrivals:
    """Return the share of an app's users that have a release, by the time since it was shipped."""
    curve = release.curve or USUAL_APP_CURVE
    # Rounded up, so that four fifths of 1,000 clients are 800.
    points = [(days * _DAY_SECONDS, ceil(share * WHOLE)) for days, share in curve]
    return Arrivals(tuple(points if points[0][0] == 0 else [(0, 0), *points]))


def usual_curve(timing: AdoptionDelays) -> OpeningCurve:
    """Return an assumed curve of how often users open the app, if the user gives no curve.

    ``timing.opened`` is the longest time between two openings. Half of the users open the app at
    least once in a thirtieth of that time (each day, if it is 30 days), and 90 % at least once in a
    quarter of that time.

    Returns:
        Pairs of a share of users, and the longest time between two openings for this share.
    """
    longest = timing.opened
    return (
        (Fraction(1, 2), longest / 30),
        (Fraction(9, 10), longest / 4),
        (Fraction(1), longest),
    )


@lru_cache(maxsize=64)
def fetch_arrivals(
    timing: AdoptionDelays, curve: OpeningCurve = (), stragglers: Fraction = USUAL_STRAGGLERS
) -> Arrivals:
    """Return the share of clients that have fetched a version, by the time since it came out.

    Stragglers are the slowest clients: they get the version only after T_adopt (the sum of the
    delays). All other clients have the version by then. The curve is computed at ``_CELLS`` points,
    with an error of less than 0.1 % of the clients.

    Args:
        timing: the delays of the clients.
        curve: how often users open the app; empty for ``usual_curve``.
        stragglers: the share of stragglers among the clients, from 0 to 1.
    """
    adopt = timing.adopt // SECOND
    if adopt < 1:
        return Arrivals(((0, WHOLE),))
    step = adopt / _CELLS
    values = [_opened_by(curve or usual_curve(timing), cell * step) for cell in range(_CELLS + 1)]
    for delay in (timing.cdn, timing.cache, timing.poll, timing.skew):
        if delay:
            values = _with_wait(values, delay / SECOND / step)
    points: dict[int, int] = {}
    most = WHOLE - int(stragglers * WHOLE)
    highest = 0
    for cell, value in enumerate(values):
        highest = max(highest, min(most, int(value * most)))
        points[min(round(cell * step), adopt - 1)] = highest
    points[adopt] = WHOLE
    return Arrivals(tuple(sorted(points.items())))


def _opened_by(curve: OpeningCurve, seconds: float) -> float:
    """Return the share of users who have opened the app within ``seconds``.

    It is assumed that each user opens the app at a fixed interval. The time until the first opening
    is then a random part of this interval. ``curve`` has the longest interval for some shares of
    users; between these shares, the interval rises linearly.
    """
    total, low_share, low = 0.0, 0.0, 0.0
    for share, gap in curve:
        high = gap / SECOND
        if seconds >= high:
            part = 1.0
        elif high - low < 1e-9:
            part = seconds / high
        elif seconds <= low:
            part = seconds * log(high / low) / (high - low) if low else 0.0
        else:
            part = (seconds - low + seconds * log(high / seconds)) / (high - low)
        total += (float(share) - low_share) * part
        low_share, low = float(share), high
    return total


def _with_wait(values: Sequence[float], cells: float) -> list[float]:
    """Return the curve that results if a random wait is added to an adoption curve.

    Time is divided into cells, which are periods of equal length.

    Args:
        values: the share of clients for which an event has happened by the end of each cell.
        cells: the longest wait, in cells. The wait is uniformly distributed from 0 to this length.

    Returns:
        The share of clients for which the event has happened and the wait is over, by the end of
        each cell.
    """
    sums = [0.0]
    for low, high in pairwise(values):
        sums.append(sums[-1] + (low + high) / 2)

    def area(at: float) -> float:
        if at <= 0:
            return 0.0
        cell = min(int(at), len(values) - 2)
        part = at - cell
        slope = values[cell + 1] - values[cell]
        return sums[cell] + part * values[cell] + slope * part * part / 2

    return [(area(cell) - area(cell - cells)) / cells for cell in range(len(values))]


def check_openings(curve: OpeningCurve, timing: AdoptionDelays) -> None:
    """Raise an error if the curve of how often users open the app is invalid.

    ``curve`` has pairs of a share of users, and the longest time between two openings.

    Raises:
        InputError: the shares or the intervals between openings don't rise, the last share is not
            100 %, or an interval is longer than ``timing.opened``.
    """
    if not curve:
        return
    shares, gaps = [share for share, _ in curve], [gap for _, gap in curve]
    if shares != sorted(set(shares)) or gaps != sorted(gaps) or shares[0] <= 0:
        raise InputError("the curve does not rise", fix="write it as 50%=1d,90%=7d,100%=30d")
    if shares[-1] != 1:
        raise InputError("the curve does not end with all clients", fix="end it with 100%")
    if gaps[-1] > timing.opened:
        raise InputError(
            "the curve has clients that are slower than the delays allow",
            fix="give the longest gap with --opened too",
        )
