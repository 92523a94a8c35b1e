"""A database: transactions in it, its errors, and whether it works at present.

Each kind of failure has one typed error with a fixed text. A driver's message can contain a name, a
host or a value, and the service's pages and logs must not show these.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from certpin.errors import ConfigError, StoreError
from certpin_watch.store.connections import BUSY, path_of, postgresql_engine, sqlite_engine
from certpin_watch.store.unreachable import (
    connection_problem,
    has_no_connection_left,
    invalid_option,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection, Engine, Table


_log = logging.getLogger("certpin.watch")

Key = TypeVar("Key", bound="str | bytes | tuple[Any, ...]")


class Store:
    """A database that threads may share. It is opened at its first use.

    ``read`` and ``write`` are transactions. They raise ``StoreError`` if the database is
    unavailable, busy, full, damaged or has another schema. ``health`` reports whether the database
    works, from the results of this process's reads and writes.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.health = StoreHealth()
        self._writing = threading.Lock()
        self._file = OpenFile(path_of(engine)) if self.is_sqlite else None
        if self._file is not None:
            event.listen(engine, "connect", self._file.note)
            event.listen(engine, "begin", _begin_in_sqlite)

    @property
    def is_sqlite(self) -> bool:
        """True if the database is an SQLite file."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a read-only transaction, in which all statements see one consistent state.

        Raises:
            StoreError: the database can't be read.
        """
        with (
            self.health.record_damage(),
            self._same_file(),
            translated_errors(),
            self.engine.connect() as connection,
        ):
            connection.execution_options(**self._read_options)
            with connection.begin():
                yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that may write, as a context manager, and yield its connection.

        The changes are durable when the ``with`` block ends, and undone if it raises.

        Raises:
            StoreError: the database can't be written.
        """
        with (
            self.health.record_write(),
            self._sqlite_writer(),
            self._same_file(),
            translated_errors(),
            self.engine.begin() as connection,
        ):
            yield connection

    def close(self) -> None:
        """Close every connection of this process to the database.

        A later transaction would open new ones.
        """
        self.engine.dispose()

    @property
    def _read_options(self) -> dict[str, Any]:
        if self.is_sqlite:
            return {"certpin_reads": True}
        # With READ COMMITTED, the default, each statement would see another moment.
        return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

    @contextmanager
    def _same_file(self) -> Iterator[None]:
        if self._file is not None:
            self._file.check()
        yield

    @contextmanager
    def _sqlite_writer(self) -> Iterator[None]:
        """Hold this process's lock for writers during a ``with`` block, if the database is SQLite.

        SQLite permits only one writer at a time.

        Raises:
            StoreError: other threads held the lock for too long.
        """
        if not self.is_sqlite:
            yield
            return
        if not self._writing.acquire(timeout=BUSY):
            raise store_error("busy")
        try:
            yield
        finally:
            self._writing.release()


class OpenFile:
    """Notices if the SQLite file that this process has open was deleted, moved or replaced.

    SQLite itself does not notice: it continues to write into a deleted file, and the new data is
    lost.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: tuple[int, int] | None = None  # device and inode
        self._logged = False

    def note(self, *_: object) -> None:
        """Remember which file is at the path when the first connection is opened.

        SQLAlchemy calls this after each new connection, but only the first call has an effect. The
        arguments are ignored.
        """
        if self._opened is None:
            self._opened = self._identity()

    def check(self) -> None:
        """Check that the file at the path is still the one that ``note`` remembered.

        Nothing is checked if ``note`` was not called yet.

        Raises:
            StoreError: that file was deleted, moved or replaced.
        """
        if self._opened is None or self._identity() == self._opened:
            self._logged = False
            return
        error = store_error("replaced")
        if not self._logged:
            self._logged = True
            _log.error("nothing is read or stored: %s", error)
        raise error

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


def open_store(url: str, *, folder: Path | None = None) -> Store:
    """Return the store for a database address. Nothing is read, written or created yet.

    ``schema.prepare`` creates or migrates the database.

    Args:
        url: the address: ``sqlite:///watch.db`` or ``postgresql://…``.
        folder: the folder for a relative path; by default, the current one.

    Raises:
        ConfigError: the address is invalid.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise _invalid_address() from None  # the original error contains a part of the address
    if parsed.get_backend_name() == "sqlite":
        return Store(sqlite_engine(parsed, folder))
    if parsed.get_backend_name() == "postgresql":
        return Store(postgresql_engine(parsed))
    raise _invalid_address()


def _begin_in_sqlite(connection: Connection) -> None:
    reads = bool(connection.get_execution_options().get("certpin_reads"))
    raw: Any = connection.connection.driver_connection
    raw.execute(f"PRAGMA query_only = {int(reads)}")
    # A writer takes the lock at once: a transaction that has read first can't wait for it.
    raw.execute("BEGIN" if reads else "BEGIN IMMEDIATE")


def _invalid_address() -> ConfigError:
    # The address is not shown, because it may contain a password.
    return ConfigError(
        "this is not a database that certpin supports",
        key="store",
        fix="sqlite:///watch.db, or postgresql://USER@HOST/NAME",
    )


def insert(connection: Connection, table: Table) -> Any:
    """Return an ``INSERT`` statement for the table, in the SQL dialect of the database.

    Unlike the general one of SQLAlchemy, it has ``on_conflict_do_update``.
    """
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)


def advisory_lock(connection: Connection, name: bytes) -> None:
    """Take an advisory lock of PostgreSQL, which lasts until the transaction ends.

    On SQLite, which has only one writer, this does nothing. PostgreSQL identifies the lock by a
    number, for which a hash of ``name`` is used, so that no other program uses the same by chance.
    """
    if connection.dialect.name != "sqlite":
        key = int.from_bytes(sha256(name).digest()[:8], signed=True)
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


def pieces(keys: Iterable[Key], size: int) -> Iterator[list[Key]]:
    """Sort the keys, and yield them in lists of at most ``size`` keys.

    Use a list for each SQL statement, because a statement can have only a limited number of values.
    """
    ordered = sorted(keys)
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


OPERATIONS_PAGE = 'the page "Operating the monitoring service" of the documentation'

# For each reason: the problem and the fix. docs/operate/operations.md describes each of them.
REASONS: dict[str, tuple[str, str]] = {
    "address": ("an option in the address of the database has an invalid value", "correct store"),
    "away": (
        "the database cannot be reached, or refuses the login of this address",
        "start it; check the address in store, the user and the password; read its log",
    ),
    "busy": (
        "the database was busy for too long",
        "try again; if it continues, find what blocks it: a long transaction, too many clients",
    ),
    "damaged": (
        "the file is not a database, or is damaged",
        f"name another file, or restore a back-up: {OPERATIONS_PAGE} says how",
    ),
    "disk": ("the disk of the database fails", "read the system's log"),
    "failed": ("the database refused a statement", "this is a bug in certpin: report it"),
    "full": ("the disk of the database is full", f"free space: {OPERATIONS_PAGE} says how"),
    "pooler": (
        "a connection pooler in transaction mode is between certpin and PostgreSQL",
        "add ?pooler=transaction to the address in store (with & if it has other options)",
    ),
    "refused": (
        "the user of the database lacks a permission",
        "check the permissions of the user in the address in store",
    ),
    "replaced": (
        "the file of the database was deleted or replaced while this process had it open",
        f"restart the service; to restore a back-up, stop it first ({OPERATIONS_PAGE} says how)",
    ),
    "schema": (
        "the tables of the database are not those of this version of certpin",
        "certpin watch migrate",
    ),
    "unwritable": (
        "the database cannot be written to",
        "check the path and the permissions; the folder of the file must be writable, too",
    ),
}

# PostgreSQL's error codes, complete or by class (its documentation, appendix A).
_SQLSTATES = {
    "08": "away",
    "25006": "unwritable",  # a standby
    "25P03": "busy",  # a transaction was idle for too long: this process was suspended
    "26": "pooler",  # a prepared statement is unknown: it is in another session
    "28": "refused",
    "3D": "refused",
    "40": "busy",  # a deadlock, or a serialisation failure
    "42501": "refused",
    "42703": "schema",
    "42P01": "schema",
    "42P05": "pooler",  # another client prepared a statement with this name in this session
    "53": "busy",  # too many clients, no memory
    "53100": "full",
    "55P03": "busy",
    "57014": "busy",  # the statement took too long
    "57": "away",
    "58": "disk",
    "XX001": "damaged",
    "XX002": "damaged",
}

# SQLite's result codes, complete or by prefix (https://www.sqlite.org/rescode.html).
_SQLITE = {
    "SQLITE_AUTH": "unwritable",
    "SQLITE_BUSY": "busy",
    "SQLITE_CANTOPEN": "unwritable",
    "SQLITE_CORRUPT": "damaged",
    "SQLITE_FULL": "full",
    "SQLITE_IOERR": "disk",
    "SQLITE_LOCKED": "busy",
    "SQLITE_NOTADB": "damaged",
    "SQLITE_PERM": "unwritable",
    "SQLITE_READONLY": "unwritable",
}

_WITHOUT_CODE = frozenset({"ConnectionTimeout", "OperationalError"})

# Only writes fail for these reasons. Others (unavailable, busy, wrong schema) fail reads as well.
_WRITE_FAILURES = frozenset({"full", "disk", "unwritable"})
_FAILURE_COUNTS = 10.0  # seconds for which a failure counts even if a later write succeeded


def store_error(reason: str) -> StoreError:
    """Return the ``StoreError`` for a reason, with a description of the problem and a fix.

    ``reason`` is a key of ``REASONS``, such as "busy" or "full".
    """
    problem, fix = REASONS[reason]
    return StoreError(problem, reason=reason, fix=fix)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Convert database errors that are raised in the ``with`` block to ``StoreError``.

    ``IntegrityError`` and ``DataError`` keep their types, because the values that the caller passed
    cause them. The messages of all errors are shortened, so that they contain no stored values.
    """
    try:
        yield
    except (IntegrityError, DataError) as exc:
        _redact(exc)
        raise
    except DBAPIError as exc:
        _redact(exc)
        raise _error_of(exc.orig) from exc
    except PoolTimeoutError as exc:
        raise store_error("busy") from exc


def _error_of(exc: Any) -> StoreError:
    """Return the ``StoreError`` for an exception of a database driver.

    ``reason_of`` classifies the exception. If libpq's message gives a more exact cause, such as a
    wrong password, the error describes this cause.
    """
    reason = reason_of(exc)
    if reason == "address":
        problem, fix = REASONS[reason]
        option = invalid_option(str(exc))
        return StoreError(f"{problem}: {option}", reason=reason, fix=fix)
    if reason in {"away", "busy"} and (found := connection_problem(str(exc))):
        problem, fix = found
        return StoreError(problem, reason=reason, fix=fix)
    return store_error(reason)


def reason_of(exc: Any) -> str:
    """Classify an exception of ``sqlite3`` or psycopg; return its cause as a key of ``REASONS``.

    Examples are "full" (no disk space) and "busy". If the cause is unknown, it is "failed".
    """
    if (name := getattr(exc, "sqlite_errorname", None)) is not None:
        if name == "SQLITE_ERROR" and str(exc).startswith(("no such table", "no such column")):
            return "schema"
        return next((_SQLITE[key] for key in _SQLITE if name.startswith(key)), "failed")
    state = getattr(exc, "sqlstate", None)
    if state is None:
        if invalid_option(str(exc)):
            return "address"
        # libpq has no code if it can't connect, or is disconnected.
        if has_no_connection_left(str(exc)):
            return "busy"
        return "away" if type(exc).__name__ in _WITHOUT_CODE else "failed"
    return _SQLSTATES.get(state) or _SQLSTATES.get(state[:2]) or "failed"


def _redact(exc: DBAPIError) -> None:
    """Remove stored values from the message of a database error.

    Only the first line of the message is kept, because PostgreSQL appends the whole row below it.
    For a ``DataError``, the whole message is replaced, because its first line contains the value.
    SQLAlchemy does not show the parameters, so these need no removal.
    """
    for error in (exc, exc.orig):
        if isinstance(error, BaseException) and error.args:
            line = str(error.args[0]).partition("\n")[0]
            error.args = ("a value does not fit" if isinstance(exc, DataError) else line,)


class StoreHealth:
    """Records whether the store works, from the results of this process's reads and writes.

    A failed write counts for ``_FAILURE_COUNTS`` seconds even if later writes succeed: on a full
    disk, small writes can succeed while large ones fail. After a read or a write found damage, this
    process writes nothing until it is restarted. This class does not test the database itself;
    ``schema.check_tables`` does that. Thread-safe.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: tuple[str, float] | None = None
        self._written_since = True
        self._damaged = False

    @contextmanager
    def record_write(self) -> Iterator[None]:
        """Run the ``with`` block, which writes to the database, and record whether it succeeds.

        Raises:
            StoreError: the file is known to be damaged. Then the block doesn't run. It could
                succeed on the intact part of the file, but the data would be lost when the file is
                replaced.
        """
        if self._damaged:
            raise store_error("damaged")
        try:
            with self.record_damage():
                yield
        except StoreError as exc:
            if exc.reason in _WRITE_FAILURES:
                self._failed, self._written_since = (exc.reason, self._clock()), False
            raise
        self._written_since = True

    @contextmanager
    def record_damage(self) -> Iterator[None]:
        """Run the ``with`` block, and record if it fails because the database file is damaged.

        The error of the block is raised in any case. After damage, ``record_write`` refuses all
        writes.
        """
        try:
            yield
        except StoreError as exc:
            self._damaged |= exc.reason == "damaged"
            raise

    @property
    def reason(self) -> str:
        """Why the store doesn't work, as a key of ``REASONS`` such as "full".

        It is empty if no failure is known.
        """
        if self._damaged:
            return "damaged"  # until the file is restored and this process is restarted
        if self._failed is None:
            return ""
        reason, at = self._failed
        return "" if self._written_since and self._clock() - at > _FAILURE_COUNTS else reason
