"""Count a batch of reports in one transaction: each identity once, for ever.

1. Identities are written down first; one that is there already belongs to a repeat, which ends here.
2. Chains and certificates are stored once, by digest.
3. What is new is counted in its group, and groups are folded where an hour is full (``grouping``).
4. A few samples of each group are kept.

Rows are written in the order of their keys: two writers then wait for each other, and never in a
circle. All of it happens in the caller's transaction or not at all.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import func, select

from certpin.watch.collector.grouping import (
    CHAINS_LEFT_OUT,
    DAY,
    HOUR,
    NO_CHAIN,
    Chain,
    Group,
    Room,
    chain_of,
    every_fold,
    group_of,
    key_of,
    place,
)
from certpin.watch.collector.received import Failure
from certpin.watch.collector.statements import (
    PRESENCE_KEY,
    insert_identities,
    upsert_groups,
    upsert_presences,
)
from certpin.watch.store import insert
from certpin.watch.store.tables.chains import CERTIFICATES, CHAINS
from certpin.watch.store.tables.reports import (
    REPORT_GROUPS,
    REPORT_SAMPLES,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Column, Connection

    from certpin.watch.collector.received import Holding, Received

_HOURS = 3  # that are remembered: this one, and those of reports that waited in a stream
_PIECE = 500  # keys in one question


@dataclass
class _Hour:
    groups: set[bytes] = field(default_factory=set)
    chains: set[bytes] = field(default_factory=set)


class Known:
    """What this process knows to be in the store: keys of groups, digests of chains, by hour.

    It saves questions, and is never more than an hour's room. ``learn`` is for after the commit.
    """

    def __init__(self) -> None:
        self._hours: OrderedDict[int, _Hour] = OrderedDict()

    def of(self, hour: int) -> _Hour:
        """What is known of an hour."""
        if hour not in self._hours:
            self._hours[hour] = _Hour()
            if len(self._hours) > _HOURS:
                self._hours.popitem(last=False)
        return self._hours[hour]

    def learn(self, counted: Counted) -> None:
        """Remember what is committed."""
        for hour, groups in counted.groups.items():
            self.of(hour).groups |= groups
        for hour, chains in counted.chains.items():
            self.of(hour).chains |= chains


@dataclass(frozen=True)
class Counted:
    """What a batch came to. ``groups`` and ``chains`` are in the store, by hour."""

    reports: int = 0
    repeats: int = 0
    folded: int = 0
    groups: dict[int, set[bytes]] = field(default_factory=dict)
    chains: dict[int, set[bytes]] = field(default_factory=dict)


@dataclass(frozen=True)
class Rules:
    """How much is kept."""

    room: Room
    samples: int = 3
    most_samples: int = 10_000


class _New(NamedTuple):
    """A report that was not counted yet, and the body that it came in."""

    failure: Failure
    body: Received


def count(
    connection: Connection, batch: Sequence[Received], rules: Rules, known: Known
) -> Counted:
    """Count what is new of it. Once the transaction is committed, ``known`` may learn the result."""
    failures, holdings, repeats = _first_seen(connection, batch)
    chains, stored = _chains(connection, failures, rules.room, known)
    groups = [_group(each, chains) for each in failures]
    placed = _places(connection, groups, rules.room, known)
    _upsert_groups(connection, failures, [placed[group] for group in groups])
    _keep_samples(connection, failures, [placed[group][0] for group in groups], rules)
    _upsert_presences(connection, holdings)
    by_hour: dict[int, set[bytes]] = defaultdict(set)
    for key, group in placed.values():
        by_hour[group.hour].add(key)
    return Counted(
        len(failures) + len(holdings),
        repeats,
        sum(placed[group][1].folded > 0 for group in groups),
        by_hour,
        stored,
    )


def _first_seen(
    connection: Connection, batch: Sequence[Received]
) -> tuple[list[_New], list[tuple[Holding, int]], int]:
    bodies: dict[bytes, tuple[Failure | Holding, Received]] = {}
    total = 0
    for body in batch:
        total += len(body.told)
        for each in body.told:
            bodies.setdefault(each.identity, (each, body))
    if not bodies:
        return [], [], 0
    rows = [{"identity": key, "received_at": bodies[key][1].at} for key in sorted(bodies)]
    found = connection.execute(insert_identities(connection), rows)
    new = [bodies[bytes(key)] for key in found.scalars()]
    failures = [_New(each, body) for each, body in new if isinstance(each, Failure)]
    holdings = [(each, body.at) for each, body in new if not isinstance(each, Failure)]
    return failures, holdings, total - len(new)


def _chains(
    connection: Connection, failures: Sequence[_New], room: Room, known: Known
) -> tuple[dict[tuple[bytes, ...], Chain | None], dict[int, set[bytes]]]:
    """The chain for each list of certificates, ``None`` where there was no room for it."""
    found: dict[tuple[bytes, ...], Chain | None] = {(): NO_CHAIN}
    stored: dict[int, set[bytes]] = defaultdict(set)
    strange: dict[bytes, tuple[Chain, _New]] = {}
    for new in failures:
        hour = new.body.at - new.body.at % HOUR
        for certificates in (new.failure.served, new.failure.verified):
            if certificates not in found:
                chain = found[certificates] = chain_of(certificates)
                if chain.digest in known.of(hour).chains:
                    stored[hour].add(chain.digest)
                else:
                    strange[chain.digest] = chain, new
    if strange:
        refused = _store_chains(connection, strange, room)
        for certificates, chain_found in list(found.items()):
            if chain_found is not None and chain_found.digest in refused:
                found[certificates] = None
        for digest, (_, new) in strange.items():
            if digest not in refused:
                stored[new.body.at - new.body.at % HOUR].add(digest)
    return found, stored


def _store_chains(
    connection: Connection, strange: dict[bytes, tuple[Chain, _New]], room: Room
) -> set[bytes]:
    """Store those that are not there, as far as there is room; returns the others."""
    there = _existing(connection, CHAINS.c.digest, strange)
    absent = [strange[digest] for digest in sorted(strange.keys() - there)]
    refused: set[bytes] = set()
    if not absent:
        return refused
    at = max(new.body.at for _, new in absent)
    since = select(func.count()).where(CHAINS.c.first_at > at - HOUR)
    count = connection.execute(since).scalar_one()
    kept: list[tuple[Chain, _New]] = []
    for chain, new in absent:
        if count + len(kept) < room.of(room.chains, new.failure.host):
            kept.append((chain, new))
        else:
            refused.add(chain.digest)
    _insert_chains(connection, kept)
    return refused


def _insert_chains(connection: Connection, kept: Sequence[tuple[Chain, _New]]) -> None:
    ders = {
        chain.members[place : place + 32]: der
        for chain, _ in kept
        for place, der in zip(range(0, len(chain.members), 32), chain.certificates, strict=True)
    }
    if kept:
        connection.execute(
            insert(connection, CERTIFICATES).on_conflict_do_nothing(),
            [{"sha256": digest, "der": ders[digest]} for digest in sorted(ders)],
        )
        connection.execute(
            insert(connection, CHAINS).on_conflict_do_nothing(),
            [
                {"digest": chain.digest, "members": chain.members, "first_at": new.body.at}
                for chain, new in kept
            ],
        )


def _group(new: _New, chains: dict[tuple[bytes, ...], Chain | None]) -> Group:
    served, verified = chains[new.failure.served], chains[new.failure.verified]
    group = group_of(
        new.failure,
        new.body.at,
        served.digest if served else b"",
        verified.digest if verified else b"",
    )
    left_out = served is None or verified is None
    return group._replace(folded=CHAINS_LEFT_OUT) if left_out else group


def _places(
    connection: Connection, groups: Sequence[Group], room: Room, known: Known
) -> dict[Group, tuple[bytes, Group]]:
    placed: dict[Group, tuple[bytes, Group]] = {}
    by_hour: dict[int, list[Group]] = defaultdict(list)
    for group in dict.fromkeys(groups):
        key = key_of(group)
        if key in known.of(group.hour).groups:
            placed[group] = key, group
        else:
            by_hour[group.hour].append(group)
    for hour, strange in by_hour.items():
        in_hour = select(func.count()).where(REPORT_GROUPS.c.hour == hour)
        count = connection.execute(in_hour).scalar_one()
        full = count + len(strange) > room.groups // 4
        asked = every_fold(strange) if full else {key_of(group) for group in strange}
        there = _existing(connection, REPORT_GROUPS.c.key, asked)
        placed |= place(strange, there, count, room)
    return placed


def _upsert_groups(
    connection: Connection, failures: Sequence[_New], placed: Sequence[tuple[bytes, Group]]
) -> None:
    rows: dict[bytes, dict[str, Any]] = {}
    for new, (key, group) in zip(failures, placed, strict=True):
        at = new.body.at
        if (row := rows.get(key)) is None:
            rows[key] = {**group._asdict(), "key": key, "count": 1, "first_at": at, "last_at": at}
        else:
            row["count"] += 1
            row["first_at"] = min(row["first_at"], at)
            row["last_at"] = max(row["last_at"], at)
    if rows:
        connection.execute(upsert_groups(connection), [rows[key] for key in sorted(rows)])


def _keep_samples(
    connection: Connection, failures: Sequence[_New], keys: Sequence[bytes], rules: Rules
) -> None:
    offered = [
        (key, new)
        for key, new in zip(keys, failures, strict=True)
        if new.body.sample and rules.samples
    ]
    if not offered:
        return
    samples = REPORT_SAMPLES.c
    total = connection.execute(select(func.count()).select_from(REPORT_SAMPLES)).scalar_one()
    held: Counter[bytes] = Counter()
    for piece in _pieces({key for key, _ in offered}):
        by_key = select(samples.key, func.count()).where(samples.key.in_(piece))
        held.update({bytes(key): n for key, n in connection.execute(by_key.group_by(samples.key))})
    rows = []
    for key, new in offered:
        most = rules.room.of(rules.most_samples, new.failure.host)
        if held[key] < rules.samples and total + len(rows) < most:
            held[key] += 1
            rows.append(_sample(key, new.body))
    if rows:
        connection.execute(insert(connection, REPORT_SAMPLES), rows)


def _sample(key: bytes, body: Received) -> dict[str, Any]:
    return {"key": key, "received_at": body.at, "source": body.source, "body": body.sample}


def _upsert_presences(connection: Connection, holdings: Iterable[tuple[Holding, int]]) -> None:
    counts = Counter(
        (at - at % DAY, each.pin_set, each.version, each.app, each.app_version, each.platform)
        for each, at in holdings
    )
    if not counts:
        return
    rows = [
        {**dict(zip(PRESENCE_KEY, values, strict=True)), "count": n}
        for values, n in sorted(counts.items())
    ]
    connection.execute(upsert_presences(connection), rows)


def _existing(connection: Connection, column: Column[bytes], keys: Iterable[bytes]) -> set[bytes]:
    """Those of the keys that are in the table."""
    return {
        bytes(key)
        for piece in _pieces(keys)
        for key in connection.execute(select(column).where(column.in_(piece))).scalars()
    }


def _pieces(keys: Iterable[bytes]) -> Iterator[list[bytes]]:
    ordered = sorted(keys)
    for start in range(0, len(ordered), _PIECE):
        yield ordered[start : start + _PIECE]
