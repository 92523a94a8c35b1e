"""Decide which reports are the same, and how much of them is kept: pure, and always bounded.

A hostile sender can make every report differ. Therefore an hour and a day have room for a number of
groups. When one is full, new groups are *folded*: first the network becomes "other", then the app's
version, then the app and its platform, and finally everything but the format and the decision.
Sums of a day and rows of clients are folded in the same way.

A *share* is a host that the monitor probes, or all names below a wildcard of a pin set. Each share
has ``OWN`` groups, new chains and samples in an hour that no other share can take, so that a sender
who floods one host hides nothing about another. All hosts without a policy together have a quarter
of each limit.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from sys import maxsize
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from certpin_watch.store.identities import DAY, HOUR
from certpin_watch.store.reports import OTHER, CheckInGroup, ReportGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from certpin_watch.collector.decode import Failure
    from certpin_watch.snapshot import MonitoredPinSet

OWN = 8  # groups, new chains and samples of an hour that only their share can use

# The fields that each step folds, beside those of the step before it. Step 0 folds nothing.
_FOLDED: tuple[dict[str, Any], ...] = (
    {},
    {"network": OTHER},
    {"app_version": OTHER},
    {"app": OTHER, "platform": OTHER},
    {"host": OTHER, "served": b"", "verified": b"", "pin_set": OTHER, "version": 0}
    | {"reason": OTHER},
)
LAST_STEP = len(_FOLDED) - 1
# Added to `folded` of a group whose chains are not kept.
CHAINS_LEFT_OUT = 8

_NETWORKS = 10  # that can fill the chains of an hour only together

_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True)
class ReportCapacity:
    """How much is kept: groups of an hour and of a day, new chains of an hour, bytes in total.

    ``share`` returns the share of a host, and an empty text for a host without a policy.
    """

    groups: int
    chains: int
    share: Callable[[str], str] = lambda _: "*"
    groups_a_day: int = maxsize
    budget: int = maxsize

    def part_for(self, limit: int, host: str) -> int:
        """Return the part of a limit that reports about this host may fill."""
        return limit if self.share(host) else limit // 4

    def is_own_share(self, host: str) -> bool:
        """Return True if the host is a share by itself, so that no sender can invent its name."""
        return self.share(host) == host


@dataclass
class GroupCounts:
    """How many groups an hour and its day have, and how many of the hour each share has."""

    hour: int = 0
    day: int = 0
    shares: Counter[str] = field(default_factory=Counter)


def key_of(group: ReportGroup) -> bytes:
    """Return the SHA-256 of the fields that the reports of a group have in common."""
    return sha256(_encode(group)).digest()


def trait_key(values: tuple[Any, ...]) -> bytes:
    """Return the SHA-256 of traits, in the order of ``TRAITS``."""
    return sha256(_encode(values)).digest()


def group_of(failure: Failure, at: int, served: bytes, verified: bytes) -> ReportGroup:
    """Return the group of a report while there is room. Its hour is that of the arrival."""
    return ReportGroup(
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


def fold(group: ReportGroup, step: int, capacity: ReportCapacity) -> ReportGroup:
    """Return the group with fewer details. A host that is a share by itself keeps its name."""
    if step == 0:
        return group
    changes: dict[str, Any] = {"folded": group.folded + step}
    for fields in _FOLDED[: step + 1]:
        changes |= fields
    if capacity.is_own_share(group.host):
        changes["host"] = group.host
    return group._replace(**changes)


def every_fold(groups: Iterable[ReportGroup], capacity: ReportCapacity) -> set[bytes]:
    """Return the keys of all groups that these could become."""
    return {
        key_of(fold(group, step, capacity)) for group in groups for step in range(LAST_STEP + 1)
    }


def place(
    groups: Sequence[ReportGroup], known: set[bytes], taken: GroupCounts, capacity: ReportCapacity
) -> dict[ReportGroup, tuple[bytes, ReportGroup]]:
    """Return key and group for each group: unchanged if there is room, otherwise folded.

    Args:
        groups: the groups of new reports.
        known: the keys that are stored, of these groups and of their folds.
        taken: the groups that the hour and its day have.
        capacity: the limits.
    """
    placed: dict[ReportGroup, tuple[bytes, ReportGroup]] = {}
    stored = set(known)
    now = GroupCounts(taken.hour, taken.day, Counter(taken.shares))
    for group in groups:
        if group in placed:
            continue
        key, found = placed[group] = _place(group, stored, now, capacity)
        if key not in stored:
            stored.add(key)
            now.hour += 1
            now.day += 1
            now.shares[capacity.share(found.host)] += 1
    return placed


def _place(
    group: ReportGroup, stored: set[bytes], now: GroupCounts, capacity: ReportCapacity
) -> tuple[bytes, ReportGroup]:
    """A stored group counts all of its reports, even in a full hour."""
    key = key_of(group)
    if key in stored:
        return key, group
    limits = (capacity.groups, capacity.groups_a_day)
    hour, day = (capacity.part_for(limit, group.host) for limit in limits)
    step = max(step_of(now.hour, hour), step_of(now.day, day))
    folded = fold(group, own_step(step, group.host, now.shares, capacity), capacity)
    return key_of(folded), folded


def own_step(step: int, host: str, shares: Counter[str], capacity: ReportCapacity) -> int:
    """Return the step, or a smaller one if the host's share has few groups."""
    if not (share := capacity.share(host)):
        return step
    own = shares[share]
    if own < OWN:
        return 0
    return min(step, LAST_STEP - 1) if own < 2 * OWN else step


def step_of(count: int, limit: int) -> int:
    """Return how far to fold: 0 below the limit, ``LAST_STEP`` at twice the limit."""
    return 0 if count < limit else min(1 + (count - limit) * 4 // limit, LAST_STEP)


@dataclass
class RecentChains:
    """The used budget in bytes, and the new chains of the last hour by share and by network."""

    used: int = 0
    shares: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)

    def add(self, share: str, source: str, number: int = 1) -> None:
        """Count new chains."""
        self.shares[share] += number
        self.sources[source] += number


def chain_fits(
    share: str, source: str, size: int, recent: RecentChains, capacity: ReportCapacity
) -> bool:
    """Return True if a new chain is kept.

    It is kept if one of these holds:

    1. The hour has room for it, its network brought less than a tenth of the hour's chains, and an
       eighth of the budget is still free.
    2. Its share has fewer than ``OWN`` new chains in this hour, and the budget has room for it.

    So a sender can't hide a chain of one host behind chains that he makes up for another, and one
    network can't hide the chains of others. Reports of a chain that is not kept are counted without
    it.

    Args:
        share: the share of the chain's host, or empty.
        source: the network that reported it.
        size: its bytes, certificates included.
        recent: the chains that are kept already.
        capacity: the limits.
    """
    limits = (capacity.chains, capacity.budget)
    chains, budget = (limit if share else limit // 4 for limit in limits)
    used = recent.used + size
    if share and recent.shares[share] < OWN and used <= budget:
        return True
    rare = recent.sources[source] < max(OWN, capacity.chains // _NETWORKS)
    return rare and recent.sources.total() < chains and used <= budget - budget // 8


class CheckInCapacity(NamedTuple):
    """How many rows of clients a day has; ``pin_sets`` are those with a pin file, None for all.

    Clients of the deployed ``versions`` (name of the pin set, version) are counted however full a
    day is. Otherwise a flood could hide the clients of an old version, and the rotation would be
    planned as if no client held it.
    """

    rows: int = 10_000
    pin_sets: frozenset[str] | None = None
    versions: frozenset[tuple[str, int]] = frozenset()

    def rows_for(self, pin_set: str) -> int:
        """Return how many rows of a day this pin set may fill."""
        known = self.pin_sets is None or pin_set in self.pin_sets
        return self.rows if known else self.rows // 4


@dataclass(frozen=True)
class CountingLimits:
    """How much is kept. ``samples`` is for each group, ``max_samples`` for all together."""

    capacity: ReportCapacity
    samples: int = 3
    max_samples: int = 10_000
    check_ins: CheckInCapacity = field(default_factory=CheckInCapacity)


def check_in_capacity(sets: Iterable[MonitoredPinSet], rows: int) -> CheckInCapacity:
    """Return the limits for these pin sets, with ``rows`` rows a day."""
    numbers: dict[str, set[int]] = {}
    for watched in sets:
        own = {watched.pins.version, *(version.number for version in watched.deployed.versions)}
        numbers.setdefault(watched.pins.name, set()).update(own)
    versions = frozenset((name, number) for name, own in numbers.items() for number in own)
    return CheckInCapacity(rows, frozenset(numbers) or None, versions)


def check_in_folds(key: CheckInGroup) -> tuple[CheckInGroup, CheckInGroup, CheckInGroup]:
    """Return the key, the key without the app, and the key of all clients of the day."""
    nameless = key._replace(app=OTHER, app_version=OTHER, platform=OTHER)
    return key, nameless, nameless._replace(pin_set=OTHER, version=0)


def place_check_ins(
    keys: Iterable[CheckInGroup], known: set[CheckInGroup], count: int, capacity: CheckInCapacity
) -> dict[CheckInGroup, CheckInGroup]:
    """Return the row in which each key is counted. A stored row counts all of its clients.

    Args:
        keys: the keys of one day.
        known: the rows that are stored, of these keys and of their folds.
        count: how many rows the day has.
        capacity: the limits.
    """
    stored = set(known)
    placed: dict[CheckInGroup, CheckInGroup] = {}
    for key in keys:
        limit = capacity.rows_for(key.pin_set)
        whole, nameless, last = check_in_folds(key)
        deployed = (key.pin_set, key.version) in capacity.versions
        if whole in stored or count < limit:
            found = whole
        else:
            found = nameless if deployed or nameless in stored or count < 2 * limit else last
        count += found not in stored
        stored.add(found)
        placed[key] = found
    return placed


def day_of(at: int) -> int:
    """Return the first second of the day."""
    return at - at % DAY
