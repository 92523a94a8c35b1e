"""Put a back-up into a database, in one transaction: all of it, or nothing."""

from __future__ import annotations

import tempfile
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Boolean, LargeBinary, create_engine, func, insert, select, text
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.pool import StaticPool

from certpin.errors import ConfigError, StoreError
from certpin.watch.store.backup import BATCH, is_transient
from certpin.watch.store.copying import check, connect_to_read, copy_sqlite, sqlite_told
from certpin.watch.store.engine import open_store
from certpin.watch.store.failures import told
from certpin.watch.store.schema import (
    SchemaState,
    migrate,
    schema_of,
    take_turn,
    unusable,
    upgrade,
)
from certpin.watch.store.tables import METADATA
from certpin.x509 import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Column, Connection, Table

    from certpin.watch.store.engine import Store


@dataclass(frozen=True)
class Restored:
    """What was put in, and whether something else was there and is gone."""

    revision: str
    rows: int
    replaced: bool


def restore(store: Store, source: Path, *, force: bool = False) -> Restored:
    """Fill a database from a back-up. A back-up of an older revision is migrated on the way.

    A database that has data is refused, unless ``force`` is given: then it is emptied first.
    Raises ``ConfigError`` for that, and for a file that is no back-up; ``StoreError`` otherwise.

    NOT checked: who made the file. Whoever can write to it can put anything into the watch.
    """
    with _opened(source) as backup, store.write() as connection:
        revision = _make_ready(store, connection)
        replaced = _has_rows(connection)
        if replaced and not force:
            raise ConfigError(
                "the database has data already",
                key="store",
                fix="restore into an empty one; --force replaces what is there",
            )
        _empty(connection)
        rows = sum(_fill(backup, connection, table) for table in _kept())
        _number_on(connection)
    return Restored(revision, rows, replaced)


@contextmanager
def _opened(source: Path) -> Iterator[Connection]:
    """A back-up of the latest revision, verified."""
    if not source.is_file():
        raise ConfigError(f"there is no file {printable(str(source))}", fix="check the path")
    with _connected(source) as connection:
        found = schema_of(connection)
        if found.state is SchemaState.CURRENT:
            _verify(connection, source)
            yield connection
            return
    if found.state is not SchemaState.BEHIND:
        raise _no_backup(source, unusable(found).problem.replace("the database", "it"))
    with _migrated(source) as copy, _connected(copy) as connection:
        _verify(connection, source)
        yield connection


@contextmanager
def _migrated(source: Path) -> Iterator[Path]:
    """A copy of an older back-up, brought up to the latest revision."""
    with tempfile.TemporaryDirectory(prefix="certpin-") as folder:
        copy = Path(folder) / "back-up.db"
        copy_sqlite(source, copy)
        with closing(open_store(f"sqlite:///{copy}")) as older:
            migrate(older)
        yield copy


@contextmanager
def _connected(source: Path) -> Iterator[Connection]:
    """A connection to a file that is a whole database. Raises ``ConfigError``."""
    try:
        with sqlite_told():
            raw = connect_to_read(source)
    except StoreError as exc:
        raise _no_backup(source, exc.problem) from exc
    raw.text_factory = lambda data: data.decode(errors="replace")
    engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
    try:
        with sqlite_told(), told(), engine.connect() as connection:
            check(raw)
            yield connection
    finally:
        engine.dispose()
        raw.close()


def _verify(connection: Connection, source: Path) -> None:
    """The tables have the columns of this version, and each value is of its column's type.

    SQLite takes any value in any column: a file that was made by hand could carry a text where
    the watch computes with a number.
    """
    for table in _kept():
        names = {row[1] for row in connection.execute(text(f'PRAGMA table_info("{table.name}")'))}
        if names != {column.name for column in table.columns}:
            raise _no_backup(source, f"the table {table.name} is not as it has to be")
        wrong = " OR ".join(_is_wrong(column) for column in table.columns)
        statement = f'SELECT 1 FROM "{table.name}" WHERE {wrong} LIMIT 1'  # noqa: S608
        if connection.execute(text(statement)).first():
            raise _no_backup(source, f"the table {table.name} has values of another type")


def _is_wrong(column: Column[Any]) -> str:
    kinds = {BigInteger: "integer", Boolean: "integer", LargeBinary: "blob"}
    kind = next((kinds[each] for each in kinds if isinstance(column.type, each)), "text")
    unless = f' AND "{column.name}" IS NOT NULL' if column.nullable else ""
    return f"(typeof(\"{column.name}\") <> '{kind}'{unless})"


def _make_ready(store: Store, connection: Connection) -> str:
    """Give the database its tables if it has none, and keep everybody else away from them."""
    if not store.is_sqlite:
        take_turn(connection)
    if schema_of(connection).state is SchemaState.EMPTY:
        upgrade(connection)
    found = schema_of(connection)
    if found.revision is None or found.state is not SchemaState.CURRENT:
        raise unusable(found)
    if not store.is_sqlite:
        connection.execute(text("SET LOCAL lock_timeout = '20s'"))
        connection.execute(text(f"LOCK TABLE {_names()} IN ACCESS EXCLUSIVE MODE"))
    return found.revision


def _has_rows(connection: Connection) -> bool:
    return any(connection.execute(select(1).select_from(each).limit(1)).first() for each in _kept())


def _empty(connection: Connection) -> None:
    if connection.dialect.name != "sqlite":
        connection.execute(text(f"TRUNCATE {_names()}"))
        return
    for table in reversed(METADATA.sorted_tables):
        connection.execute(table.delete())


def _fill(backup: Connection, connection: Connection, table: Table) -> int:
    rows = 0
    found = backup.execute(select(table), execution_options={"yield_per": BATCH})
    for batch in found.mappings().partitions():
        values = [dict(row) for row in batch]
        if connection.dialect.name != "sqlite":
            values = [_without_nul(row) for row in values]
        try:
            connection.execute(insert(table), values)
        except (IntegrityError, DataError) as exc:
            raise StoreError(
                f"the rows of {table.name} do not fit", reason="damaged", fix="take another back-up"
            ) from exc
        rows += len(values)
    return rows


def _without_nul(row: dict[str, Any]) -> dict[str, Any]:
    """PostgreSQL's texts cannot have the character NUL, SQLite's can."""
    return {
        name: value.replace("\0", "\ufffd") if isinstance(value, str) else value
        for name, value in row.items()
    }


def _number_on(connection: Connection) -> None:
    """PostgreSQL numbers rows by counters of its own, which have seen none of these."""
    if connection.dialect.name == "sqlite":
        return
    for table in METADATA.sorted_tables:
        column = table.autoincrement_column
        if column is not None:
            last = select(func.max(column)).scalar_subquery()
            counter = func.pg_get_serial_sequence(table.name, column.name)
            connection.execute(
                select(func.setval(counter, func.coalesce(last, 1), last.is_not(None)))
            )


def _kept() -> list[Table]:
    return [table for table in METADATA.sorted_tables if not is_transient(table.name)]


def _names() -> str:
    return ", ".join(f'"{table.name}"' for table in METADATA.sorted_tables)


def _no_backup(source: Path, why: str) -> ConfigError:
    return ConfigError(
        f"{printable(str(source))} cannot be restored: {why}",
        fix="name a file that certpin watch backup has made",
    )
