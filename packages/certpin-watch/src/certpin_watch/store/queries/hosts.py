"""The monitored hosts: their policies, the latest result of each location, and their status.

A host is monitored if a pin set names it, or if a probe observed it and a wildcard covers it.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime  # noqa: TC003  # msgspec reads the fields when it first encodes
from typing import TYPE_CHECKING, Literal

import msgspec
from sqlalchemy import func, select

from certpin_watch.settings import DEFAULT_THRESHOLDS, Thresholds
from certpin_watch.store.identities import HOUR
from certpin_watch.store.queries import Page, clamp_limit, days_between, to_datetime, to_seconds
from certpin_watch.store.queries.sightings import PinJudge, Vantage, current_by_location
from certpin_watch.store.tables.observations import AWAITED, LATEST, REPORT_GROUPS, SIGHTINGS
from certpin_watch.store.tables.service import ALERTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from certpin.pins import HostPolicy
    from certpin_watch.snapshot import MonitoredPinSet, SetPolicies, Snapshot

# `broken`: a location can't reach the host, can't verify its chain, or sees a key that some client
# refuses. `expiring`: a certificate or the pins expire soon. `unknown`: a location that has to
# probe the host has no recent result.
Status = Literal["broken", "unknown", "expiring", "holds"]
WORST_FIRST: tuple[Status, ...] = ("broken", "unknown", "expiring", "holds")

_MAX_COVERED = 10_000  # hosts below wildcards
_HOURS = 24  # in the counts of reports by hour


class PolicyPin(msgspec.Struct, frozen=True):
    """A pin of a host's policy, with the role, state and note that the pin file has for the pin."""

    pin: str
    role: str
    state: str
    note: str = ""


class Policy(msgspec.Struct, frozen=True):
    """The pinning policy of a host in one pin set, as pages and the API show it.

    ``pattern`` is the host pattern, and ``version`` the version of the pin set in the pin file.
    ``mode``, ``match``, ``on_expiry``, ``pins`` and ``expires`` have the values of the pin file;
    ``expires`` is null if the pins don't expire. ``alive`` are the numbers of the pin-set versions
    that clients may still hold.
    """

    pin_set: str
    version: int
    pattern: str
    mode: str
    match: str
    on_expiry: str
    pins: tuple[PolicyPin, ...]
    expires: datetime | None = None
    alive: tuple[int, ...] = ()


class Host(msgspec.Struct, frozen=True):
    """A monitored host, with its status.

    Attributes:
        name: the host name.
        status: "broken" (a location observed a problem), "unknown" (a location has no recent
            result), "expiring" (a certificate or the pins expire soon) or "holds" (none of these).
        problems: the reasons for the status, as fixed words such as "pins-end".
        policies: its policy in each pin set.
        vantages: the latest result of each location.
        not_after: the earliest expiry date of a certificate that a location observes.
        certificate_days: the days until ``not_after``, negative afterwards.
        expires: the earliest expiry date of the pins in the policies.
        pin_days: the days until ``expires``, negative afterwards.
        alerts: the number of open alerts.
        failures: the number of failure reports in the last 24 hours.
    """

    name: str
    status: Status
    problems: tuple[str, ...]
    policies: tuple[Policy, ...]
    vantages: tuple[Vantage, ...]
    not_after: datetime | None = None
    certificate_days: float | None = None
    expires: datetime | None = None
    pin_days: float | None = None
    alerts: int = 0
    failures: int = 0


def names(connection: Connection, snapshot: Snapshot) -> tuple[str, ...]:
    """Return the names of all monitored hosts, sorted.

    ``snapshot`` has the pin sets. A host that only a wildcard covers is included if a probe
    observed it. At most 10,000 such hosts are included.
    """
    policies = [policy for monitored in snapshot.sets for policy in monitored.pins.policies]
    found = {policy.pattern.name for policy in policies if not policy.pattern.wildcard}
    if any(policy.pattern.wildcard for policy in policies):
        statement = select(SIGHTINGS.c.host).where(LATEST).distinct()
        seen = connection.execute(statement.order_by(SIGHTINGS.c.host).limit(_MAX_COVERED))
        found.update(name for name in seen.scalars() if snapshot.policies_of(name))
    return tuple(sorted(found))


def hosts(
    connection: Connection,
    snapshot: Snapshot,
    now: datetime,
    *,
    after: str = "",
    limit: int = 100,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
) -> Page[Host]:
    """Return a page of the monitored hosts, sorted by name.

    Args:
        connection: a connection that may read.
        snapshot: the monitored pin sets.
        now: the current time.
        after: the name after which the page begins; empty for the first page.
        limit: the size of the page.
        thresholds: the limits in the settings for old results, and for dates that are near.
    """
    limit = clamp_limit(limit)
    following = [name for name in names(connection, snapshot) if name > after][: limit + 1]
    found = describe_hosts(connection, snapshot, now, following[:limit], thresholds)
    return Page(found, (following[limit - 1],) if len(following) > limit else None)


def host(
    connection: Connection,
    snapshot: Snapshot,
    now: datetime,
    name: str,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
) -> Host | None:
    """Return one monitored host, with its status; None if no pin set covers the name.

    ``snapshot`` has the pin sets. ``thresholds`` decides which results are old, and which dates are
    near.
    """
    return next(iter(describe_hosts(connection, snapshot, now, [name], thresholds)), None)


def describe_hosts(
    connection: Connection,
    snapshot: Snapshot,
    now: datetime,
    wanted: Sequence[str],
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
) -> tuple[Host, ...]:
    """Return the monitored hosts with the names ``wanted``, in the order of these names.

    ``snapshot`` has the pin sets. ``thresholds`` decides which results are old, and which dates are
    near. Hosts that no pin set covers are left out.
    """
    covered = {name: snapshot.policies_of(name) for name in wanted}
    known = [name for name, policies in covered.items() if policies]
    judge = PinJudge(snapshot, now)
    seen = current_by_location(connection, judge, known, thresholds)
    awaited = _awaited(connection, known)
    alerts, failures = _open_alerts(connection, known), _recent_failures(connection, known, now)
    return tuple(
        msgspec.structs.replace(
            _host(name, covered[name], seen[name], awaited.get(name), judge, thresholds),
            alerts=alerts[name],
            failures=failures[name],
        )
        for name in known
    )


def count_by_status(found: Sequence[Host]) -> dict[Status, int]:
    """Return the number of these hosts with each status, the worst status first."""
    return {status: sum(host.status == status for host in found) for status in WORST_FIRST}


def reports_by_hour(
    connection: Connection, hosts: Sequence[str], now: datetime
) -> Mapping[str, tuple[int, ...]]:
    """Return the number of reports of each host in each of the last 24 hours, the oldest first.

    The current hour is the last one. A host without reports has 24 zeros.
    """
    columns, number = REPORT_GROUPS.c, func.sum(REPORT_GROUPS.c.count)
    first = to_seconds(now) // HOUR * HOUR - (_HOURS - 1) * HOUR
    statement = select(columns.host, columns.hour, number).where(columns.hour >= first)
    rows = connection.execute(
        statement.where(columns.host.in_(hosts)).group_by(columns.host, columns.hour)
    )
    counts: dict[str, list[int]] = defaultdict(lambda: [0] * _HOURS)
    for host, hour, count in rows:
        # An hour in the future was counted before this machine's clock was set back.
        counts[host][min((hour - first) // HOUR, _HOURS - 1)] += int(count)
    return defaultdict(lambda: (0,) * _HOURS, {host: tuple(row) for host, row in counts.items()})


def _host(
    name: str,
    policies: SetPolicies,
    seen: tuple[Vantage, ...],
    awaited: datetime | None,
    judge: PinJudge,
    thresholds: Thresholds,
) -> Host:
    not_after = min((location.not_after for location in seen if location.not_after), default=None)
    expires = min((policy.expires for _, policy in policies if policy.expires), default=None)
    status, problems = _status(seen, awaited, expires, judge.now, thresholds)
    return Host(
        name,
        status,
        problems,
        tuple(_policy(monitored, policy, judge) for monitored, policy in policies),
        seen,
        not_after,
        days_between(judge.now, not_after) if not_after else None,
        expires,
        days_between(judge.now, expires) if expires else None,
    )


def _status(
    seen: tuple[Vantage, ...],
    awaited: datetime | None,
    expires: datetime | None,
    now: datetime,
    thresholds: Thresholds,
) -> tuple[Status, tuple[str, ...]]:
    """Return the status of a host ("broken", "unknown", "expiring" or "holds"), and its reasons.

    An old probe result with a problem still counts, because nothing shows that the problem was
    fixed. If locations observe different keys, that is one of the reasons, but does not change the
    status. The reasons are fixed words such as "vantages-disagree" or "pins-end".

    Args:
        seen: the latest result of each location.
        awaited: since when the service waits for the first result of a location for this host; None
            if all of its locations have a result.
        expires: when the first of its pins expires; None if none does.
        now: the current time.
        thresholds: the limits in the settings for old results, and for dates that are near.
    """
    broken = dict.fromkeys(location.problem_word for location in seen if location.problem_word)
    if len({location.leaf_pin for location in seen if location.leaf_pin}) > 1:
        broken["vantages-disagree"] = None
    times = [location.last_at for location in seen] + ([awaited] if awaited else [])
    stale = not seen or any(now - at > thresholds.stale for at in times)
    soon = ["certificate-ends"] if any(location.ends_soon for location in seen) else []
    if expires is not None and expires - now < thresholds.pins:
        soon.append("pins-end")
    found = (*broken, *(["not-seen-lately"] if stale else []), *soon)
    grave = broken.keys() - {"vantages-disagree"}
    if grave:
        return "broken", found
    return "unknown" if stale else "expiring" if soon else "holds", found


def _policy(monitored: MonitoredPinSet, policy: HostPolicy, judge: PinJudge) -> Policy:
    return Policy(
        monitored.pins.name,
        monitored.pins.version,
        str(policy.pattern),
        policy.mode,
        policy.match,
        policy.on_expiry,
        tuple(PolicyPin(str(pin.pin), pin.role, pin.state, pin.note) for pin in policy.pins),
        policy.expires,
        tuple(version.number for version in judge.alive(monitored)),
    )


def _awaited(connection: Connection, wanted: Sequence[str]) -> dict[str, datetime]:
    """Return since when the service waits for the first result of a location, by host.

    A location is a machine that probes hosts. If several locations have no result for a host yet,
    the earliest time is returned. Hosts with a result from every location are left out. ``wanted``
    are the hosts to look up.
    """
    columns = AWAITED.c
    statement = select(columns.host, func.min(columns.since)).where(columns.host.in_(wanted))
    rows = connection.execute(statement.group_by(columns.host))
    return {name: to_datetime(since) for name, since in rows}


def _open_alerts(connection: Connection, wanted: Sequence[str]) -> dict[str, int]:
    statement = select(ALERTS.c.host, func.count()).where(ALERTS.c.resolved_at.is_(None))
    rows = connection.execute(statement.where(ALERTS.c.host.in_(wanted)).group_by(ALERTS.c.host))
    return defaultdict(int, {row[0]: row[1] for row in rows})


def _recent_failures(
    connection: Connection, wanted: Sequence[str], now: datetime
) -> dict[str, int]:
    """Return the number of failure reports of each host in this hour and the 23 hours before it.

    ``wanted`` are the names of the hosts. A host without reports has the number 0.
    """
    columns = REPORT_GROUPS.c
    since = to_seconds(now) // HOUR * HOUR - 23 * HOUR
    statement = select(columns.host, func.sum(columns.count)).where(columns.hour >= since)
    rows = connection.execute(statement.where(columns.host.in_(wanted)).group_by(columns.host))
    return defaultdict(int, {name: int(number) for name, number in rows})
