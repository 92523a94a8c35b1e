"""Clients drawn at random, one by one: a reference for the expected figures.

It knows nothing of the gate and of ``certpin.rotation.fleet``. A client that fetches waits for its
CDN, its cache, its next poll and its user, each of which acts at its own times, and its clock is
wrong. A user of an app installs a release when the curve of the release says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

DAY = 86400


class Delays(NamedTuple):
    """In seconds. ``opened`` has pairs of a share of users, and their longest gap."""

    cdn: float
    cache: float
    poll: float
    opened: tuple[tuple[float, float], ...]
    skew: float

    @property
    def longest(self) -> float:
        return self.cdn + self.cache + self.poll + self.opened[-1][1] + self.skew


def arrival(published: float, delays: Delays, stragglers: float, luck: Random) -> float:
    """When one client has a version that was published at a time."""
    if luck.random() < stragglers:
        return published + delays.longest
    at = published
    for period in (delays.cdn, delays.cache, delays.poll, _gap(delays, luck)):
        if period:
            at += (luck.uniform(0, period) - at) % period
    return at + luck.uniform(0, delays.skew)


def installs(shipped: float, curve: Sequence[tuple[int, float]], rank: float) -> float:
    """When a user installs a release: the share of faster users is ``rank``."""
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
