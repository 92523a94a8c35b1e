"""The statements that every batch runs, each built once for each kind of database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import case, select

from certpin.watch.store import insert
from certpin.watch.store.tables.reports import PRESENCES, REPORT_GROUPS, REPORT_IDENTITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sqlalchemy import Column, Connection

PRESENCE_KEY = ("day", "pin_set", "version", "app", "app_version", "platform")
_PIECE = 500  # keys in one question


def _once(build: Callable[[Connection], Any]) -> Callable[[Connection], Any]:
    """Building takes longer than running: a statement names each of its columns."""
    built: dict[str, Any] = {}

    def statement(connection: Connection) -> Any:
        name = connection.dialect.name
        if name not in built:
            built[name] = build(connection)
        return built[name]

    return statement


@_once
def insert_identities(connection: Connection) -> Any:
    """Write identities down; the rows that come back are those that were not there."""
    statement = insert(connection, REPORT_IDENTITIES).on_conflict_do_nothing()
    return statement.returning(REPORT_IDENTITIES.c.identity)


@_once
def upsert_groups(connection: Connection) -> Any:
    """Count more in groups, and make those that are not there."""
    statement = insert(connection, REPORT_GROUPS)
    old, new = REPORT_GROUPS.c, statement.excluded
    return statement.on_conflict_do_update(
        index_elements=[old.key],
        set_={
            "count": old.count + new.count,
            "first_at": _either(old.first_at > new.first_at, new.first_at, old.first_at),
            "last_at": _either(old.last_at < new.last_at, new.last_at, old.last_at),
        },
    )


@_once
def upsert_presences(connection: Connection) -> Any:
    """Count more clients of a day."""
    statement = insert(connection, PRESENCES)
    return statement.on_conflict_do_update(
        index_elements=list(PRESENCE_KEY),
        set_={"count": PRESENCES.c.count + statement.excluded.count},
    )


def _either(condition: Any, one: Any, other: Any) -> Any:
    """SQLite and PostgreSQL have different names for the greater of two."""
    return case((condition, one), else_=other)


def existing(connection: Connection, column: Column[Any], keys: Iterable[bytes]) -> set[bytes]:
    """Those of the keys that are in the table."""
    return {
        bytes(key)
        for piece in pieces(keys)
        for key in connection.execute(select(column).where(column.in_(piece))).scalars()
    }


def pieces(keys: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The keys in order, so many at a time: a statement has room for only so many."""
    ordered = sorted(keys)
    for start in range(0, len(ordered), _PIECE):
        yield ordered[start : start + _PIECE]
