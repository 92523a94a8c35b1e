"""The clients of a fleet, many at once: who they are, and from when on each holds a version.

Every draw is a function of the seed and the client's number (SplitMix64: Steele, Lea and Flood,
"Fast splittable pseudorandom number generators", 2014), so that a client is the same whoever else
is looked at with it. All numbers are whole: moments are seconds, and exact.

Importing this loads numpy, which the extra ``simulate`` brings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from certpin.rotation.simulate_fleet import WHOLE

if TYPE_CHECKING:
    import numpy.typing as npt

    from certpin.rotation.simulate_fleet import Fleet

    Whole = npt.NDArray[np.int64]
    Draws = npt.NDArray[np.uint64]
    Bools = npt.NDArray[np.bool_]

_STEP = 0x9E3779B97F4A7C15
_STREAMS = 4  # of 64 bits a client: two draws each
_MASK = 2**64 - 1


@dataclass(frozen=True)
class Clients:
    """Some clients.

    ``binary`` is the place of theirs in the fleet's ``binaries``; the number of these for who has
    none. The phases and the skew are seconds below, or up to, the period that they belong to.
    """

    fleet: Fleet
    binary: Whole
    straggler: Bools
    phases: dict[str, Whole]
    gap: Whole
    skew: Whole

    def hold_from(self, published: int) -> Whole:
        """From which second on each fetching client holds what was published in that second.

        Never later than T_adopt after it; a straggler exactly then.
        """
        delays = self.fleet.delays
        at = np.full(self.gap.shape, published, np.int64)
        for name in ("cdn", "cache", "poll"):
            _wait(at, self.phases[name], delays[name])
        _wait(at, self.phases["opened"], self.gap)
        at += self.skew
        at[self.straggler] = published + sum(delays.values())
        return at


def clients(fleet: Fleet, first: int, count: int) -> Clients:
    """The clients from one number on."""
    draws = _draws(fleet.seed, first, count)
    delays = fleet.delays
    gap = _gaps(fleet, draws[3])
    phases = {name: _below(draws[at], delays[name]) for at, name in enumerate(("cdn", "cache"))}
    phases |= {"poll": _below(draws[2], delays["poll"]), "opened": _below(draws[4], gap)}
    numbers = np.arange(first, first + count, dtype=np.int64)
    return Clients(
        fleet,
        np.searchsorted(np.array(fleet.binary_ends, np.int64), numbers, side="right"),
        draws[6] < np.uint64(int(fleet.stragglers * WHOLE)),
        phases,
        gap,
        _below(draws[5], delays["skew"] + 1),
    )


def _draws(seed: int, first: int, count: int) -> list[Draws]:
    """Eight numbers below ``WHOLE`` a client."""
    numbers = np.arange(first, first + count, dtype=np.uint64) * np.uint64(_STREAMS)
    found = []
    for stream in range(_STREAMS):
        mixed = _mixed(numbers, (_mixed_one(seed) + stream * _STEP) & _MASK)
        found += [mixed >> np.uint64(32), mixed & np.uint64(WHOLE - 1)]
    return found


def _mixed(numbers: Draws, start: int) -> Draws:
    """SplitMix64's output for each place in its sequence."""
    z = numbers * np.uint64(_STEP)
    z += np.uint64(start)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z ^= z >> np.uint64(shift)
        z *= np.uint64(factor)
    z ^= z >> np.uint64(31)
    return z


def _mixed_one(seed: int) -> int:
    """A start for a seed: those of neighbouring seeds are far apart."""
    return int(_mixed(np.array([seed & _MASK], np.uint64), _STEP)[0])


def _below(draws: Draws, limit: int | Whole) -> Whole:
    """A draw as a whole number from 0 to below a limit; 0 where that is 0."""
    wide = limit.astype(np.uint64) if isinstance(limit, np.ndarray) else np.uint64(limit)
    return ((draws * wide) >> np.uint64(32)).astype(np.int64)


def _gaps(fleet: Fleet, draws: Draws) -> Whole:
    """How often the user of each client opens the app: the curve, straight between its points."""
    shares, gaps = (np.array(each, np.int64) for each in zip(*fleet.gaps, strict=True))
    above = np.searchsorted(shares[1:-1], draws.astype(np.int64), side="right") + 1
    into = draws.astype(np.int64) - shares[above - 1]
    rise = gaps[above] - gaps[above - 1]
    found: Whole = gaps[above - 1] + into * rise // (shares[above] - shares[above - 1])
    return found


def _wait(at: Whole, phase: Whole, period: int | Whole) -> None:
    """Move each moment to the next one that a period comes round, in place."""
    safe = np.maximum(period, 1)
    at += (phase - at) % safe
