"""The clients of a simulation, as shares and delays: what they do, not yet who does it.

A client waits five times until it holds what was published, each wait after the one before, as
T_adopt adds them up: for its CDN, its cache, its next poll, its user, and its clock.

Not modelled: clients that never come back, apps that are updated (a binary is there until it has
ended), CDNs that serve a part of the world, and whether a client that is locked out can still
fetch: it can, as if the address of the pins were not pinned itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import timedelta
from fractions import Fraction
from itertools import accumulate
from typing import TYPE_CHECKING

from certpin.errors import InputError
from certpin.rotation.timing import Timing

if TYPE_CHECKING:
    from collections.abc import Sequence

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
