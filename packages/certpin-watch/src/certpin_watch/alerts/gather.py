"""From the store, the pin files and the disk to the evidence: the queries of the rules.

What is long over is counted once an hour: it does not change, and there is much of it.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import func, or_, select

from certpin_watch.alerts.evidence import BACK, DAY, HOUR, Evidence, Group, Holders, Own
from certpin_watch.alerts.judged import judge
from certpin_watch.alerts.outbox import failing
from certpin_watch.alerts.signed_folder import roles_of
from certpin_watch.snapshot import Patterns
from certpin_watch.store.queries.capacity import capacity, repeat_window, report_queue, sweeps
from certpin_watch.store.tables.probes import SIGHTINGS
from certpin_watch.store.tables.reports import PRESENCES, REPORT_GROUPS, REPORT_NETWORKS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from certpin_watch.snapshot import Watch, WatchedSet

_MOST_NETWORKS = 300  # that are counted of one chain: what decides is whether they are ten
_OWN_GROUPS = 200  # of each part of what is watched
_MOST_GROUPS = 20_000  # of a day, the largest: whoever sends reports chooses their number

Hours = dict[str, dict[int, int]]


@dataclass
class Past:
    """The hours that are over, as they were counted at ``counted``."""

    counted: int = -1
    hours: Hours = field(default_factory=dict)
    heard: frozenset[int] = frozenset()
    patterns: Patterns = field(default_factory=Patterns)

    def watching(self, sets: tuple[WatchedSet, ...], named: frozenset[str]) -> Patterns:
        """The patterns of these sets; where they changed, nothing that was counted holds."""
        if self.patterns.sets != sets or self.patterns.named != named:
            self.patterns, self.counted = Patterns(sets, named), -1
        return self.patterns


def gather(
    connection: Connection, watch: Watch, past: Past, now: int, blind: Mapping[str, str]
) -> Evidence:
    """All that the rules look at."""
    sets = watch.watched.snapshot().sets
    settings, at = watch.settings.alerts, datetime.fromtimestamp(now, UTC)
    patterns = past.watching(sets, watch.settings.monitor.named)
    groups = _groups(connection, patterns, now)
    verdicts = judge(connection, patterns, groups, at)
    hours, heard = _hours(connection, past, now)
    return Evidence(
        now=now,
        settings=settings,
        sets=sets,
        groups=groups,
        holders=holders(connection, now),
        hours=hours,
        heard=tuple(sorted(heard)),
        accepted=verdicts.accepted,
        strange=verdicts.strange,
        issuers=verdicts.issuers,
        sighted=_sighted(connection, groups),
        vouched=verdicts.vouched,
        networks=_networks(
            connection, {digest for _, digest in verdicts.judged}, now, settings.networks
        ),
        spread=_spread(connection, now),
        share=patterns.share,
        roles=tuple(role for each in sets for role in roles_of(each, now)),
        own=Own(
            _disk(watch),
            failing(connection, now),
            blind,
            report_queue(connection, at),
            capacity(connection, at, watch.settings.thresholds.intake).full,
            sweeps(connection, at),
            repeat_window(connection, at, watch.settings.thresholds.intake),
        ),
    )


def holders(connection: Connection, now: int) -> tuple[Holders, ...]:
    """How many hold what: of today and yesterday, the day on which more told."""
    table = PRESENCES.c
    names = (table.pin_set, table.version, table.app, table.app_version)
    today = now - now % DAY
    rows = connection.execute(
        select(table.day, *names, func.sum(table.count))
        .where(table.day.in_((today, today - DAY)))
        .group_by(table.day, *names)
    )
    most: dict[tuple[str, int, str, str], int] = {}
    for _, *key, count in rows:
        most[tuple(key)] = max(most.get(tuple(key), 0), int(count))
    return tuple(Holders(*key, count) for key, count in sorted(most.items()))


def _groups(connection: Connection, patterns: Patterns, now: int) -> tuple[Group, ...]:
    """Of the hosts that are watched alone, the largest; and of each some, however large others are.

    Others would take their room.
    """
    table = REPORT_GROUPS.c
    counted = {"reports", "first_at"}
    names = [getattr(table, name) for name in Group._fields if name not in counted]
    total = func.sum(table.count)
    rows = connection.execute(
        select(*names, total, func.min(table.first_at))
        .where(table.hour > now - DAY, table.hour <= now)
        .group_by(*names)
        .order_by(total.desc())
    )
    kept: list[Group] = []
    own: Counter[str] = Counter()
    for row in rows:
        if not patterns.of(row.host):
            continue
        share = patterns.share(row.host)
        own[share] += 1
        if len(kept) < _MOST_GROUPS or own[share] <= _OWN_GROUPS:
            # PostgreSQL sums to a decimal number.
            kept.append(Group._make((*row[:-2], int(row[-2]), int(row[-1]))))
    return tuple(kept)


def _hours(connection: Connection, past: Past, now: int) -> tuple[Hours, frozenset[int]]:
    this = now - now % HOUR
    if past.counted != this:
        since = this - BACK - HOUR
        past.hours, past.heard = _counted(connection, past.patterns, since, this - HOUR)
        past.counted = this
    late, lately = _counted(connection, past.patterns, this - HOUR, this + HOUR)
    hosts = past.hours.keys() | late.keys()
    hours = {host: past.hours.get(host, {}) | late.get(host, {}) for host in hosts}
    return hours, past.heard | lately


def _counted(
    connection: Connection, patterns: Patterns, since: int, until: int
) -> tuple[Hours, frozenset[int]]:
    """Failures by host and hour, and the hours in which anything came; the end is left out."""
    table = REPORT_GROUPS.c
    rows = connection.execute(
        select(table.host, table.hour, func.sum(table.count))
        .where(table.hour >= since, table.hour < until)
        .group_by(table.host, table.hour)
    )
    hours: Hours = {}
    heard: set[int] = set()
    for host, hour, count in rows:
        heard.add(hour)
        if patterns.of(host):
            hours.setdefault(host, {})[hour] = int(count)
    return hours, frozenset(heard)


def _sighted(connection: Connection, groups: tuple[Group, ...]) -> frozenset[tuple[str, bytes]]:
    """The chains that some vantage saw at these hosts, whether it verified them or not."""
    hosts = sorted({each.host for each in groups})
    table = SIGHTINGS.c
    found: set[tuple[str, bytes]] = set()
    for at in range(0, len(hosts), 500):
        rows = connection.execute(
            select(table.host, table.served, table.verified)
            .where(
                table.host.in_(hosts[at : at + 500]),
                or_(table.served != b"", table.verified != b""),
            )
            .distinct()
        )
        for host, served, verified in rows:
            found |= {(host, served), (host, verified)}
    return frozenset(each for each in found if each[1])


def _networks(
    connection: Connection, chains: set[bytes], now: int, wanted: int
) -> dict[tuple[str, bytes], frozenset[str]]:
    """Who told of these chains today and yesterday, and of failures without a chain.

    So many of each: who tells much of one thing hides nobody who tells of another.
    """
    table = REPORT_NETWORKS.c
    told = (
        select(table.share, table.met, table.network)
        .where(table.day >= now - now % DAY - DAY, table.met.in_(sorted({b"", *chains})))
        .distinct()
        .subquery()
        .c
    )
    place = func.row_number().over(partition_by=(told.share, told.met), order_by=told.network)
    placed = select(told.share, told.met, told.network, place.label("place")).subquery().c
    rows = connection.execute(
        select(placed.share, placed.met, placed.network).where(
            placed.place <= max(_MOST_NETWORKS, wanted)
        )
    )
    found: dict[tuple[str, bytes], set[str]] = {}
    for share, met, network in rows:
        found.setdefault((share, bytes(met)), set()).add(network)
    return {key: frozenset(each) for key, each in found.items()}


def _spread(connection: Connection, now: int) -> dict[str, int]:
    """How many networks told anything of each part of what is watched."""
    table = REPORT_NETWORKS.c
    rows = connection.execute(
        select(table.share, func.count(table.network.distinct()))
        .where(table.day >= now - now % DAY - DAY)
        .group_by(table.share)
    )
    return {share: int(number) for share, number in rows}


def _disk(watch: Watch) -> float | None:
    """The free share of the disk of SQLite's file, in per cent; of PostgreSQL's nobody knows."""
    name = watch.store.engine.url.database
    if not watch.store.is_sqlite or not name or name == ":memory:":
        return None
    try:
        usage = shutil.disk_usage(Path(name).absolute().parent)
    except OSError:
        return None
    return 100 * usage.free / usage.total if usage.total else None
