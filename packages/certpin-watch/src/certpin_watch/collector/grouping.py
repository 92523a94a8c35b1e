"""Decide which reports are counted in one report group, and limit what is stored. No I/O.

A *report group* counts the reports of one hour with equal fields. A hostile sender can make every
report differ, so the number of groups in an hour and in a day is limited. Near a limit, new groups
are *folded*, which means stored with less detail. First the network becomes "other", then the app's
version, then the app and its platform. Finally only two fields remain: the format of the report,
and the decision (whether the client refused the connection). Daily sums and counts of clients are
folded in the same way.

In each hour, ``RESERVED`` groups, new chains and samples are reserved for each *share*: a monitored
host, or all names that one pattern of a pin set covers (see ``snapshot.Patterns``). So a sender who
floods one host can't hide reports about another host. All hosts without a policy together have a
quarter of each limit.

With a *presence*, a client reports the version of the pin set that it holds.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from hashlib import sha256
from sys import maxsize
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from certpin_watch.store.identities import DAY, HOUR
from certpin_watch.store.reports import OTHER, PresenceGroup, ReportGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from certpin_watch.collector.decode import CountedFailure
    from certpin_watch.snapshot import MonitoredPinSet

    SumKey = tuple[int, int]  # the row numbers of place and traits

RESERVED = 8  # groups, new chains and samples of an hour that only their share can use

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
_CACHED_HOURS = 3  # the current hour, and those of reports that waited in a stream
_MAX_MARKS = 50_000

_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True)
class ReportLimits:
    """Limits on stored reports.

    A *report group* counts the reports of one hour with equal fields. A *share* is a monitored
    host, or all names that one pattern of a pin set covers.

    Attributes:
        groups: the maximum number of report groups in an hour.
        chains: the maximum number of new chains in an hour.
        share_of: a function that returns the name of the share to which a host belongs, or an empty
            text if no policy covers the host.
        groups_a_day: the maximum number of report groups in a day.
        budget: the maximum bytes of chains and samples in total.
    """

    groups: int
    chains: int
    share_of: Callable[[str], str] = lambda _: "*"
    groups_a_day: int = maxsize
    budget: int = maxsize

    def part_for(self, limit: int, host: str) -> int:
        """Return the part of a limit that is available for reports about this host.

        The result is the whole ``limit`` if a policy of a pin set covers the host. Otherwise it is
        a quarter of the limit, which all hosts without a policy share. ``limit`` is a number of
        groups or bytes.
        """
        return limit if self.share_of(host) else limit // 4

    def has_own_share(self, host: str) -> bool:
        """Return True if this host has its own part of the limits, not that of a wildcard.

        The part is that of a *share*: a monitored host, or all names that one pattern covers. The
        host is a share if the monitor probes the host by its name. ``fold`` never removes such a
        name: senders of reports can't invent these names, so their number is limited.
        """
        return self.share_of(host) == host


@dataclass
class GroupCounts:
    """The numbers of report groups that are stored for one hour and its day.

    A *report group* counts the reports of one hour with equal fields. A *share* is a monitored
    host, or all names that one pattern covers.

    Attributes:
        hour: the number of groups of the hour.
        day: the number of groups of the day that contains this hour.
        shares: the number of groups of the hour by the name of the share.
    """

    hour: int = 0
    day: int = 0
    shares: Counter[str] = field(default_factory=Counter)


def group_key(group: ReportGroup) -> bytes:
    """Return the database key of a report group (equal reports of an hour): a hash of its fields.

    It is the SHA-256 of all of them.
    """
    return sha256(_encode(group)).digest()


def trait_key(values: tuple[Any, ...]) -> bytes:
    """Return the database key of a combination of report fields: the SHA-256 of their values.

    The table ``report_traits`` stores each combination once. ``values`` has all fields of a report
    but host and chain, in the order of ``TRAITS``.
    """
    return sha256(_encode(values)).digest()


def group_of(failure: CountedFailure, at: int, served: bytes, verified: bytes) -> ReportGroup:
    """Return the report group, with all details, that counts a report of a failed connection.

    Args:
        failure: the report.
        at: when the report arrived, in seconds since 1970. This decides the hour of the group.
        served: the digest of the served chain, or empty.
        verified: the digest of the verified chain, or empty.
    """
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


def fold(group: ReportGroup, step: int, limits: ReportLimits) -> ReportGroup:
    """Return a report group with less detail, so that one row counts more different reports.

    A report group counts the reports of one hour with equal fields. A removed value becomes
    "other", empty or 0.

    Args:
        group: the group.
        step: how much to remove. 0: nothing. 1: the network. 2: also the app's version. 3: also the
            app and its platform. 4 (``LAST_STEP``): also host, chains, pin set, version and reason.
        limits: knows the hosts that the monitor probes. The name of such a host is never removed.
    """
    if step == 0:
        return group
    changes: dict[str, Any] = {"folded": group.folded + step}
    for fields in _FOLDED[: step + 1]:
        changes |= fields
    if limits.has_own_share(group.host):
        changes["host"] = group.host
    return group._replace(**changes)


def every_fold(groups: Iterable[ReportGroup], limits: ReportLimits) -> set[bytes]:
    """Return the keys of report groups, and of all their forms with less detail (see ``fold``).

    A report group counts the reports of one hour with equal fields. Its key is the SHA-256 of the
    fields. ``limits`` knows the hosts that the monitor probes, because ``fold`` never removes the
    names of these.
    """
    return {
        group_key(fold(group, step, limits)) for group in groups for step in range(LAST_STEP + 1)
    }


def choose_rows(
    groups: Sequence[ReportGroup], known: set[bytes], taken: GroupCounts, limits: ReportLimits
) -> dict[ReportGroup, tuple[bytes, ReportGroup]]:
    """Choose for each report group the row of ``report_groups`` that counts its reports.

    A report group counts the reports of one hour with equal fields. The chosen row is the group
    itself or, if there is no room for a new row, a group with less detail (see ``fold``).

    Args:
        groups: the groups of new reports.
        known: the keys of stored groups: of ``groups``, and of their forms with less detail.
        taken: the numbers of groups that are already stored.
        limits: the limits.

    Returns:
        The key and the fields of the chosen row, by the given group.
    """
    chosen: dict[ReportGroup, tuple[bytes, ReportGroup]] = {}
    stored = set(known)
    now = GroupCounts(taken.hour, taken.day, Counter(taken.shares))
    for group in groups:
        if group in chosen:
            continue
        key, found = chosen[group] = _choose_row(group, stored, now, limits)
        if key not in stored:
            stored.add(key)
            now.hour += 1
            now.day += 1
            now.shares[limits.share_of(found.host)] += 1
    return chosen


def _choose_row(
    group: ReportGroup, stored: set[bytes], now: GroupCounts, limits: ReportLimits
) -> tuple[bytes, ReportGroup]:
    """Return the key and the fields of the row of ``report_groups`` that counts a report group.

    A group that is already stored is chosen even if the hour is full. If there is no room for a new
    group, a group with less detail is chosen (see ``fold``).

    Args:
        group: the report group.
        stored: the keys of the groups that are stored.
        now: the numbers of stored groups.
        limits: the limits.
    """
    key = group_key(group)
    if key in stored:
        return key, group
    hour, day = (
        limits.part_for(limit, group.host) for limit in (limits.groups, limits.groups_a_day)
    )
    step = max(fold_step(now.hour, hour), fold_step(now.day, day))
    folded = fold(group, step_with_reserve(step, group.host, now.shares, limits), limits)
    return group_key(folded), folded


def step_with_reserve(step: int, host: str, shares: Counter[str], limits: ReportLimits) -> int:
    """Return the ``step`` with which ``fold`` removes details from a new report group of this host.

    Some groups are reserved for each share. So if the host's share has fewer than ``RESERVED``
    groups, the result is 0: the new group keeps all details. If the share has fewer than twice as
    many, the result is at most ``LAST_STEP`` - 1, so the new group keeps at least its host, chains,
    pin set, version and reason. In all other cases, also for a host without a policy, the result is
    the given ``step``.

    Args:
        step: how much detail to remove without the reserve: from 0 (nothing) to ``LAST_STEP``.
        host: the host.
        shares: the number of groups of each share in this hour or day.
        limits: the limits, which know the share of a host.
    """
    if not (share := limits.share_of(host)):
        return step
    stored = shares[share]
    if stored < RESERVED:
        return 0
    return min(step, LAST_STEP - 1) if stored < 2 * RESERVED else step


def fold_step(count: int, limit: int) -> int:
    """Return the ``step`` with which ``fold`` removes details from a new report group.

    The result is 0 (all details stay) below the limit, 1 from the limit on, and grows to
    ``LAST_STEP`` at 1.75 times the limit.

    Args:
        count: the number of groups that are stored for the hour or day.
        limit: the number of groups from which on new groups have less detail.
    """
    return 0 if count < limit else min(1 + (count - limit) * 4 // limit, LAST_STEP)


@dataclass
class RecentChains:
    """How much of the limits on newly reported chains is used.

    A *share* is a monitored host, or all names that one pattern covers.

    Attributes:
        used: how many bytes of the budget for chains and samples are used.
        shares: the number of new chains of the last hour by the name of the share.
        sources: the number of new chains of the last hour by the network that reported them.
    """

    used: int = 0
    shares: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)

    def add(self, share: str, source: str, number: int = 1) -> None:
        """Count ``number`` new chains that a network (``source``) reported for a host or pattern.

        ``share`` is the name of this monitored host or pattern.
        """
        self.shares[share] += number
        self.sources[source] += number


def chain_fits(
    share: str, source: str, size: int, recent: RecentChains, limits: ReportLimits
) -> bool:
    """Return True if there is room for a reported chain that is not stored yet.

    A *share* is a monitored host, or all names that one pattern covers. There is room if one of
    these is true:

    1. The share has fewer than ``RESERVED`` new chains in the last hour, and the chain fits into
       the budget (the maximum bytes of chains and samples).
    2. The limit on new chains in an hour is not reached; the network reported only a small part of
       this limit (or fewer than ``RESERVED`` chains); and an eighth of the budget stays free.

    For hosts without a policy (``share`` is empty), only the second condition counts, with a
    quarter of the limit on new chains and a quarter of the budget.

    So invented chains for one host can't keep out the chains of a different host, and one network
    can't keep out the chains of others. If there is no room, the reports of the chain are still
    counted, without the chain.

    Args:
        share: the name of the share to which the chain's host belongs, or empty.
        source: the network that reported the chain.
        size: the bytes of the chain, certificates included.
        recent: the used budget, and the chains that were stored in the last hour.
        limits: the limits.
    """
    part = 1 if share else 4
    chains, budget = limits.chains // part, limits.budget // part
    used = recent.used + size
    if share and recent.shares[share] < RESERVED and used <= budget:
        return True
    rare = recent.sources[source] < max(RESERVED, limits.chains // _NETWORKS)
    return rare and recent.sources.total() < chains and used <= budget - budget // 8


@dataclass
class HourCache:
    """A cache of the database rows for the reports of one hour, so that they are not queried again.

    Attributes:
        groups: maps the key of a report group to the daily sum that counts the same reports. A sum
            is a pair of row numbers: the row of the place (host and served chain) and that of the
            traits (the other fields).
        chains: the digests of stored chains.
        marks: hashes of the origins of reports that were recorded. An origin is a combination of
            network, host and chain.
    """

    groups: dict[bytes, SumKey] = field(default_factory=dict)
    chains: set[bytes] = field(default_factory=set)
    marks: set[int] = field(default_factory=set)


class RowCache:
    """A cache of rows that are in the database, so that the collector doesn't query them again.

    The cache has the rows of a few hours, and a bounded number of rows for each hour.
    """

    def __init__(self) -> None:
        self._hours: OrderedDict[int, HourCache] = OrderedDict()

    def of(self, hour: int) -> HourCache:
        """Return the cached rows of an hour: report groups, chains, and origins of reports.

        An origin is a network, and the chain that it reported. ``hour`` is the hour's first second.
        If nothing is cached for the hour, an empty result is added to the cache, which then forgets
        its oldest hour if it has too many.
        """
        if hour not in self._hours:
            self._hours[hour] = HourCache()
            if len(self._hours) > _CACHED_HOURS:
                self._hours.popitem(last=False)
        return self._hours[hour]

    def learn(self, learned: Mapping[int, HourCache]) -> None:
        """Add rows to the cache that a transaction stored in, or read from, the database.

        Call it after the commit. ``learned`` has the rows by hour (its first second).
        """
        for hour, new in learned.items():
            known = self.of(hour)
            known.groups |= new.groups
            known.chains |= new.chains
            if len(known.marks) > _MAX_MARKS:  # nothing else bounds networks times hosts and chains
                known.marks.clear()
            known.marks |= new.marks


class PresenceLimits(NamedTuple):
    """Limits on the rows that count clients by day, version and app, from their presences.

    A client with a deployed version is always counted with its version, even if these limits are
    reached. Otherwise a flood of false presences could hide the clients of an old version, and a
    rotation would be planned as if no client held that version.

    Attributes:
        rows: the maximum number of rows of a day.
        pin_sets: the names of the pin sets with a pin file. For any other pin set, only a quarter
            of the rows is available. None if there are no pin files: then every pin set may use all
            rows.
        versions: the deployed versions, as pairs of the name of a pin set and a version.
    """

    rows: int = 10_000
    pin_sets: frozenset[str] | None = None
    versions: frozenset[tuple[str, int]] = frozenset()

    def rows_for(self, pin_set: str) -> int:
        """Return the maximum number of rows of a day, for presences with this pin set.

        With a presence, a client reports the pin-set version that it holds. The result is the whole
        limit for a pin set with a pin file, and a quarter of the limit for any other pin set. If
        there are no pin files, it is the whole limit for every pin set.
        """
        known = self.pin_sets is None or pin_set in self.pin_sets
        return self.rows if known else self.rows // 4


@dataclass(frozen=True)
class CountingLimits:
    """All limits on the data that the collector stores about reports.

    Attributes:
        reports: the limits on report groups (equal reports of an hour) and chains.
        samples: the maximum number of samples (stored report documents) of a report group.
        max_samples: the maximum number of samples of all groups together.
        presences: the limits on presences, with which clients report the version of their pins.
    """

    reports: ReportLimits
    samples: int = 3
    max_samples: int = 10_000
    presences: PresenceLimits = field(default_factory=PresenceLimits)


def presence_limits(sets: Iterable[MonitoredPinSet], rows: int) -> PresenceLimits:
    """Return the limits on presences, with which clients report the version of their pins.

    Args:
        sets: the monitored pin sets. Each of them may use all rows, any other pin set only a
            quarter; without monitored pin sets, every pin set may use all rows. A client with a
            deployed version is counted even if the limits are reached.
        rows: the maximum number of database rows that count the presences of one day.
    """
    numbers: dict[str, set[int]] = {}
    for monitored in sets:
        own = numbers.setdefault(monitored.pins.name, set())
        own |= {version.number for version in monitored.deployed.versions}
        own.add(monitored.pins.version)
    versions = frozenset((name, number) for name, own in numbers.items() for number in own)
    return PresenceLimits(rows, frozenset(numbers) or None, versions)


def presence_folds(key: PresenceGroup) -> tuple[PresenceGroup, PresenceGroup, PresenceGroup]:
    """Return the three rows that can count a presence of a client, the most detailed first.

    If a day has too many rows, presences are counted with less detail. The first row is ``key``,
    with all fields. The second has no app, app version and platform. The third has no pin set and
    version either.
    """
    nameless = key._replace(app=OTHER, app_version=OTHER, platform=OTHER)
    return key, nameless, nameless._replace(pin_set=OTHER, version=0)


def choose_presence_rows(
    keys: Iterable[PresenceGroup], known: set[PresenceGroup], count: int, limits: PresenceLimits
) -> dict[PresenceGroup, PresenceGroup]:
    """Choose the database row that counts each presence.

    With a presence, a client reports the pin-set version that it holds. If a row with all fields of
    the presence is stored already, it is chosen. Otherwise the chosen row is a new one with all
    fields, or, if the day has too many rows, a row with less detail.

    Args:
        keys: the presences of one day, with all fields.
        known: the stored rows that could count these presences (see ``presence_folds``).
        count: how many rows are stored for the day.
        limits: the limits.

    Returns:
        The chosen row for each presence.
    """
    stored = set(known)
    chosen: dict[PresenceGroup, PresenceGroup] = {}
    for key in keys:
        limit = limits.rows_for(key.pin_set)
        whole, nameless, last = presence_folds(key)
        deployed = (key.pin_set, key.version) in limits.versions
        if whole in stored or count < limit:
            found = whole
        else:
            found = nameless if deployed or nameless in stored or count < 2 * limit else last
        count += found not in stored
        stored.add(found)
        chosen[key] = found
    return chosen


def day_of(at: int) -> int:
    """Return the first second of the day (UTC) of a time; both are in seconds since 1970."""
    return at - at % DAY
