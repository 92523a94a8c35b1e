"""The schema of a database: its state, its creation and its migration.

A database is only migrated to newer revisions. There are no downgrades, because an older schema has
no columns for data of a newer version: restore the copy or the back-up from before the migration
instead.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import column, inspect, select, table, text

from certpin.errors import ConfigError, StoreError
from certpin.pinfile.file import sync_folder
from certpin.support.files import try_lock
from certpin.support.text import printable
from certpin_watch.store import leases
from certpin_watch.store.connections import BUSY, path_of
from certpin_watch.store.engine import OPERATIONS_PAGE, advisory_lock, reason_of, store_error
from certpin_watch.store.tables import METADATA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from certpin_watch.store.engine import Store

VERSION_TABLE = "certpin_schema"
_REVISIONS = Path(__file__).parent / "migrations"
_SIDE_FILES = ("-journal", "-wal", "-shm")  # SQLite's files beside a database in use


class SchemaState(StrEnum):
    """The state of a database's schema, compared with the schema of this version of certpin.

    It is current, empty (no tables), behind (of an older version), newer (of a newer version) or
    foreign (of another program).
    """

    CURRENT = "current"
    EMPTY = "empty"  # no table at all
    BEHIND = "behind"  # of an older version: `migrate` updates it
    NEWER = "newer"  # of a newer version, which is needed to read it
    FOREIGN = "foreign"  # of another program


@dataclass(frozen=True)
class Schema:
    """The state of a database's schema, and its Alembic revision.

    ``revision`` is None if the database has no revision.
    """

    state: SchemaState
    revision: str | None


@dataclass(frozen=True)
class Migration:
    """The result of ``migrate``.

    Attributes:
        before: the revision before the migration; None if the database was empty.
        after: the revision after the migration.
        copy: the path of the copy of the SQLite file before the migration; None if none was made.
    """

    before: str | None
    after: str
    copy: Path | None = None


_PROBLEMS = {
    SchemaState.EMPTY: ("the database has no tables yet", "certpin watch migrate"),
    SchemaState.BEHIND: (
        "the database is of an older version of certpin",
        f"back it up ({OPERATIONS_PAGE} says how), then: certpin watch migrate",
    ),
    SchemaState.NEWER: (
        "the database is of a newer version of certpin, which is needed to read it",
        "install that version, or restore a back-up from before",
    ),
    SchemaState.FOREIGN: (
        "the database has tables of another program",
        "use a separate database for certpin",
    ),
}


def schema_state(store: Store) -> Schema:
    """Return the state and the revision of a database's schema. A missing file is not created.

    Raises:
        StoreError: the database can't be read.
    """
    if store.is_sqlite and not path_of(store.engine).exists():
        return Schema(SchemaState.EMPTY, None)
    with store.read() as connection:
        return _read_schema(connection)


def migrate(store: Store) -> Migration:
    """Update a database to the latest revision, completely or not at all.

    If several processes call this at once, one migrates, and the others wait for it. An SQLite file
    that has an older schema is copied first, into the same folder.

    Raises:
        StoreError: the migration failed; or, with the reason ``schema``, the database is of a newer
            version or of another program.
    """
    with store.write() as connection:
        if not store.is_sqlite:  # SQLite has only one writer
            _lock_migrations(connection)
        _refuse_encoding(connection)
        found = _read_schema(connection)
        if found.state is SchemaState.CURRENT:
            return Migration(found.revision, latest())
        if found.state not in {SchemaState.EMPTY, SchemaState.BEHIND}:
            raise _schema_error(found)
        copy = None
        if store.is_sqlite and found.state is SchemaState.BEHIND:
            copy = _copy_file(path_of(store.engine), found)
        upgrade(connection)
    return Migration(found.revision, latest(), copy)


def prepare(store: Store) -> Migration | None:
    """Make a database ready for the service.

    A missing SQLite file is created, and an old one is migrated. A PostgreSQL database is only
    checked, because several processes can use it: after a migration, older processes would find a
    schema that is too new for them.

    Returns:
        The migration of the SQLite file; None if the schema was current already.

    Raises:
        StoreError: the database can't be read or written. With the reason ``schema``: a PostgreSQL
            database must be migrated first; or the database is of a newer version, or of another
            program.
    """
    found = schema_state(store)
    if store.is_sqlite and found.state in {SchemaState.EMPTY, SchemaState.BEHIND}:
        return migrate(store)
    _require_current(store, found)
    return None


def require_current(store: Store) -> None:
    """Check that a database has the schema of this version. Nothing is changed or created.

    Raises:
        StoreError: the database can't be read. With the reason ``schema``: it has another schema,
            no tables, or an encoding that can't store all reports.
    """
    _require_current(store, schema_state(store))


def _require_current(store: Store, found: Schema) -> None:
    if found.state is not SchemaState.CURRENT:
        raise _schema_error(found)
    with store.read() as connection:
        _refuse_encoding(connection)


def check_tables(store: Store, now: int) -> None:
    """Test the database: read a row of every table, and write one row durably.

    Simpler tests would miss failures: ``SELECT 1`` succeeds on a damaged file, and reads succeed on
    a full disk. A busy store passes the test, because other processes are using it successfully.

    Args:
        store: the store.
        now: seconds since 1970.

    Raises:
        StoreError: the store is unavailable, full, damaged, read-only or has another schema.
    """
    try:
        with store.read() as connection:
            for checked in METADATA.sorted_tables:
                newest = [key.desc() for key in checked.primary_key]
                connection.execute(select(checked).order_by(*newest).limit(1)).first()
        with store.write() as connection:
            leases.take(connection, leases.TRIAL, leases.TRIAL, now, 0)
    except StoreError as exc:
        if exc.reason != "busy":
            raise


def latest() -> str:
    """Return the newest revision of the schema, which this version of certpin needs.

    Raises ``ConfigError`` if the installation lacks the files of the revisions.
    """
    known = _revisions()
    if not known:  # the installation lacks files
        raise ConfigError("the revisions of the schema are missing", fix="install certpin again")
    return known[-1]


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run the missing migrations of the database, in the transaction of the connection.

    ``revision`` is the ID of the last migration to run; by default, the newest.
    """
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(_REVISIONS))
    with EnvironmentContext(
        Config(), scripts, fn=lambda now, _: scripts._upgrade_revs(revision, now)
    ) as environment:
        # Alembic uses the store's transaction, and begins no other.
        environment.configure(connection=connection, version_table=VERSION_TABLE)
        environment.run_migrations()


def _read_schema(connection: Connection) -> Schema:
    tables = inspect(connection).get_table_names()
    if VERSION_TABLE not in tables:
        return Schema(SchemaState.FOREIGN if tables else SchemaState.EMPTY, None)
    version = table(VERSION_TABLE, column("version_num"))
    revision = connection.execute(select(version.c.version_num)).scalar()
    return Schema(_state(revision), revision)


def _state(revision: str | None) -> SchemaState:
    if revision == latest():
        return SchemaState.CURRENT
    if revision in _revisions():
        return SchemaState.BEHIND
    newer = revision is not None and revision.isdecimal() and revision > latest()
    return SchemaState.NEWER if newer else SchemaState.FOREIGN


def _schema_error(found: Schema) -> StoreError:
    problem, fix = _PROBLEMS[found.state]
    return StoreError(problem, reason="schema", fix=fix)


def _refuse_encoding(connection: Connection) -> None:
    """Check that a PostgreSQL database can store every Unicode character, such as an emoji.

    Raises:
        StoreError: its encoding is not UTF-8.
    """
    if connection.dialect.name == "sqlite":
        return
    if connection.execute(text("SHOW server_encoding")).scalar() != "UTF8":
        raise StoreError(
            "the encoding of the database is not UTF-8, so some reports could not be stored",
            reason="schema",
            fix="CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
        )


def _lock_migrations(connection: Connection) -> None:
    """Take PostgreSQL's lock for migrations, which lasts until the transaction ends.

    Wait for another process that migrates, without a timeout. SQLite doesn't need this lock.
    """
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    connection.execute(text("SET LOCAL lock_timeout = 0"))
    advisory_lock(connection, b"certpin watch migrate")


def _copy_file(path: Path, found: Schema) -> Path:
    """Copy an SQLite file before its migration; return the path of the copy.

    The copy is in the same folder. Its name ends with the revision of the schema in the file
    (``found``). The caller must have the write lock of the database.
    """
    copy = path.with_name(f"{path.name}.revision-{found.revision}")
    copy_sqlite(path, copy)
    return copy


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy an SQLite database in one consistent state, while other processes may write (WAL mode).

    Raises:
        ConfigError: the target can't be written.
        StoreError: the source can't be read or is damaged, or another process writes the target.
    """
    with replaced_file(target) as part, _store_errors(), closing(_open_part(part)) as new:
        with closing(_open_read_only(source)) as old:
            # All pages in one step, a reader's view of one moment. With several steps, each write
            # of another process would restart the copy.
            old.backup(new)
        # A single file without others beside it, which can be read in a read-only folder.
        new.execute("PRAGMA journal_mode = DELETE")
        _refuse_damage(new)


@contextmanager
def replaced_file(target: Path) -> Iterator[Path]:
    """Yield the path of a temporary file, which replaces ``target`` if the ``with`` block succeeds.

    The temporary file is ``.NAME.part`` in the same folder, with mode 600. If the block raises, the
    temporary file is deleted, and ``target`` stays as it was. If a crash left a temporary file
    behind, it is overwritten.

    Raises:
        ConfigError: the file can't be written, or ``target`` is a database in use.
        StoreError: another process is writing the temporary file.
    """
    _refuse_in_use(target)
    part = target.with_name(f".{target.name}.part")
    descriptor = _lock_part(part, target)
    try:
        _remove_side_files(part)
        os.ftruncate(descriptor, 0)
        os.fchmod(descriptor, 0o600)
        yield part
        with _write_errors(target):
            os.fsync(descriptor)
            part.replace(target)
            sync_folder(target.parent)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    finally:
        _remove_side_files(part)
        os.close(descriptor)


def _open_read_only(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=BUSY,
        isolation_level=None,
        check_same_thread=False,
    )
    # A restored file may come from anywhere, with views and triggers that call functions.
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


def _open_part(part: Path) -> sqlite3.Connection:
    """Open the temporary file of ``replaced_file`` as a database, without syncs to the disk.

    A crash can damage the temporary file. That does no harm, because the file is written to the
    disk (``fsync``) before it replaces the target.
    """
    connection = sqlite3.connect(part, isolation_level=None, check_same_thread=False)
    for setting in ("journal_mode = MEMORY", "synchronous = OFF", "secure_delete = ON"):
        connection.execute(f"PRAGMA {setting}")  # the file is synced once, at the end
    return connection


def _refuse_damage(connection: sqlite3.Connection) -> None:
    """Check a database with SQLite's ``integrity_check``.

    Raises:
        StoreError: SQLite finds damage.
    """
    found = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if found != ("ok",):
        raise store_error("damaged")


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as exc:
        raise store_error(reason_of(exc)) from exc


def _refuse_in_use(target: Path) -> None:
    """Check that ``target`` is not an open SQLite database.

    If the file of an open database were replaced, its write-ahead log (WAL) would remain, and would
    not fit the new file.

    Raises:
        ConfigError: one of SQLite's files for an open database is beside it.
    """
    if any(target.with_name(target.name + ending).exists() for ending in _SIDE_FILES):
        raise ConfigError(f"{printable(str(target))} is a database in use", fix="name another file")


def _lock_part(part: Path, target: Path) -> int:
    """Open the temporary file ``part`` of ``replaced_file``, lock it, and return its descriptor.

    ``target`` is the file that ``part`` replaces later.

    Raises:
        ConfigError: the file can't be written.
        StoreError: another process is writing it.
    """
    with _write_errors(target):
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with suppress(OSError):
        # Another process may have renamed the part after it was opened here.
        if try_lock(descriptor) and os.fstat(descriptor).st_ino == part.stat().st_ino:
            return descriptor
    os.close(descriptor)
    raise StoreError(
        f"{printable(str(target))} is being written by another process",
        reason="busy",
        fix="wait for it, or name another file",
    )


@contextmanager
def _write_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise ConfigError(
            f"{printable(str(target))} cannot be written: {exc.strerror or exc}",
            fix="name a file in a folder that is writable and has free space",
        ) from exc


def _remove_side_files(part: Path) -> None:
    """Delete the files that SQLite created beside the temporary file ``part``.

    If a killed process left them behind, SQLite would apply them to the next temporary file.
    """
    for ending in _SIDE_FILES:
        with suppress(OSError):
            part.with_name(part.name + ending).unlink()


def _revisions() -> list[str]:
    """Return the IDs of all schema revisions, in order, from the names of their files.

    Alembic is not used for this, because its import takes long.
    """
    return sorted(file.stem.removeprefix("r") for file in _REVISIONS.glob("versions/r*.py"))
