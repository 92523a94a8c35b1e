"""Which reports are the same thing happening: pure, and bounded however much they differ.

A hostile sender can make every report differ. An hour therefore has room for so many groups; when
it is full, new ones say less: first the network is "other", then the app's version, then the app
and its platform, and at last everything but the format and what the client did. Reports about
hosts that nobody watches have a quarter of the room, so that they cannot fill it for the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from certpin.watch.collector.received import Failure

OTHER = "other"
HOUR = 3600
DAY = 86400

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


class Chain(NamedTuple):
    """A chain as it is stored: the digests of its certificates, and their digest."""

    digest: bytes
    members: bytes
    certificates: tuple[bytes, ...]


NO_CHAIN = Chain(b"", b"", ())
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True)
class Room:
    """How many groups and new chains an hour has, and which hosts are watched."""

    groups: int
    chains: int
    watched: Callable[[str], bool] = lambda _: True

    def of(self, most: int, host: str) -> int:
        """The part of it that reports about this host may fill."""
        return most if self.watched(host) else most // 4


def chain_of(certificates: tuple[bytes, ...]) -> Chain:
    """As ``chains`` and ``certificates`` hold it."""
    if not certificates:
        return NO_CHAIN
    members = b"".join([sha256(each).digest() for each in certificates])
    return Chain(sha256(members).digest(), members, certificates)


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


def fold(group: Group, step: int) -> Group:
    """The same, saying less."""
    if step == 0:
        return group
    changes: dict[str, Any] = {"folded": group.folded + step}
    for each in _FOLDED[: step + 1]:
        changes |= each
    return group._replace(**changes)


def every_fold(groups: Iterable[Group]) -> set[bytes]:
    """The keys of all that these groups could become."""
    return {key_of(fold(group, step)) for group in groups for step in range(LAST + 1)}


def place(
    groups: Sequence[Group], known: set[bytes], count: int, room: Room
) -> dict[Group, tuple[bytes, Group]]:
    """Key and group for each: as they are where there is room, and folded where there is none.

    ``known`` are the keys that exist, of these groups and of what they could become; ``count`` is
    how many groups their hour has.
    """
    placed: dict[Group, tuple[bytes, Group]] = {}
    there = set(known)
    for group in groups:
        if group in placed:
            continue
        most = room.of(room.groups, group.host)
        key, found = _fit(group, there, count, most)
        count += key not in there
        there.add(key)
        placed[group] = key, found
    return placed


def _fit(group: Group, there: set[bytes], count: int, most: int) -> tuple[bytes, Group]:
    """A group that exists takes all that belongs to it, however full the hour is."""
    key = key_of(group)
    if key in there or count < most:
        return key, group
    step = min(1 + (count - most) * 4 // most, LAST)
    folded = fold(group, step)
    return key_of(folded), folded
