"""TODO: one docstring."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime  # msgspec reads the fields when it first encodes
from typing import TYPE_CHECKING, Literal

import msgspec
from sqlalchemy import func, select

from certpin.errors import HostError
from certpin.pins import verify
from certpin_watch.store.queries.base import (
    DEFAULT_THRESHOLDS,
    HOUR,
    Page,
    Thresholds,
    clamp_limit,
    days_between,
    to_seconds,
)
from certpin_watch.store.queries.chains import load_chains, load_der
from certpin_watch.store.queries.sightings import PinJudge, Vantage, current_by_location
from certpin_watch.store.tables.alerts import ALERTS
from certpin_watch.store.tables.probes import LATEST, SIGHTINGS
from certpin_watch.store.tables.reports import REPORT_GROUPS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from certpin.pins import HostPolicy
    from certpin_watch.snapshot import Snapshot, WatchedSet


# `broken`: a vantage cannot reach it, cannot verify it, or meets a key that some client refuses.
# `expiring`: a certificate or the pins end soon. `unknown`: nobody has looked, or not lately.
Status = Literal["broken", "unknown", "expiring", "holds"]
WORST_FIRST: tuple[Status, ...] = ("broken", "unknown", "expiring", "holds")

_MOST_COVERED = 10_000  # hosts below wildcards


class PolicyPin(msgspec.Struct, frozen=True):
    """A pin of a policy, as the pin file has it."""

    pin: str
    role: str
    state: str
    note: str = ""


class Policy(msgspec.Struct, frozen=True):
    """What a watched pin set says of a host. ``alive`` are the versions that clients may hold."""

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
    """A watched host. ``problems`` is why it stands so, in words for programs.

    ``not_after`` is the earliest end of a certificate that some vantage is shown, ``expires`` that
    of its pins; the days count down to them, and are below nothing after. ``failures`` are reports
    of the last 24 hours, ``alerts`` those that are open.
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
    """Every watched host, sorted. Of hosts below wildcards, as many as the first 10,000."""
    found = {
        policy.pattern.name
        for each in snapshot.sets
        for policy in each.pins.policies
        if not policy.pattern.wildcard
    }
    if any(policy.pattern.wildcard for each in snapshot.sets for policy in each.pins.policies):
        statement = select(SIGHTINGS.c.host).where(LATEST).distinct()
        seen = connection.execute(statement.order_by(SIGHTINGS.c.host).limit(_MOST_COVERED))
        found.update(name for name in seen.scalars() if policies_of(snapshot, name))
    return tuple(sorted(found))


def hosts(
    connection: Connection,
    snapshot: Snapshot,
    now: datetime,
    *,
    after: str = "",
    limit: int = 100,
    limits: Thresholds = DEFAULT_THRESHOLDS,
) -> Page[Host]:
    """The watched hosts whose names come after another, by name."""
    limit = clamp_limit(limit)
    following = [name for name in names(connection, snapshot) if name > after][: limit + 1]
    found = describe_hosts(connection, snapshot, now, following[:limit], limits)
    return Page(found, (following[limit - 1],) if len(following) > limit else None)


def host(
    connection: Connection,
    snapshot: Snapshot,
    now: datetime,
    name: str,
    limits: Thresholds = DEFAULT_THRESHOLDS,
) -> Host | None:
    """One host; ``None`` where no watched pin set covers it."""
    return next(iter(describe_hosts(connection, snapshot, now, [name], limits)), None)


def describe_hosts(
    connection: Connection,
    snapshot: Snapshot,
    now: datetime,
    wanted: Sequence[str],
    limits: Thresholds = DEFAULT_THRESHOLDS,
) -> tuple[Host, ...]:
    """These hosts, in this order; those that no watched pin set covers are left out."""
    covered = {name: policies_of(snapshot, name) for name in wanted}
    known = [name for name, policies in covered.items() if policies]
    judge = PinJudge(snapshot, now)
    seen = current_by_location(connection, judge, known, limits)
    alerts, failures = _alerts(connection, known), _failures(connection, known, now)
    return tuple(
        msgspec.structs.replace(
            _host(name, covered[name], seen[name], judge, limits),
            alerts=alerts[name],
            failures=failures[name],
        )
        for name in known
    )


def policies_of(snapshot: Snapshot, name: str) -> tuple[tuple[WatchedSet, HostPolicy], ...]:
    """The policies that cover a host, one of each pin set that has one."""
    try:
        found = [(each, each.pins.policy_for(name)) for each in snapshot.sets]
    except HostError:
        return ()
    return tuple((each, policy) for each, policy in found if policy is not None)


def count_by_status(found: Sequence[Host]) -> dict[Status, int]:
    """How many hosts stand how, the worst first."""
    return {each: sum(host.status == each for host in found) for each in WORST_FIRST}


def _host(
    name: str,
    policies: Sequence[tuple[WatchedSet, HostPolicy]],
    seen: tuple[Vantage, ...],
    judge: PinJudge,
    limits: Thresholds,
) -> Host:
    not_after = min((each.not_after for each in seen if each.not_after), default=None)
    expires = min((each.expires for _, each in policies if each.expires), default=None)
    status, problems = _standing(seen, expires, judge.now, limits)
    return Host(
        name,
        status,
        problems,
        tuple(_policy(each, policy, judge) for each, policy in policies),
        seen,
        not_after,
        days_between(judge.now, not_after) if not_after else None,
        expires,
        days_between(judge.now, expires) if expires else None,
    )


def _standing(
    seen: tuple[Vantage, ...],
    expires: datetime | None,
    now: datetime,
    limits: Thresholds,
) -> tuple[Status, tuple[str, ...]]:
    """How a host stands, and why. What was last seen long ago may have mended itself, or not."""
    broken = dict.fromkeys(each.problem_word for each in seen if each.problem_word)
    if len({each.leaf_pin for each in seen if each.leaf_pin}) > 1:
        broken["vantages-disagree"] = None
    stale = not seen or any(now - each.last_at > limits.stale for each in seen)
    soon = ["certificate-ends"] if any(each.ends_soon for each in seen) else []
    if expires is not None and expires - now < limits.pins:
        soon.append("pins-end")
    found = (*broken, *(["not-seen-lately"] if stale else []), *soon)
    grave = broken.keys() - {"vantages-disagree"}
    if grave:
        return "broken", found
    return "unknown" if stale else "expiring" if soon else "holds", found


def _policy(watched: WatchedSet, policy: HostPolicy, judge: PinJudge) -> Policy:
    return Policy(
        watched.pins.name,
        watched.pins.version,
        str(policy.pattern),
        policy.mode,
        policy.match,
        policy.on_expiry,
        tuple(PolicyPin(str(each.pin), each.role, each.state, each.note) for each in policy.pins),
        policy.expires,
        tuple(each.number for each in judge.alive(watched)),
    )


def _alerts(connection: Connection, wanted: Sequence[str]) -> dict[str, int]:
    open_ones = select(ALERTS.c.host, func.count()).where(ALERTS.c.resolved_at.is_(None))
    rows = connection.execute(open_ones.where(ALERTS.c.host.in_(wanted)).group_by(ALERTS.c.host))
    return defaultdict(int, {row[0]: row[1] for row in rows})


def _failures(connection: Connection, wanted: Sequence[str], now: datetime) -> dict[str, int]:
    """By the hours in which they were counted: the first one is there as a whole."""
    columns = REPORT_GROUPS.c
    since = to_seconds(now) // HOUR * HOUR - 23 * HOUR
    statement = select(columns.host, func.sum(columns.count)).where(columns.hour >= since)
    rows = connection.execute(statement.where(columns.host.in_(wanted)).group_by(columns.host))
    return defaultdict(int, {name: int(number) for name, number in rows})


def reports_by_hour(
    connection: Connection, hosts: Sequence[str], now: datetime, hours: int = 24
) -> Mapping[str, tuple[int, ...]]:
    """How many reports each of these hosts had in the last hours, the oldest first."""
    columns, number = REPORT_GROUPS.c, func.sum(REPORT_GROUPS.c.count)
    first = to_seconds(now) // HOUR * HOUR - (hours - 1) * HOUR
    statement = select(columns.host, columns.hour, number).where(columns.hour >= first)
    rows = connection.execute(
        statement.where(columns.host.in_(hosts)).group_by(columns.host, columns.hour)
    )
    counts: dict[str, list[int]] = defaultdict(lambda: [0] * hours)
    for host, hour, count in rows:
        # Hours are this machine's: one that lies ahead was counted before its clock was set back.
        counts[host][min((hour - first) // HOUR, hours - 1)] += int(count)
    return defaultdict(lambda: (0,) * hours, {host: tuple(each) for host, each in counts.items()})


_MAX_PATHS = 50  # vantages and addresses that are looked at


def expected_path(
    connection: Connection, snapshot: Snapshot, now: datetime, host: str
) -> tuple[bytes, ...]:
    """The path that a vantage verified last, leaf to root; nothing where none did.

    One that has a pin goes before one that has none, however new that is: a vantage may be shown
    what clients are shown.
    """
    columns = SIGHTINGS.c
    statement = select(columns.verified).where(LATEST, columns.host == host)
    statement = statement.where(columns.verified != b"").order_by(columns.last_at.desc())
    rows = connection.execute(statement.limit(_MAX_PATHS)).scalars()
    digests = list(dict.fromkeys(map(bytes, rows)))
    if len(digests) > 1:
        pinned = _pinned(connection, snapshot, now, host, digests)
        digests.sort(key=lambda each: each not in pinned)
    return load_der(connection, digests[0]) or () if digests else ()


def _pinned(
    connection: Connection, snapshot: Snapshot, now: datetime, host: str, digests: list[bytes]
) -> set[bytes]:
    """Those of the paths that a pin file allows."""
    policies = [policy for _, policy in policies_of(snapshot, host)]
    kept = load_chains(connection, digests)
    return {
        digest
        for digest, path in kept.items()
        if any(path and verify(path, policy, now).reason == "match" for policy in policies)
    }
