"""Read the data that the alert rules evaluate, from the store, the pin files and the disk.

The failure reports of past hours no longer change, so they are counted only once an hour.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from certpin.errors import ConfigError
from certpin.x509.chain import read_facts
from certpin_watch.chain_check import ChainJudge
from certpin_watch.rules.evidence import (
    HISTORY,
    ReportedFailures,
    ReportEvidence,
    ServiceEvidence,
    SignedRole,
    VersionHolders,
)
from certpin_watch.snapshot import Patterns
from certpin_watch.store.alerts import failing_services
from certpin_watch.store.chains import read_chains
from certpin_watch.store.identities import DAY, HOUR
from certpin_watch.store.queries import reports
from certpin_watch.store.queries.capacity import capacity, repeat_window, report_queue, sweeps

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from certpin_watch.context import Watch
    from certpin_watch.snapshot import MonitoredPinSet
    from certpin_watch.store.queries.reports import HostChain

    Hours = dict[str, dict[int, int]]

_MAX_NETWORKS = 300  # counted for a chain, unless the setting needs more
_MAX_CHAINS = 300  # the most reported: checking one verifies signatures
_MAX_GROUPS = 20_000  # of a day, the largest: senders of reports choose their number
_RESERVED_GROUPS = 200  # for each share

_ROLES = ("root", "targets", "snapshot", "timestamp")
_MAX_METADATA = 4 * 1024 * 1024  # bytes
_MAX_FILES = 10_000


@dataclass
class FailureHistory:
    """A cache of the number of failure reports in past hours, by host.

    The current and the previous hour are not in the cache. An hour is stored as its first second,
    in Unix time.

    Attributes:
        counted_at: the hour in which the cache was filled; -1 if it has to be filled.
        hours: the numbers of failure reports, by host and hour.
        heard: the hours in which any report arrived. They cover a week, which ends with the last
            hour that has a report.
        patterns: the host patterns for which reports were counted.
    """

    counted_at: int = -1
    hours: Hours = field(default_factory=dict)
    heard: frozenset[int] = frozenset()
    patterns: Patterns = field(default_factory=Patterns)

    def use(self, sets: tuple[MonitoredPinSet, ...], named: frozenset[str]) -> Patterns:
        """Return the host patterns of the monitored pin sets.

        If the pin sets or the host names changed since the last call, the cache becomes invalid.

        Args:
            sets: the monitored pin sets.
            named: the host names in the settings (``[[monitor.host]]``). The monitor probes them
                by name, even if the pin sets cover them only with a wildcard.
        """
        if self.patterns.sets != sets or self.patterns.named != named:
            self.patterns, self.counted_at = Patterns(sets, named), -1
        return self.patterns


def gather_reports(
    connection: Connection, watch: Watch, history: FailureHistory, now: int
) -> ReportEvidence:
    """Read from the store the data about reports of clients that the alert rules evaluate.

    Args:
        connection: a read transaction.
        watch: the settings and the pin files.
        history: the cache of counts of past hours. Pass the same object at each call.
        now: the Unix time.
    """
    sets = watch.pin_files.snapshot().sets
    patterns = history.use(sets, watch.settings.monitor.named)
    groups = _groups(connection, patterns, now)
    checked = check_chains(connection, patterns, groups, datetime.fromtimestamp(now, UTC))
    chains = {digest for _, digest in checked.accepted | checked.refused}
    limit = max(_MAX_NETWORKS, watch.settings.alerts.networks)
    hours, heard = _failure_hours(connection, history, now)
    holders = reports.version_holders(connection, now)
    return ReportEvidence(
        sets=sets,
        groups=groups,
        holders=tuple(VersionHolders(*key, count) for key, count in holders.items()),
        hours=hours,
        heard=tuple(sorted(heard)),
        accepted=checked.accepted,
        refused=checked.refused,
        issuers=checked.issuers,
        sighted=reports.observed_chains(connection, {group.host for group in groups}),
        issued=checked.issued,
        networks=reports.reporting_networks(connection, chains, now, limit),
        spread=reports.count_networks(connection, now),
        share_of=patterns.share_of,
        pattern=patterns.of,
    )


def gather_service(
    connection: Connection, watch: Watch, now: int, failures: Mapping[str, str]
) -> ServiceEvidence:
    """Read the data about the monitoring service itself that the alert rules evaluate.

    Args:
        connection: a read transaction.
        watch: the settings, the store and the pin files.
        now: the Unix time.
        failures: the names of the rules and of the sources of data that failed, each with the
            reason. The result contains this mapping, so that an alert about the failures fires.
    """
    at, thresholds = datetime.fromtimestamp(now, UTC), watch.settings.thresholds
    sets = watch.pin_files.snapshot().sets
    return ServiceEvidence(
        disk=_free_disk(watch),
        failing=failing_services(connection, now),
        failures=failures,
        queue=report_queue(connection, at),
        full=capacity(connection, at, thresholds).full,
        sweeps=sweeps(connection, at),
        window=repeat_window(connection, at, thresholds),
        roles=tuple(role for monitored in sets for role in signed_roles(monitored, now)),
    )


def _groups(connection: Connection, patterns: Patterns, now: int) -> tuple[ReportedFailures, ...]:
    """Return the report groups (identical failure reports) of the last day, the largest first.

    Only monitored hosts are included: those that the host patterns of the monitored pin sets,
    ``patterns``, cover. If there are more than ``_MAX_GROUPS``, only the largest are returned. But
    each monitored host or wildcard gets at least its ``_RESERVED_GROUPS`` largest groups, so that a
    flood of reports about one host doesn't displace the reports about another.
    """
    counted = {"reports", "first_at"}
    names = [name for name in ReportedFailures._fields if name not in counted]
    kept: list[ReportedFailures] = []
    reserved: Counter[str] = Counter()
    for row in reports.groups_of_day(connection, names, now):
        group = ReportedFailures._make(row)
        if not patterns.of(group.host):
            continue
        share = patterns.share_of(group.host)
        reserved[share] += 1
        if len(kept) < _MAX_GROUPS or reserved[share] <= _RESERVED_GROUPS:
            kept.append(group)
    return tuple(kept)


def _failure_hours(
    connection: Connection, history: FailureHistory, now: int
) -> tuple[Hours, frozenset[int]]:
    """Count failure reports by host and hour, and find the hours with any report.

    The current and the previous hour are read from the store, the earlier hours from the cache
    ``history``. ``now`` is the Unix time.

    Returns:
        A pair. First, the number of failure reports in the last week, by host and hour. Second, the
        hours in which any report arrived. They cover at least the week before the last report, even
        if that report is older than a week.
    """
    this = now - now % HOUR
    if history.counted_at != this:
        since = this - HISTORY - HOUR
        history.hours, _ = _count(connection, history.patterns, since, this - HOUR)
        history.heard = reports.hours_with_reports(connection, this - HOUR, HISTORY)
        history.counted_at = this
    recent, heard = _count(connection, history.patterns, this - HOUR, this + HOUR)
    hosts = history.hours.keys() | recent.keys()
    hours = {host: history.hours.get(host, {}) | recent.get(host, {}) for host in hosts}
    return hours, history.heard | heard


def _count(
    connection: Connection, patterns: Patterns, since: int, until: int
) -> tuple[Hours, frozenset[int]]:
    hours: Hours = {}
    heard: set[int] = set()
    for host, hour, count in reports.failures_by_hour(connection, since, until):
        heard.add(hour)
        if patterns.of(host):
            hours.setdefault(host, {})[hour] = count
    return hours, frozenset(heard)


class CheckedChains(NamedTuple):
    """The chains that clients reported, sorted by whether they match the pins of their host.

    A pair consists of a host and the digest of a chain that clients reported for this host.

    Attributes:
        accepted: the pairs with a chain that matches the pins of the host, in the pin file or in a
            version that clients may still hold.
        refused: the pairs with a chain that matches none of these pins, those in ``issued`` too.
        issued: the pairs in ``refused`` with a chain that a trusted authority issued for the host.
        issuers: maps the digest of each chain to the name of the issuer in its leaf.
    """

    accepted: frozenset[HostChain]
    refused: frozenset[HostChain]
    issued: frozenset[HostChain]
    issuers: dict[bytes, str]


def check_chains(
    connection: Connection, patterns: Patterns, groups: Sequence[ReportedFailures], now: datetime
) -> CheckedChains:
    """Compare the most reported chains with all pins that clients may still hold.

    The number of chains that are checked is limited. The monitored hosts and wildcards take turns,
    so that invented chains for one host don't displace the chains of another. Chains that were
    deleted from the store are not checked.

    Args:
        connection: a read transaction.
        patterns: the host patterns of the monitored pin sets.
        groups: the failure reports of the last day.
        now: the current time.
    """
    counts: Counter[HostChain] = Counter()
    first: dict[HostChain, int] = {}
    for group in groups:
        if group.chain:
            key = (group.host, group.chain)
            counts[key] += group.reports
            first[key] = min(first.get(key, group.first_at), group.first_at)
    chosen = _by_turns(counts, patterns)[:_MAX_CHAINS]
    chains = read_chains(connection, {digest for _, digest in chosen})
    judge = ChainJudge(patterns.sets, now)
    found: dict[str, set[HostChain]] = {"accepted": set(), "refused": set(), "issued": set()}
    for key in chosen:
        host, digest = key
        since = datetime.fromtimestamp(first[key], UTC)
        verdict = judge.verdict(host, chains.get(digest, ()), since)
        if verdict in found:
            found[verdict].add(key)
    issuers = {key: read_facts(chain[0]).issuer or "" for key, chain in chains.items() if chain}
    accepted, refused, issued = (frozenset(keys) for keys in found.values())
    return CheckedChains(accepted, refused | issued, issued, issuers)


def _by_turns(counts: Mapping[HostChain, int], patterns: Patterns) -> list[HostChain]:
    """Order pairs of host and chain so that monitored hosts and wildcards take turns.

    Only the first pairs are checked, so invented chains for one host don't displace those of
    others. The result begins with the most reported chain of each monitored host or wildcard. The
    second most reported chain of each follows, and so on.

    Args:
        counts: maps each pair to its number of reports.
        patterns: finds the monitored host or wildcard to which the host of a pair belongs.
    """
    turns: Counter[str] = Counter()
    ordered: list[tuple[int, HostChain]] = []
    for key in sorted(counts, key=lambda key: -counts[key]):
        share = patterns.share_of(key[0])
        ordered.append((turns[share], key))
        turns[share] += 1
    return [key for _, key in sorted(ordered, key=lambda entry: entry[0])]


def signed_roles(monitored: MonitoredPinSet, now: int) -> Iterator[SignedRole]:
    """Yield an entry for each TUF role of a pin set, with the expiry of its newest metadata.

    The metadata (a signed file, as The Update Framework defines it) is read from the folder
    ``publish`` beside the pin file of ``monitored``, the pin set. A role without readable metadata
    is left out.

    Signatures are not verified here; ``certpin publish status`` and clients verify them. The only
    effect of a forged date is that an alert fires too early or too late.
    """
    folder = monitored.path.parent / "publish"
    metadata = folder / "site" / "metadata"
    lifetimes = _lifetimes(folder / "publish.toml")
    for role in _ROLES:
        newest = _newest(metadata, role)
        expires = _expiry(newest) if newest else None
        if expires is not None:
            is_soon = expires - now <= lifetimes[role] / 3
            yield SignedRole(monitored.pins.name, monitored.path, role, expires, is_soon)


def _lifetimes(path: Path) -> dict[str, int]:
    """Return the seconds for which a signature of each TUF role is valid, by the name of the role.

    A rule warns when less than a third of this time is left. ``path`` is ``publish.toml``. If it
    can't be read, the default lifetimes are returned.
    """
    from certpin.publish.settings import DEFAULT_DAYS, load

    try:
        days = load(path).days
    except ConfigError:
        days = DEFAULT_DAYS
    return {role: days[role] * DAY for role in _ROLES}


def _newest(metadata: Path, role: str) -> Path | None:
    if role == "timestamp":
        return metadata / "timestamp.json"
    numbers: dict[int, Path] = {}
    try:
        for at, path in enumerate(metadata.iterdir()):
            number, _, rest = path.name.partition(".")
            if rest == f"{role}.json" and number.isdecimal() and len(number) < 16:
                numbers[int(number)] = path
            if at > _MAX_FILES:
                break
    except OSError:
        return None
    return numbers[max(numbers)] if numbers else None


def _expiry(path: Path) -> int | None:
    try:
        with path.open("rb") as file:
            signed = json.loads(file.read(_MAX_METADATA))["signed"]
        moment = datetime.fromisoformat(signed["expires"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _free_disk(watch: Watch) -> float | None:
    """Return how much of the disk with the SQLite file is free, in per cent.

    Return None for PostgreSQL, which has no such file, and if the free space can't be read.
    """
    name = watch.store.engine.url.database
    if not watch.store.is_sqlite or not name or name == ":memory:":
        return None
    try:
        usage = shutil.disk_usage(Path(name).absolute().parent)
    except OSError:
        return None
    return 100 * usage.free / usage.total if usage.total else None
