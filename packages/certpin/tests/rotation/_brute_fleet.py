"""Draw the update times of single clients at random: a reference for expected client numbers.

The code shares nothing with ``certpin.rotation.fleet``. A client that fetches pin sets gets a new
one after delays of its CDN, its cache, its next poll and its user, each at a random phase, and
its clock may be wrong. A user of an app installs a release as the release's adoption curve says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

DAY = 86400


class Delays(NamedTuple):
    """The longest delays, in seconds, until a client that fetches pin sets has a new one.

    ``opened`` lists how long users leave the app closed: pairs of a cumulative share of users and
    their longest gap between two starts of the app. ``skew`` is the error of a client's clock.
    """

    cdn: float
    cache: float
    poll: float
    opened: tuple[tuple[float, float], ...]
    skew: float

    @property
    def longest(self) -> float:
        return self.cdn + self.cache + self.poll + self.opened[-1][1] + self.skew


def arrival(published: float, delays: Delays, stragglers: float, luck: Random) -> float:
    """Draw the time at which one client has a version of the pin set that is published at a time.

    Args:
        published: the time of publication, in seconds.
        delays: the longest delays of the client.
        stragglers: the share of clients that take the longest possible time.
        luck: the source of random numbers.
    """
    if luck.random() < stragglers:
        return published + delays.longest
    at = published
    for period in (delays.cdn, delays.cache, delays.poll, _gap(delays, luck)):
        if period:
            at += (luck.uniform(0, period) - at) % period
    return at + luck.uniform(0, delays.skew)


def installs(shipped: float, curve: Sequence[tuple[int, float]], rank: float) -> float:
    """Return the time, in seconds, at which a user installs a release; infinity for never.

    Args:
        shipped: the time at which the release appears, in seconds.
        curve: pairs of days after that time and the share of users who have the release by then.
        rank: the share of users who are faster than this one.
    """
    before_day, before = 0.0, 0.0
    for day, share in curve:
        if rank < share:
            into = (rank - before) / (share - before)
            return shipped + (before_day + into * (day - before_day)) * DAY
        before_day, before = day, share
    return float("inf")


def _gap(delays: Delays, luck: Random) -> float:
    rank, before, shorter = luck.random(), 0.0, 0.0
    for share, gap in delays.opened:
        if rank < share:
            return shorter + (rank - before) / (share - before) * (gap - shorter)
        before, shorter = share, gap
    return shorter
