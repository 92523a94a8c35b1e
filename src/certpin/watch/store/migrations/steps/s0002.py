"""Add up by day what was counted in groups before there were sums."""

from __future__ import annotations

from collections import defaultdict
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import column, func, select, table
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Connection

_DAY = 86_400
_AT_ONCE = 500  # sums that are written together, and all of which is in memory

_SAID = (
    "pin_set", "version", "app", "app_version", "platform", "network", "kind", "decision", "reason",
)  # fmt: skip
_MET = ("host", "served")
_COUNTED = ("count", "first_at", "last_at")


def _table(name: str, *names: str) -> Any:
    return table(name, *map(column, names))


_GROUPS = _table("report_groups", "hour", *_MET, *_SAID, *_COUNTED)
_TRAITS = _table("report_traits", "id", "key", "seen", *_SAID)
_PLACES = _table("report_places", "id", "seen", *_MET)
_DAY_TRAITS = _table("day_traits", "day", "trait", "count")
_DAY_PLACES = _table("day_places", "place", "day", "trait", *_COUNTED)


def after(connection: Connection) -> None:
    """Fill the empty tables, one day behind the other: a day's groups are sorted at once."""
    for day in _days(connection):
        for rows in _groups(connection, day):
            _add_up(connection, day, rows)


def _days(connection: Connection) -> Iterator[int]:
    """The days that have groups, the first one first."""
    day = -_DAY
    while True:
        next_one = select(func.min(_GROUPS.c.hour)).where(_GROUPS.c.hour >= day + _DAY)
        hour = connection.execute(next_one).scalar()
        if hour is None:
            return
        day = hour - hour % _DAY
        yield day


def _groups(connection: Connection, day: int) -> Iterator[Any]:
    """What the groups of a day come to, a few at a time."""
    columns = _GROUPS.c
    by = [columns[name] for name in (*_MET, *_SAID)]
    statement = (
        select(
            *by,
            func.sum(columns.count).label("count"),
            func.min(columns.first_at).label("first_at"),
            func.max(columns.last_at).label("last_at"),
        )
        .where(columns.hour >= day, columns.hour < day + _DAY)
        .group_by(*by)
    )
    found = connection.execute(statement, execution_options={"yield_per": _AT_ONCE})
    yield from found.partitions()


def _add_up(connection: Connection, day: int, rows: Any) -> None:
    said = [tuple(row._mapping[name] for name in _SAID) for row in rows]
    met = [(row.host, bytes(row.served)) for row in rows]
    traits, places = _traits(connection, day, said), _places(connection, day, met)
    by_trait: dict[int, int] = defaultdict(int)
    by_place = []
    for row, trait, place in zip(rows, said, met, strict=True):
        count = int(row._mapping["count"])
        by_trait[traits[trait]] += count
        found = {"place": places[place], "day": day, "trait": traits[trait], "count": count}
        by_place.append({**found, "first_at": row.first_at, "last_at": row.last_at})
    connection.execute(_DAY_PLACES.insert(), by_place)
    insert = _insert(connection, _DAY_TRAITS)
    more = {"count": _DAY_TRAITS.c.count + insert.excluded.count}
    connection.execute(
        insert.on_conflict_do_update(index_elements=["day", "trait"], set_=more),
        [{"day": day, "trait": trait, "count": count} for trait, count in by_trait.items()],
    )


def _traits(
    connection: Connection, day: int, said: Iterable[tuple[Any, ...]]
) -> dict[tuple[Any, ...], int]:
    keys = {sha256(msgspec.msgpack.encode(each)).digest(): each for each in said}
    insert = _insert(connection, _TRAITS)
    statement = insert.on_conflict_do_update(
        index_elements=["key"], set_={"seen": insert.excluded.seen}
    ).returning(_TRAITS.c.id, _TRAITS.c.key)
    rows = [
        {"key": key, "seen": day, **dict(zip(_SAID, each, strict=True))}
        for key, each in keys.items()
    ]
    return {keys[bytes(row.key)]: row.id for row in connection.execute(statement, rows)}


def _places(
    connection: Connection, day: int, met: Iterable[tuple[str, bytes]]
) -> dict[tuple[str, bytes], int]:
    insert = _insert(connection, _PLACES)
    statement = insert.on_conflict_do_update(
        index_elements=["host", "served"], set_={"seen": insert.excluded.seen}
    ).returning(_PLACES.c.id, _PLACES.c.host, _PLACES.c.served)
    rows = [{"host": host, "served": served, "seen": day} for host, served in set(met)]
    return {(row.host, bytes(row.served)): row.id for row in connection.execute(statement, rows)}


def _insert(connection: Connection, into: Any) -> Any:
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(into)
