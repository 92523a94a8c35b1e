"""The statements that every batch runs, each built once for each kind of database."""

from __future__ import annotations

from functools import cache, wraps
from itertools import chain
from typing import TYPE_CHECKING, Any

from sqlalchemy import case, select

from certpin_watch.store import insert
from certpin_watch.store.tables.reports import (
    DAY_PLACES,
    DAY_TRAITS,
    PRESENCES,
    REPORT_GROUPS,
    REPORT_PLACES,
    REPORT_TRAITS,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sqlalchemy import Column, Connection

PRESENCE_KEY = ("day", "pin_set", "version", "app", "app_version", "platform")
_PIECE = 500  # keys in one question
_MOST_ROWS = 256  # identities in one statement
_COMPILED: dict[tuple[str, str], Any] = {}


def _once(build: Callable[[Connection], Any]) -> Callable[[Connection], Any]:
    """Building takes longer than running: a statement names each of its columns."""
    built: dict[str, Any] = {}

    @wraps(build)
    def statement(connection: Connection) -> Any:
        name = connection.dialect.name
        if name not in built:
            built[name] = build(connection)
        return built[name]

    return statement


def execute_many(
    connection: Connection, build: Callable[[Connection], Any], rows: Sequence[dict[str, Any]]
) -> None:
    """Run one statement for each row, as the driver does: each batch runs these, and SQLAlchemy's
    own way takes as long as the rows themselves.
    """
    name = (build.__name__, connection.dialect.name)
    if name not in _COMPILED:
        # The columns of the rows, and no others: what numbers itself is not given.
        _COMPILED[name] = build(connection).compile(
            dialect=connection.dialect, column_keys=list(rows[0])
        )
    compiled = _COMPILED[name]
    order = compiled.positiontup
    given: Any = [tuple(row[each] for each in order) for row in rows] if order else list(rows)
    connection.exec_driver_sql(compiled.string, given)


def insert_identities(connection: Connection, rows: Sequence[tuple[bytes, int]]) -> set[bytes]:
    """Write identities down, each with when it came; return those that were not there.

    Rows go in by powers of two, so that there are few statements, which the driver remembers.
    """
    new: set[bytes] = set()
    start = 0
    while start < len(rows):
        size = min(_MOST_ROWS, 1 << (len(rows) - start).bit_length() - 1)
        sql = _identities_sql(connection.dialect.name, size)
        given = tuple(chain.from_iterable(rows[start : start + size]))
        new.update([bytes(key) for (key,) in connection.exec_driver_sql(sql, given).all()])
        start += size
    return new


@cache
def _identities_sql(dialect: str, rows: int) -> str:
    row = "(?, ?)" if dialect == "sqlite" else "(%s, %s)"
    return (
        "INSERT INTO report_identities (identity, received_at) VALUES "  # noqa: S608  # no value
        + ", ".join([row] * rows)
        + " ON CONFLICT DO NOTHING RETURNING identity"
    )


@_once
def upsert_groups(connection: Connection) -> Any:
    """Count more in groups, and make those that are not there."""
    statement = insert(connection, REPORT_GROUPS)
    old, new = REPORT_GROUPS.c, statement.excluded
    return statement.on_conflict_do_update(index_elements=[old.key], set_=_counted(old, new))


@_once
def upsert_traits(connection: Connection) -> Any:
    """Write down what reports say of themselves; the number of each comes back, new or not."""
    statement = insert(connection, REPORT_TRAITS)
    old, new = REPORT_TRAITS.c, statement.excluded
    seen = {"seen": _either(old.seen < new.seen, new.seen, old.seen)}
    return statement.on_conflict_do_update(index_elements=[old.key], set_=seen).returning(
        old.id, old.key
    )


@_once
def upsert_places(connection: Connection) -> Any:
    """The same for where they met what."""
    statement = insert(connection, REPORT_PLACES)
    old, new = REPORT_PLACES.c, statement.excluded
    seen = {"seen": _either(old.seen < new.seen, new.seen, old.seen)}
    return statement.on_conflict_do_update(
        index_elements=[old.host, old.served], set_=seen
    ).returning(old.id, old.host, old.served)


@_once
def upsert_day_traits(connection: Connection) -> Any:
    """Add to the sums of a day."""
    statement = insert(connection, DAY_TRAITS)
    return statement.on_conflict_do_update(
        index_elements=["day", "trait"],
        set_={"count": DAY_TRAITS.c.count + statement.excluded.count},
    )


@_once
def upsert_day_places(connection: Connection) -> Any:
    """Add to those of a place."""
    statement = insert(connection, DAY_PLACES)
    return statement.on_conflict_do_update(
        index_elements=["place", "day", "trait"], set_=_counted(DAY_PLACES.c, statement.excluded)
    )


@_once
def upsert_presences(connection: Connection) -> Any:
    """Count more clients of a day."""
    statement = insert(connection, PRESENCES)
    return statement.on_conflict_do_update(
        index_elements=list(PRESENCE_KEY),
        set_={"count": PRESENCES.c.count + statement.excluded.count},
    )


def _counted(old: Any, new: Any) -> dict[str, Any]:
    return {
        "count": old.count + new.count,
        "first_at": _either(old.first_at > new.first_at, new.first_at, old.first_at),
        "last_at": _either(old.last_at < new.last_at, new.last_at, old.last_at),
    }


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
