"""What probes saw, in the store: a row goes on while the same is seen, and ends with a change.

An answer is counted once, however often it arrives: each is for a moment that was planned, and
what is not newer than what is known is left out. So a result that a broker brings twice is one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, delete, select, text, update

from certpin_watch.monitor.debounce import CONFIRMED
from certpin_watch.store import quota
from certpin_watch.store.chains import insert_observed_chains, lock_chain_inserts
from certpin_watch.store.engine import insert
from certpin_watch.store.tables.probes import LATEST, SIGHTINGS, VANTAGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from sqlalchemy import Connection

    from certpin_watch.monitor.results import Result, Seen

    Key = tuple[str, int, str, str]  # host, port, way, vantage

_AT_ONCE = 500  # values in a statement
# Whoever writes holds this lock of PostgreSQL's: a number that nobody else has by chance.
_TURN = int.from_bytes(hashlib.sha256(b"certpin watch sightings").digest()[:8], signed=True)
_SAME = ("outcome", "served", "verified", "tls", "problem", "code")

_GO_ON = (
    update(SIGHTINGS)
    .where(SIGHTINGS.c.id == bindparam("row"))
    .values(
        address=bindparam("now_at"),
        first_at=bindparam("since"),
        last_at=bindparam("moment"),
        slot=bindparam("planned"),
        took=bindparam("lasted"),
        count=SIGHTINGS.c.count + 1,
    )
)
_END = update(SIGHTINGS).where(SIGHTINGS.c.id == bindparam("row")).values(latest=False)


@dataclass(frozen=True, slots=True)
class Known:
    """What came of a target at a vantage.

    ``slot`` is the moment for which it was last asked, ``at`` when that was, ``count`` how often in
    a row the answer was the same, ``changes`` how many answers before it nobody saw twice.
    """

    slot: int
    at: int
    count: int = CONFIRMED
    changes: int = 0
    unreachable: bool = False


@dataclass
class Changes:
    """What a batch of results does to the rows."""

    new: list[dict[str, Any]]
    going_on: list[dict[str, Any]]
    ended: list[dict[str, Any]]


def keep_results(connection: Connection, results: Sequence[Result], now: datetime) -> int:
    """Write down what was seen, with its chains. Returns how many results were new."""
    if connection.dialect.name != "sqlite":
        # Several services write down what one target's workers saw: with each other's rows before
        # their eyes, one after the other, or both would begin the row that goes on. (A lock of the
        # table would end each vacuum of it.)
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _TURN})
    newest: dict[Key, list[Result]] = {}
    for result in sorted(results, key=lambda each: each.slot):  # two of one target: in order
        newest.setdefault(_key(result), []).append(result)
    rounds = max(map(len, newest.values()), default=0)
    if rounds > 1:  # one, as a rule; the second would take the budget after rows of the first
        lock_chain_inserts(connection)
        quota.lock_usage(connection)
    kept = 0
    for at in range(rounds):
        kept += _keep(connection, [each[at] for each in newest.values() if len(each) > at], now)
    return kept


def _keep(connection: Connection, results: list[Result], now: datetime) -> int:
    moment = int(now.timestamp())
    rows = _latest(connection, results)
    fresh = [each for each in results if _is_new(each, rows.get(_key(each), {}), moment)]
    pairs = [(result, seen) for result in fresh for seen in result.seen]
    # At once: who keeps chains twice in a transaction would take the budget too late (`keeping`).
    each_way = [r.chain(one) for r, seen in pairs for one in (seen.served, seen.verified)]
    digests = insert_observed_chains(connection, each_way, now)
    changes = Changes([], [], [])
    gone = {_key(result): _gone(result, rows.get(_key(result), {})) for result in fresh}
    changes.ended.extend({"row": row["id"]} for each in gone.values() for row in each)
    for (result, seen), *chains in zip(pairs, digests[::2], digests[1::2], strict=True):
        row = rows.get(_key(result), {}).get(seen.edge)
        before = [row] if row else gone[_key(result)]
        values = _values(result, seen, chains, moment)
        _compare(changes, row, values | {"changes": _changes(before)}, moment)
    _write(connection, changes)
    _hear(connection, {each.vantage for each in fresh}, moment)
    return len(fresh)


def _gone(result: Result, rows: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of addresses that the name does not lead to any more."""
    there = {seen.edge for seen in result.seen}
    return [row for edge, row in rows.items() if edge not in there]


def _changes(before: list[dict[str, Any]]) -> int:
    """How many rows in a row ended too soon, if these end now."""
    return max((row["changes"] + 1 for row in before if row["count"] < CONFIRMED), default=0)


def _compare(
    changes: Changes, row: dict[str, Any] | None, values: dict[str, Any], now: int
) -> None:
    if row is not None and all(row[name] == values[name] for name in _SAME):
        changes.going_on.append(
            {
                "row": row["id"],
                "now_at": values["address"],
                # One that began in the future did so by a clock that ran ahead.
                "since": min(row["first_at"], now),
                "moment": max(values["last_at"], min(row["first_at"], now)),
                "planned": values["slot"],
                "lasted": values["took"],
            }
        )
        return
    if row is not None:
        changes.ended.append({"row": row["id"]})
    changes.new.append(values)


def _write(connection: Connection, changes: Changes) -> None:
    if changes.going_on:
        connection.execute(_GO_ON, changes.going_on)
    if changes.ended:
        connection.execute(_END, changes.ended)
    if changes.new:
        connection.execute(insert(connection, SIGHTINGS), changes.new)


def _values(result: Result, seen: Seen, chains: list[bytes], moment: int) -> dict[str, Any]:
    # Another machine's clock may be wrong: it was asked after it was planned, and before now.
    at = min(max(result.at, result.slot), moment)
    return {
        "host": result.host,
        "port": result.port,
        "vantage": result.vantage,
        "way": result.way,
        "edge": seen.edge,
        "address": seen.address,
        "outcome": seen.outcome,
        "served": chains[0],
        "verified": chains[1],
        "tls": seen.tls,
        "problem": seen.problem,
        "code": seen.code,
        "took": seen.took,
        "first_at": at,
        "last_at": at,
        "slot": result.slot,
        "count": 1,
        "latest": True,
    }


def _is_new(result: Result, rows: dict[str, dict[str, Any]], now: int) -> bool:
    """Whether it is for a later moment than what is known; what is known of the future does not
    count, since the clock was set back, and a result for the future is nobody's.
    """
    if result.slot > now:
        return False
    return all(row["slot"] < result.slot or row["slot"] > now for row in rows.values())


def _latest(connection: Connection, results: list[Result]) -> dict[Key, dict[str, dict[str, Any]]]:
    """The rows that go on, by target and edge."""
    found: dict[Key, dict[str, dict[str, Any]]] = {}
    hosts = sorted({result.host for result in results})
    for at in range(0, len(hosts), _AT_ONCE):
        chosen = and_(LATEST, SIGHTINGS.c.host.in_(hosts[at : at + _AT_ONCE]))
        for row in connection.execute(select(SIGHTINGS).where(chosen)).mappings():
            key = (row["host"], row["port"], row["way"], row["vantage"])
            found.setdefault(key, {})[row["edge"]] = dict(row)
    return found


def known(connection: Connection, vantage: str) -> dict[Key, Known]:
    """Return the last probe of each target that was ever asked from a vantage, for the schedule.

    Of a name with several addresses, the one that has to be asked again soonest counts.
    """
    table = SIGHTINGS.c
    columns = (table.host, table.port, table.way, table.vantage)
    more = (table.slot, table.last_at, table.count, table.changes, table.outcome)
    found: dict[Key, Known] = {}
    for *key, slot, at, count, changes, outcome in connection.execute(
        select(*columns, *more).where(LATEST, table.vantage == vantage)
    ):
        new = Known(slot, at, count, changes, unreachable=outcome == "unreachable")
        target: Any = tuple(key)
        before = found.get(target)
        found[target] = new if before is None else _sooner(before, new)
    return found


def end_others(connection: Connection, probed: AbstractSet[Key]) -> None:
    """End the rows of targets that are not probed any more, and forget such locations.

    A server, a location or a trust anchor was taken out of the settings or the pin file. Its last
    answer is history then: pages must not judge the host by it, nor call the location silent.

    Args:
        connection: a transaction that holds the monitor's lease.
        probed: every target that is probed now, once for each location.
    """
    table = SIGHTINGS.c
    chosen = select(table.id, table.host, table.port, table.way, table.vantage).where(LATEST)
    ended = [{"row": row.id} for row in connection.execute(chosen) if tuple(row[1:]) not in probed]
    if ended:
        connection.execute(_END, ended)
    names = {vantage for *_, vantage in probed}
    connection.execute(delete(VANTAGES).where(VANTAGES.c.name.not_in(names)))


def _sooner(one: Known, other: Known) -> Known:
    return Known(
        max(one.slot, other.slot),
        max(one.at, other.at),
        min(one.count, other.count),
        max(one.changes, other.changes),
        unreachable=one.unreachable and other.unreachable,
    )


def asking(connection: Connection, vantages: Iterable[str], now: datetime, gap: int) -> None:
    """Note that these vantages are asked. After more than ``gap`` seconds in which nobody was,
    their silence begins anew.
    """
    moment = int(now.timestamp())
    rows = connection.execute(select(VANTAGES.c.name, VANTAGES.c.asked_at))
    asked = {row.name: row.asked_at for row in rows}
    for name in sorted(set(vantages)):
        values: dict[str, Any] = {"asked_at": moment}
        if not 0 <= moment - asked.get(name, -1) <= gap:
            values["since"] = moment
        statement = insert(connection, VANTAGES).values(name=name, **{"since": moment} | values)
        connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))


def _hear(connection: Connection, vantages: set[str], moment: int) -> None:
    for name in sorted(vantages):
        chosen = VANTAGES.c.name == name
        connection.execute(update(VANTAGES).where(chosen).values(heard_at=moment))


def _key(result: Result) -> Key:
    return result.host, result.port, result.way, result.vantage
