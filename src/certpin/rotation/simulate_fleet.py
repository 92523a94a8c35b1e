"""The clients of a simulation."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import timedelta
from fractions import Fraction
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from certpin.errors import InputError
from certpin.rotation.timing import Timing

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Whole = npt.NDArray[np.int64]
    Draws = npt.NDArray[np.uint64]
    Bools = npt.NDArray[np.bool_]


SECOND = timedelta(seconds=1)
MOST_CLIENTS = 1_000_000_000
WHOLE = 2**32  # what a share is counted in, and what a draw is below


@dataclass(frozen=True)
class Fleet:
    """How many clients there are, and how they behave. Raises ``InputError``.

    ``curve`` is the adoption curve: pairs of a share and the longest gap between two openings of
    the app among that share, rising in both, up to 1; empty for the usual one. ``stragglers`` is
    the share whose every wait is whole: the clients that T_adopt is there for. ``binaries`` is the
    share that holds each version in a binary. Shares are exact, from 0 to 1.
    """

    clients: int = 100_000
    timing: Timing = field(default_factory=Timing)
    curve: tuple[tuple[Fraction, timedelta], ...] = ()
    stragglers: Fraction = Fraction(1, 100)
    binaries: tuple[tuple[int, Fraction], ...] = ()
    seed: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.clients <= MOST_CLIENTS:
            raise InputError(f"{self.clients} clients", fix=f"from 1 to {MOST_CLIENTS}")
        if sum(share for _, share in self.binaries) > 1:
            raise InputError("the binaries have more than all clients", fix="100% in all")
        _check_curve(self.curve, self.timing)

    @property
    def delays(self) -> dict[str, int]:
        """Each delay in whole seconds, by its name; parts of a second are dropped."""
        return {
            each.name: getattr(self.timing, each.name) // SECOND for each in fields(self.timing)
        }

    @property
    def binary_ends(self) -> list[int]:
        """The clients by their numbers: where those of each binary end. A share has one at least.

        Counted, not drawn: of forty clients a quarter is ten. What else a client draws does not
        follow from its number.
        """
        counts = (round(share * self.clients) or int(share > 0) for _, share in self.binaries)
        return [min(end, self.clients) for end in accumulate(counts)]

    @property
    def gaps(self) -> tuple[tuple[int, int], ...]:
        """The curve from nobody to all: of ``WHOLE`` draws, and seconds."""
        curve = self.curve or usual_curve(self.timing)
        points = [(int(share * WHOLE), gap // SECOND) for share, gap in curve]
        return ((0, 0), *points)


def usual_curve(timing: Timing) -> tuple[tuple[Fraction, timedelta], ...]:
    """Half open the app within a thirtieth of the longest gap (a day of 30), most in a quarter."""
    longest = timing.opened
    return (
        (Fraction(1, 2), longest / 30),
        (Fraction(9, 10), longest / 4),
        (Fraction(1), longest),
    )


def _check_curve(curve: Sequence[tuple[Fraction, timedelta]], timing: Timing) -> None:
    if not curve:
        return
    shares, gaps = [share for share, _ in curve], [gap for _, gap in curve]
    if shares != sorted(set(shares)) or gaps != sorted(gaps) or shares[0] <= 0:
        raise InputError("the curve does not rise", fix="write it as 50%=1d,90%=7d,100%=30d")
    if shares[-1] != 1:
        raise InputError("the curve has not all clients", fix="end it with 100%")
    if gaps[-1] > timing.opened:
        raise InputError(
            "the curve has clients that are slower than the delays allow",
            fix="give the longest gap with --opened too",
        )


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
