"""The clients of a simulation: how they behave, and when each gets a published version.

A client waits five times until it holds a published version, each wait after the previous one, as
T_adopt adds them up: for its CDN, its cache, its next poll, its user, and its clock.

Not modelled: clients that never come back; apps that are updated (a binary stays until it has
ended); CDNs that serve a part of the world; and clients that are locked out of the address that
serves the pins (they can still fetch, as if that address were not pinned).

Every random number is a function of the seed and the client's number (SplitMix64: Steele, Lea and
Flood, "Fast splittable pseudorandom number generators", 2014), so a client doesn't depend on which
others are simulated with it. All numbers are integers: times are exact seconds.

Importing this module loads numpy, which the extra ``simulate`` installs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import timedelta
from fractions import Fraction
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from certpin.errors import InputError
from certpin.rotation.adoption import Timing

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Randoms = npt.NDArray[np.uint64]
    Booleans = npt.NDArray[np.bool_]

SECOND = timedelta(seconds=1)
MAX_CLIENTS = 1_000_000_000
WHOLE = 2**32  # a share of 100 %; random numbers are below it

_STEP = 0x9E3779B97F4A7C15
_STREAMS = 4  # of 64 bits for each client: two random numbers each
_MASK = 2**64 - 1


@dataclass(frozen=True)
class Fleet:
    """How many clients a simulation has, and how they behave. Shares are exact, from 0 to 1.

    Attributes:
        curve: the adoption curve: pairs of a share, and the longest time between two openings of
            the app among that share. Both rise, and the last share is 1. Empty for
            ``usual_curve``.
        stragglers: the share of clients with waits as long as the delays allow.
        binaries: the share of clients that holds each version in a binary.

    Raises:
        InputError: a value is out of range.
    """

    clients: int = 100_000
    timing: Timing = field(default_factory=Timing)
    curve: tuple[tuple[Fraction, timedelta], ...] = ()
    stragglers: Fraction = Fraction(1, 100)
    binaries: tuple[tuple[int, Fraction], ...] = ()
    seed: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.clients <= MAX_CLIENTS:
            raise InputError(f"{self.clients} clients", fix=f"from 1 to {MAX_CLIENTS}")
        if sum(share for _, share in self.binaries) > 1:
            raise InputError(
                "the shares of the binaries add up to more than 100%", fix="give at most 100%"
            )
        _check_curve(self.curve, self.timing)

    @property
    def delays(self) -> dict[str, int]:
        """Each delay in seconds, by its name. Fractions of a second are dropped."""
        return {
            delay.name: getattr(self.timing, delay.name) // SECOND for delay in fields(self.timing)
        }

    @property
    def binary_ends(self) -> list[int]:
        """For each binary, the number of the first client after those that have it.

        Clients are assigned by counting, so that a quarter of forty clients is ten. A share above
        0 has at least one client. A client's random numbers don't depend on its binary.
        """
        counts = (round(share * self.clients) or int(share > 0) for _, share in self.binaries)
        return [min(end, self.clients) for end in accumulate(counts)]

    @property
    def gaps(self) -> tuple[tuple[int, int], ...]:
        """The adoption curve from 0 on, as integers: pairs of a share and seconds between uses.

        A share of ``WHOLE`` is all clients.
        """
        curve = self.curve or usual_curve(self.timing)
        points = [(int(share * WHOLE), gap // SECOND) for share, gap in curve]
        return ((0, 0), *points)


@dataclass(frozen=True)
class Clients:
    """The random properties of a chunk of clients, as arrays.

    Attributes:
        binary: the index of each client's binary in ``fleet.binaries``; the number of binaries for
            a client without one.
        phases: for each delay, the second in its period at which the client acts, such as polling.
        gap: how often the user opens the app, in seconds.
        skew: the error of the clock, in seconds.
    """

    fleet: Fleet
    binary: Integers
    straggler: Booleans
    phases: dict[str, Integers]
    gap: Integers
    skew: Integers

    def hold_from(self, published: int) -> Integers:
        """Return the second from which each client holds a version that it fetches.

        Args:
            published: the second in which the version was published.

        Returns:
            Times of at most T_adopt after ``published``; for a straggler exactly that.
        """
        delays = self.fleet.delays
        at = np.full(self.gap.shape, published, np.int64)
        for name in ("cdn", "cache", "poll"):
            _wait(at, self.phases[name], delays[name])
        _wait(at, self.phases["opened"], self.gap)
        at += self.skew
        at[self.straggler] = published + sum(delays.values())
        return at


def draw_clients(fleet: Fleet, first: int, count: int) -> Clients:
    """Return ``count`` clients of a fleet, with random properties, from number ``first`` on."""
    randoms = _randoms(fleet.seed, first, count)
    delays = fleet.delays
    gap = _gaps(fleet, randoms[3])
    phases = {name: _below(randoms[at], delays[name]) for at, name in enumerate(("cdn", "cache"))}
    phases |= {"poll": _below(randoms[2], delays["poll"]), "opened": _below(randoms[4], gap)}
    numbers = np.arange(first, first + count, dtype=np.int64)
    return Clients(
        fleet,
        np.searchsorted(np.array(fleet.binary_ends, np.int64), numbers, side="right"),
        randoms[6] < np.uint64(int(fleet.stragglers * WHOLE)),
        phases,
        gap,
        _below(randoms[5], delays["skew"] + 1),
    )


def usual_curve(timing: Timing) -> tuple[tuple[Fraction, timedelta], ...]:
    """Return the default adoption curve: which share of users opens the app how often.

    50 % of the users open the app within a thirtieth of the longest gap (a day of 30), and 90 %
    within a quarter.
    """
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
        raise InputError("the curve does not end with all clients", fix="end it with 100%")
    if gaps[-1] > timing.opened:
        raise InputError(
            "the curve has clients that are slower than the delays allow",
            fix="give the longest gap with --opened too",
        )


def _randoms(seed: int, first: int, count: int) -> list[Randoms]:
    """Return eight random numbers below ``WHOLE`` for each of ``count`` clients."""
    numbers = np.arange(first, first + count, dtype=np.uint64) * np.uint64(_STREAMS)
    found = []
    for stream in range(_STREAMS):
        mixed = _mixed(numbers, (_mixed_seed(seed) + stream * _STEP) & _MASK)
        found += [mixed >> np.uint64(32), mixed & np.uint64(WHOLE - 1)]
    return found


def _mixed(numbers: Randoms, start: int) -> Randoms:
    """Return the output of the random generator SplitMix64 for each index in ``numbers``."""
    z = numbers * np.uint64(_STEP)
    z += np.uint64(start)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z ^= z >> np.uint64(shift)
        z *= np.uint64(factor)
    z ^= z >> np.uint64(31)
    return z


def _mixed_seed(seed: int) -> int:
    """Return the start of the sequence for a seed. Neighbouring seeds have distant starts."""
    return int(_mixed(np.array([seed & _MASK], np.uint64), _STEP)[0])


def _below(randoms: Randoms, limit: int | Integers) -> Integers:
    """Scale random numbers to integers from 0 to below a limit; 0 if the limit is 0."""
    wide = limit.astype(np.uint64) if isinstance(limit, np.ndarray) else np.uint64(limit)
    return ((randoms * wide) >> np.uint64(32)).astype(np.int64)


def _gaps(fleet: Fleet, randoms: Randoms) -> Integers:
    """Return how often each user opens the app, in seconds: linear between the curve's points."""
    shares, gaps = (np.array(column, np.int64) for column in zip(*fleet.gaps, strict=True))
    above = np.searchsorted(shares[1:-1], randoms.astype(np.int64), side="right") + 1
    into = randoms.astype(np.int64) - shares[above - 1]
    rise = gaps[above] - gaps[above - 1]
    found: Integers = gaps[above - 1] + into * rise // (shares[above] - shares[above - 1])
    return found


def _wait(at: Integers, phase: Integers, period: int | Integers) -> None:
    """Move each time in ``at`` forward to the next second at which the client acts, in place.

    A client acts at ``phase`` plus each multiple of ``period``, in seconds.
    """
    safe = np.maximum(period, 1)
    at += (phase - at) % safe
