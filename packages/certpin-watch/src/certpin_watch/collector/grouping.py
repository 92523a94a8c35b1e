"""Which reports are the same thing happening: pure, and bounded however much they differ.

A hostile sender can make every report differ. An hour and a day therefore have room for so many
groups; when one is full, new ones say less: first the network is "other", then the app's version,
then the app and its platform, and at last everything but the format and what the client did. Hosts
that nobody watches have a quarter of the room. And each part of what is watched, a host or all
names below a wildcard, has ``OWN`` groups of an hour for itself: who fills an hour with one host
hides nothing of another.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from sys import maxsize
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from certpin_watch.collector.received import Failure

OTHER = "other"
HOUR = 3600
DAY = 86400
OWN = 8  # groups of an hour, and new chains, that no other part of what is watched can take

# What each step folds, beside what the step before it did. Step 0 folds nothing.
_FOLDED: tuple[dict[str, Any], ...] = (
    {},
    {"network": OTHER},
    {"app_version": OTHER},
    {"app": OTHER, "platform": OTHER},
    {"host": OTHER, "served": b"", "verified": b"", "pin_set": OTHER, "version": 0}
    | {"reason": OTHER},
)
LAST = len(_FOLDED) - 1
# `folded` of a group whose chains are not kept: it comes on top of the step.
CHAINS_LEFT_OUT = 8


class Group(NamedTuple):
    """What reports have in common. ``served`` and ``verified`` are digests of chains."""

    hour: int
    host: str
    served: bytes
    verified: bytes
    pin_set: str
    version: int
    app: str
    app_version: str
    platform: str
    network: str
    kind: str
    decision: str
    reason: str
    folded: int = 0


_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True)
class Room:
    """How much there is: groups of an hour and of a day, new chains of an hour, bytes in all.

    ``share`` is the part of what is watched that a host belongs to; empty where nobody watches it.
    """

    groups: int
    chains: int
    share: Callable[[str], str] = lambda _: "*"
    groups_a_day: int = maxsize
    budget: int = maxsize

    def of(self, most: int, host: str) -> int:
        """The part of it that reports about this host may fill."""
        return most if self.share(host) else most // 4

    def is_one(self, host: str) -> bool:
        """Whether the host is a part by itself: no name that somebody invented."""
        return self.share(host) == host


@dataclass
class Taken:
    """How many groups an hour and its day have, and each part of what is watched in that hour."""

    hour: int = 0
    day: int = 0
    shares: Counter[str] = field(default_factory=Counter)


def key_of(group: Group) -> bytes:
    """The SHA-256 of what the reports of a group have in common."""
    return sha256(_encode(group)).digest()


def group_of(failure: Failure, at: int, served: bytes, verified: bytes) -> Group:
    """The group that it belongs to, while there is room. The hour is that in which it came."""
    return Group(
        at - at % HOUR,
        failure.host,
        served,
        verified,
        failure.pin_set,
        failure.version,
        failure.app,
        failure.app_version,
        failure.platform,
        failure.network,
        failure.kind,
        failure.decision,
        failure.reason,
    )


def fold(group: Group, step: int, room: Room) -> Group:
    """The same, saying less. A host that is a part by itself stays: failures there still count."""
    if step == 0:
        return group
    changes: dict[str, Any] = {"folded": group.folded + step}
    for each in _FOLDED[: step + 1]:
        changes |= each
    if room.is_one(group.host):
        changes["host"] = group.host
    return group._replace(**changes)


def every_fold(groups: Iterable[Group], room: Room) -> set[bytes]:
    """The keys of all that these groups could become."""
    return {key_of(fold(group, step, room)) for group in groups for step in range(LAST + 1)}


def place(
    groups: Sequence[Group], known: set[bytes], taken: Taken, room: Room
) -> dict[Group, tuple[bytes, Group]]:
    """Key and group for each: as they are where there is room, and folded where there is none.

    ``known`` are the keys that exist, of these groups and of what they could become.
    """
    placed: dict[Group, tuple[bytes, Group]] = {}
    there = set(known)
    now = Taken(taken.hour, taken.day, Counter(taken.shares))
    for group in groups:
        if group in placed:
            continue
        key, found = placed[group] = _fit(group, there, now, room)
        if key not in there:
            there.add(key)
            now.hour += 1
            now.day += 1
            now.shares[room.share(found.host)] += 1
    return placed


def _fit(group: Group, there: set[bytes], now: Taken, room: Room) -> tuple[bytes, Group]:
    """A group that exists takes all that belongs to it, however full the hour is."""
    key = key_of(group)
    if key in there:
        return key, group
    hour, day = (room.of(most, group.host) for most in (room.groups, room.groups_a_day))
    step = max(step_of(now.hour, hour), step_of(now.day, day))
    folded = fold(group, own_step(step, group.host, now.shares, room), room)
    return key_of(folded), folded


def own_step(step: int, host: str, shares: Counter[str], room: Room) -> int:
    """The same, or less where the part that the host belongs to has few so far."""
    if not (share := room.share(host)):
        return step
    own = shares[share]
    if own < OWN:
        return 0
    return min(step, LAST - 1) if own < 2 * OWN else step


def step_of(count: int, most: int) -> int:
    """How much less is to be said: nothing less while there is room, all where it is twice full."""
    return 0 if count < most else min(1 + (count - most) * 4 // most, LAST)
