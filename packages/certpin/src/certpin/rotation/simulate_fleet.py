"""The clients of a simulation as arrays: the second from which each client holds each version.

The times are computed from the same curves as the number of clients at risk in the safety rules
(``certpin.rotation.fleet``). So at each time, the number of clients that hold a version equals the
result of ``Cohort.held``.

Not modelled: clients that never come back; CDNs that serve a part of the world; and clients that
are locked out of the address that serves the pins (they can still fetch, as if that address were
not pinned).

Importing this module loads numpy, which the extra ``simulate`` installs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from certpin.rotation.fleet import ALWAYS

if TYPE_CHECKING:
    import numpy.typing as npt

    from certpin.rotation.arrivals import Arrivals
    from certpin.rotation.fleet import Arrival, Cohort

    Integers = npt.NDArray[np.int64]

NEVER = 2**62


def held_since(cohort: Cohort, first: int, count: int) -> list[Integers]:
    """Return for each version the second from which each client holds it or a later version.

    A cohort is a group of clients that get the same versions. Its clients are numbered from the
    fastest (0) to the slowest.

    Args:
        cohort: the clients. Their number has to be known.
        first: the number of the first client of the result.
        count: how many clients the result has.

    Returns:
        For each version, an array with the second for each client; ``NEVER`` for clients that never
        have the version. A client's seconds never fall from one version to the next.
    """
    numbers = np.arange(first, first + count, dtype=np.int64)
    curves = _Counts(cohort.clients or 0)
    found = [_since(each, curves, numbers) for each in cohort.arrivals]
    found[0][:] = ALWAYS
    for earlier, later in zip(reversed(found[:-1]), reversed(found[1:]), strict=True):
        np.minimum(earlier, later, out=earlier)
    return found


class _Counts:
    """Converts adoption curves to arrays for a number of clients. Each curve is converted once."""

    def __init__(self, clients: int) -> None:
        self._clients = clients
        self._known: dict[int, tuple[Integers, Integers]] = {}

    def of(self, curve: Arrivals) -> tuple[Integers, Integers]:
        """Return an adoption curve as two arrays: times in seconds, and the numbers of clients.

        The n-th number is that of the clients that have the version at the n-th time.
        """
        if id(curve) not in self._known:
            points = np.array(curve.counts(self._clients), np.int64)
            self._known[id(curve)] = points[:, 0], points[:, 1]
        return self._known[id(curve)]


def _since(arrival: Arrival, curves: _Counts, numbers: Integers) -> Integers:
    """Return an array with the second from which each client has one version.

    ``arrival`` is the arrival of the version at the clients. ``curves`` converts adoption curves to
    arrays. ``numbers`` are the numbers of the clients; the fastest is number 0. This is the inverse
    of ``Arrival.reached``, which counts the clients that have the version at a time.
    """
    seconds, counts = curves.of(arrival.curve)
    above = np.searchsorted(counts, numbers, side="right")
    found = np.full(numbers.shape, NEVER, np.int64)
    at_once = above == 0
    found[at_once] = arrival.at + seconds[0]
    between = (above > 0) & (above < counts.size)
    high = above[between]
    low = high - 1
    rise, wait = counts[high] - counts[low], seconds[high] - seconds[low]
    into = numbers[between] + 1 - counts[low]
    found[between] = arrival.at + seconds[low] - (-into * wait // rise)
    if arrival.after is not None:
        np.maximum(found, _since(arrival.after, curves, numbers), out=found)
    if arrival.by is not None:
        np.minimum(found, max(arrival.by, arrival.at), out=found)
    return found
