"""Back-ups: one SQLite file, whichever database it is of, so that data can move between them."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import MetaData, create_engine, select, text
from sqlalchemy.pool import StaticPool

from certpin.errors import ConfigError
from certpin.watch.store.copying import check, copy_sqlite, open_part, sqlite_told, written_whole
from certpin.watch.store.on_sqlite import path_of
from certpin.watch.store.schema import VERSION_TABLE, SchemaState, schema_of, unusable, upgrade
from certpin.watch.store.tables import METADATA
from certpin.x509 import printable

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from sqlalchemy import Connection, Table

    from certpin.watch.store.engine import Store

BATCH = 500  # rows: with samples of some kB each, a few MB


@dataclass(frozen=True)
class Backup:
    """What a back-up has: the revision of its schema, and its rows."""

    path: Path
    revision: str
    rows: int
    size: int


def back_up(store: Store, target: Path) -> Backup:
    """Write the data of one moment to a file (mode 600), while the watch goes on.

    The file is whole, verified by SQLite and on the disk, or it is not there. What is transient
    (leases, say) is left out. Raises ``ConfigError`` where the file cannot be written, and
    ``StoreError`` where the database cannot be read, or has a schema that certpin does not know.
    """
    if store.is_sqlite and not path_of(store.engine).exists():
        raise ConfigError("there is no database to back up", key="store", fix="check the path")
    with store.read() as connection:
        found = schema_of(connection)
        if found.revision is None or found.state not in {SchemaState.CURRENT, SchemaState.BEHIND}:
            raise unusable(found)
        if store.is_sqlite:
            rows = _copy(path_of(store.engine), target)
        else:
            rows = _dump(connection, found.revision, target)
    return Backup(target, found.revision, rows, target.stat().st_size)


def is_transient(name: str) -> bool:
    """Whether a table has nothing that is worth keeping."""
    table = METADATA.tables.get(name)
    return name == VERSION_TABLE or (table is not None and bool(table.info.get("transient")))


def _copy(source: Path, target: Path) -> int:
    """The file itself: faster than rows, and of whatever revision it is."""
    if target.exists() and target.samefile(source):
        raise ConfigError(
            f"{printable(str(target))} is the database itself", fix="name another file"
        )
    rows = 0

    def finish(copy: sqlite3.Connection) -> None:
        nonlocal rows
        names = copy.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in names:
            if name != VERSION_TABLE and is_transient(name):
                copy.execute(f'DELETE FROM "{name}"')  # noqa: S608  # the name of a table of ours
        rows = _count(copy, [name for (name,) in names])

    copy_sqlite(source, target, finish)
    return rows


def _count(copy: sqlite3.Connection, names: list[str]) -> int:
    kept = [name for name in names if not is_transient(name) and not name.startswith("sqlite_")]
    counts = [copy.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in kept]  # noqa: S608
    return sum(counts)


def _dump(connection: Connection, revision: str, target: Path) -> int:
    """Every row, in the transaction of the connection: it reads one moment (REPEATABLE READ)."""
    # While a large file is verified at the end, nothing is asked of PostgreSQL for minutes.
    connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
    with written_whole(target) as part, sqlite_told(), closing(open_part(part)) as new:
        tables = _empty(new, revision)
        new.execute("BEGIN")
        rows = sum(_dump_table(connection, table, new) for table in tables)
        new.execute("COMMIT")
        check(new)
    return rows


def _empty(new: sqlite3.Connection, revision: str) -> list[Table]:
    """Make the tables of a revision; those that are to be filled, as they are in it."""
    engine = create_engine("sqlite://", creator=lambda: new, poolclass=StaticPool)
    with engine.connect() as connection:
        upgrade(connection, revision)
        found = MetaData()
        found.reflect(connection)
        connection.commit()
    return [table for table in found.sorted_tables if not is_transient(table.name)]


def _dump_table(connection: Connection, table: Table, new: sqlite3.Connection) -> int:
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    marks = ", ".join("?" * len(table.columns))
    statement = f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})'  # noqa: S608
    rows = 0
    found = connection.execute(select(table), execution_options={"yield_per": BATCH})
    for batch in found.partitions():
        new.executemany(statement, [tuple(row) for row in batch])
        rows += len(batch)
    return rows
