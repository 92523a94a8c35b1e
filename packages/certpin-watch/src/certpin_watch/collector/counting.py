"""Count a batch of reports in one transaction: each identity once, for as long as it is kept.

1. Identities are written down first; one that is there belongs to a repeat, which ends here. On
   PostgreSQL a late report has a second one, for when its day's partition is dropped.
2. Chains and certificates are stored once, by digest (``chains``).
3. What is new is counted in its group, and groups are folded where an hour is full (``grouping``).
4. The same is added to the sums of its day (``sums``).
5. A few samples of each group are kept.
6. It is noted from which networks each chain is told (``networks``).

Whoever brings something that is not there yet (a chain, a group, a sample) holds the budget before
he looks how much room there is, so that nobody else takes it meanwhile. What only counts more waits
for nobody. Rows are written in the order of their keys: two writers then wait for each other, and
never in a circle. All of it happens in the caller's transaction or not at all.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import astuple
from sqlalchemy import func, select

from certpin_watch.collector.chains import store_chains
from certpin_watch.collector.grouping import (
    CHAINS_LEFT_OUT,
    DAY,
    HOUR,
    Group,
    Room,
    Taken,
    every_fold,
    group_of,
    key_of,
    place,
)
from certpin_watch.collector.known import Hour, Known, by_hour
from certpin_watch.collector.networks import note_networks, origin
from certpin_watch.collector.presences import Space, count_presences
from certpin_watch.collector.received import Failure
from certpin_watch.collector.samples import keep_samples
from certpin_watch.collector.statements import (
    execute_many,
    existing,
    insert_identities,
    upsert_groups,
)
from certpin_watch.collector.sums import add_up, find_spots
from certpin_watch.store import quota
from certpin_watch.store.identities import FIRST_DATED, punctual_from, undated
from certpin_watch.store.tables.reports import REPORT_GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from certpin_watch.collector.chains import Digests
    from certpin_watch.collector.received import Holding, Received


@dataclass(frozen=True)
class Counted:
    """What a batch came to; ``hours`` is what is in the store once it is committed."""

    reports: int = 0
    repeats: int = 0
    folded: int = 0
    hours: Mapping[int, Hour] = field(default_factory=dict)


@dataclass(frozen=True)
class Rules:
    """How much is kept."""

    room: Room
    samples: int = 3
    most_samples: int = 10_000
    space: Space = field(default_factory=Space)


class New(NamedTuple):
    """A report that was not counted yet, and the body that it came in."""

    failure: Failure
    body: Received

    @property
    def hour(self) -> int:
        """The hour in which it came, by our clock."""
        return self.body.at - self.body.at % HOUR


def count(connection: Connection, batch: Sequence[Received], rules: Rules, known: Known) -> Counted:
    """Count what is new of it. Once the transaction is committed, ``known`` may learn the hours."""
    failures, holdings, repeats = _first_seen(connection, batch)
    found = by_hour()
    alike = _alike(failures)
    chains = store_chains(connection, [each[0] for each in alike], rules.room, known, found)
    members: dict[Group, list[New]] = defaultdict(list)
    for each in alike:
        members[_group(each[0], chains)] += each
    offered = any(each.body.sample for each in failures)
    if rules.samples and offered:
        quota.lock_usage(connection)
    placed = _places(connection, list(members), rules.room, known)
    spots = _spots(connection, dict(placed.values()), rules.room, known)
    _count_groups(connection, members, placed, spots)
    _note(connection, members, rules.room, known, found)
    if offered:
        keep_samples(connection, _samples(members, placed), rules)
    count_presences(connection, holdings, rules.space)
    for key, group in placed.values():
        found[group.hour].groups[key] = spots[key]
    folded = sum(len(members[each]) for each, (_, group) in placed.items() if group.folded)
    return Counted(len(failures) + len(holdings), repeats, folded, found)


def _alike(failures: Iterable[New]) -> list[list[New]]:
    """Put those together that say the same in the same hour: most of a batch does."""
    found: dict[tuple[Any, ...], list[New]] = defaultdict(list)
    for each in failures:
        # All fields but the identities, which are the first and the last.
        found[each.hour, *astuple(each.failure)[1:-1]].append(each)
    return list(found.values())


def _samples(
    members: Mapping[Group, Sequence[New]], placed: Mapping[Group, tuple[bytes, Group]]
) -> list[tuple[bytes, New]]:
    """Return those that came with a sample, with the keys of their groups."""
    pairs = ((placed[group][0], each) for group, new in members.items() for each in new)
    return [(key, each) for key, each in pairs if each.body.sample]


def _first_seen(
    connection: Connection, batch: Sequence[Received]
) -> tuple[list[New], list[tuple[Holding, int]], int]:
    """Reports that are new, presences that are new with their moment, and the number of repeats."""
    bodies = [(each, body) for body in batch for each in body.told]
    owners: dict[bytes, int] = {}  # of each identity, who had it first in this batch
    again = set()
    punctual = FIRST_DATED  # SQLite: no report is late, since rows go by the time of arrival
    if connection.dialect.name != "sqlite":
        punctual = punctual_from(max((body.at for body in batch), default=0))
    for number, (each, _) in enumerate(bodies):
        first = owners.setdefault(each.identity, number)
        second = owners.setdefault(each.also, number) if each.also else number
        if first != number or second != number:
            again.add(number)
        if FIRST_DATED <= each.identity < punctual:
            for key in filter(None, (each.identity, each.also)):
                if owners.setdefault(undated(key), number) != number:
                    again.add(number)
    if not bodies:
        return [], [], 0
    rows = [(key, bodies[owners[key]][1].at) for key in sorted(owners)]
    there = owners.keys() - insert_identities(connection, rows)
    again.update([owners[key] for key in there])
    new = [pair for number, pair in enumerate(bodies) if number not in again]
    failures = [New(each, body) for each, body in new if isinstance(each, Failure)]
    holdings = [(each, body.at) for each, body in new if not isinstance(each, Failure)]
    return failures, holdings, len(bodies) - len(new)


def _group(new: New, chains: Digests) -> Group:
    served, verified = chains[new.failure.served], chains[new.failure.verified]
    group = group_of(new.failure, new.body.at, served or b"", verified or b"")
    left_out = served is None or verified is None
    return group._replace(folded=CHAINS_LEFT_OUT) if left_out else group


def _places(
    connection: Connection, groups: Sequence[Group], room: Room, known: Known
) -> dict[Group, tuple[bytes, Group]]:
    """Key and group for each; the store is asked about those that are not known."""
    placed: dict[Group, tuple[bytes, Group]] = {}
    strange: dict[int, list[Group]] = defaultdict(list)
    for group in groups:
        key = key_of(group)
        if key in known.of(group.hour).groups:
            placed[group] = key, group
        else:
            strange[group.hour].append(group)
    if strange:
        quota.lock_usage(connection)
    for hour, unknown in strange.items():
        taken = _taken(connection, hour)
        rooms = ((taken.hour, room.groups), (taken.day, room.groups_a_day))
        full = any(count + len(unknown) > most // 4 for count, most in rooms)
        if full:
            taken.shares = _shares(connection, hour, room)
        asked = every_fold(unknown, room) if full else {key_of(group) for group in unknown}
        there = existing(connection, REPORT_GROUPS.c.key, asked)
        placed |= place(unknown, there, taken, room)
    return placed


def _taken(connection: Connection, hour: int) -> Taken:
    """How many groups this hour has, and its day."""
    table, day = REPORT_GROUPS.c, hour - hour % DAY
    counts = select(func.count()).select_from(REPORT_GROUPS)
    in_day = counts.where(table.hour >= day, table.hour < day + DAY)
    return Taken(
        connection.execute(counts.where(table.hour == hour)).scalar_one(),
        connection.execute(in_day).scalar_one(),
    )


def _shares(connection: Connection, hour: int, room: Room) -> Counter[str]:
    """How many of them each part of what is watched has."""
    table = REPORT_GROUPS.c
    rows = select(table.host, func.count()).where(table.hour == hour).group_by(table.host)
    found: Counter[str] = Counter()
    for host, number in connection.execute(rows):
        found[room.share(host)] += number
    return found


def _note(
    connection: Connection,
    members: Mapping[Group, Sequence[New]],
    room: Room,
    known: Known,
    found: Mapping[int, Hour],
) -> None:
    """From where each chain is told; of one that is not kept, that something failed."""
    new = set()
    for group, reports in members.items():
        met = group.verified or group.served
        before, told = known.of(group.hour).told, found[group.hour].told
        share = room.share(group.host)
        for _, body in reports:
            mark = hash((body.source, group.host, met))
            if mark not in before and mark not in told:
                told.add(mark)
                new.add(origin(body.at, body.source, share, met))
    note_networks(connection, new)


def _spots(
    connection: Connection, groups: Mapping[bytes, Group], room: Room, known: Known
) -> dict[bytes, tuple[int, int]]:
    """Where each group is added up; the store is asked about those that are not known."""
    hours = {key: known.of(group.hour).groups for key, group in groups.items()}
    found = {key: hour[key] for key, hour in hours.items() if key in hour}
    strange = {key: group for key, group in groups.items() if key not in found}
    return found | find_spots(connection, strange, room) if strange else found


def _count_groups(
    connection: Connection,
    members: Mapping[Group, Sequence[New]],
    placed: Mapping[Group, tuple[bytes, Group]],
    spots: Mapping[bytes, tuple[int, int]],
) -> None:
    rows: dict[bytes, dict[str, Any]] = {}
    for each, (key, group) in placed.items():
        moments = [body.at for _, body in members[each]]
        counts = {"count": len(moments), "first_at": min(moments), "last_at": max(moments)}
        if (row := rows.get(key)) is None:
            rows[key] = {**group._asdict(), "key": key, **counts}
        else:
            row["count"] += counts["count"]
            row["first_at"] = min(row["first_at"], counts["first_at"])
            row["last_at"] = max(row["last_at"], counts["last_at"])
    if rows:
        execute_many(connection, upsert_groups, [rows[key] for key in sorted(rows)])
        add_up(connection, rows, spots)
