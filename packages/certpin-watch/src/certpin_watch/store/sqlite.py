"""SQLite: connections to one file, and a copy of that file while it is in use.

The file belongs to the user that runs the service, and no other user can read it.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event

from certpin.errors import ConfigError, StoreError
from certpin.pinfile.disk import sync_folder
from certpin.support import locks
from certpin.x509 import printable
from certpin_watch.store.failures import reason_of, store_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import URL

BUSY = 30.0  # seconds for which a process waits for the lock of another writer
_RETRY = 0.01  # seconds until a lock is requested again

# Settings that the file keeps. Setting auto_vacuum takes the write lock even if nothing changes, so
# a connection to a file in WAL mode leaves them out. They are in this order because auto_vacuum
# only takes effect in an empty file, and WAL mode writes its first page.
_FILE_SETTINGS = (
    "auto_vacuum = INCREMENTAL",  # free pages can be returned, a few at a time
    "journal_mode = WAL",  # pages are read while reports are written
)
_CONNECTION_SETTINGS = (
    # Durable at COMMIT, because a report is answered after it: in WAL mode, NORMAL syncs only at a
    # checkpoint, and a power cut loses reports that were acknowledged.
    "synchronous = FULL",
    "fullfsync = ON",  # on macOS, fsync otherwise leaves data in the disk's cache
    "secure_delete = ON",  # expired data is overwritten, not only unlinked
    "foreign_keys = ON",
    "trusted_schema = OFF",  # a restored file may come from anywhere
    "cell_size_check = ON",
    "temp_store = MEMORY",  # no part of a report is written to /tmp
    f"journal_size_limit = {64 * 1024 * 1024}",  # one long read leaves no large WAL behind
)
_SIDE_FILES = ("-journal", "-wal", "-shm")  # SQLite's files beside a database in use


def sqlite_engine(url: URL, folder: Path | None) -> Engine:
    """Return an SQLAlchemy engine with explicit transactions. The file is not opened yet.

    Args:
        url: the address, as in ``sqlite:///watch.db``.
        folder: the folder for a relative path; by default, the current one.

    Raises:
        ConfigError: the address is not that of a file.
    """
    path = _path(url, folder)
    engine = create_engine(
        url.set(database=str(path), drivername="sqlite"),
        creator=lambda: connect(path),
        hide_parameters=True,  # keep the values of statements out of errors
    )
    event.listen(engine, "begin", _begin)
    return engine


def path_of(engine: Engine) -> Path:
    """Return the path of the database file of an SQLite engine."""
    return Path(str(engine.url.database))


def connect(path: Path) -> sqlite3.Connection:
    """Open a connection with all settings of the service.

    A new file, and the two that SQLite creates beside it, can be read by their owner only (mode
    600).

    Raises:
        sqlite3.Error: the file can't be opened.
    """
    # Only a new file may be opened here: closing a descriptor of a file that SQLite has open in
    # this process would drop its locks (https://www.sqlite.org/howtocorrupt.html).
    with suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=BUSY,
        isolation_level=None,  # the engine begins transactions, not Python's module
        check_same_thread=False,  # the pool gives a connection to one thread at a time
    )
    try:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        for setting in (*(_FILE_SETTINGS if mode != "wal" else ()), *_CONNECTION_SETTINGS):
            _set(connection, setting)
    except BaseException:
        connection.close()
        raise
    return connection


def _set(connection: sqlite3.Connection, setting: str) -> None:
    """Change a setting of SQLite. Try again if other processes open the new file at once.

    SQLite doesn't wait by itself when it changes to WAL mode
    (https://www.sqlite.org/c3ref/busy_handler.html).
    """
    until = time.monotonic() + BUSY
    while True:
        try:
            connection.execute(f"PRAGMA {setting}")
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_RETRY)
        else:
            return


def _begin(connection: Connection) -> None:
    reads = bool(connection.get_execution_options().get("certpin_reads"))
    raw: Any = connection.connection.driver_connection
    raw.execute(f"PRAGMA query_only = {int(reads)}")
    # A writer takes the lock at once: a transaction that has read first can't wait for it.
    raw.execute("BEGIN" if reads else "BEGIN IMMEDIATE")


def _path(url: URL, folder: Path | None) -> Path:
    if url.query or url.host or not url.database or ":memory:" in url.database:
        raise ConfigError(
            "SQLite is one file here", key="store", fix="sqlite:///watch.db, and nothing behind it"
        )
    path = (folder or Path()) / url.database
    if path.is_dir() or not path.parent.is_dir():
        raise ConfigError(
            f"{printable(str(path))} cannot be a database",
            key="store",
            fix="name a file in an existing folder",
        )
    return path


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database as it is at one moment. Writers continue meanwhile (WAL mode).

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
        _check(new)


@contextmanager
def replaced_file(target: Path) -> Iterator[Path]:
    """Yield a temporary file (mode 600); if the block succeeds, it replaces ``target``.

    The temporary file is ``.NAME.part`` in the same folder. If a crash left one behind, it is
    overwritten.

    Raises:
        ConfigError: the file can't be written, or is a database in use.
        StoreError: another process is writing it.
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
    """Open the temporary file as a database, without syncs: it is deleted if anything fails."""
    connection = sqlite3.connect(part, isolation_level=None, check_same_thread=False)
    for setting in ("journal_mode = MEMORY", "synchronous = OFF", "secure_delete = ON"):
        connection.execute(f"PRAGMA {setting}")  # the file is synced once, at the end
    return connection


def _check(connection: sqlite3.Connection) -> None:
    """Raise ``StoreError`` if SQLite finds damage in the database."""
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
    """Raise ``ConfigError`` if ``target`` is an open database: its WAL would not fit a new file."""
    if any(target.with_name(target.name + ending).exists() for ending in _SIDE_FILES):
        raise ConfigError(f"{printable(str(target))} is a database in use", fix="name another file")


def _lock_part(part: Path, target: Path) -> int:
    """Open and lock the temporary file. Raise ``StoreError`` if another process is writing it."""
    with _write_errors(target):
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with suppress(OSError):
        # Another process may have renamed the part after it was opened here.
        if locks.try_lock(descriptor) and os.fstat(descriptor).st_ino == part.stat().st_ino:
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
    """Delete SQLite's files beside the temporary file, which a killed process may have left.

    SQLite would apply them to the next temporary file.
    """
    for ending in _SIDE_FILES:
        with suppress(OSError):
            part.with_name(part.name + ending).unlink()
