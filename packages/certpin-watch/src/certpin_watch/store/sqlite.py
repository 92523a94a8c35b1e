"""TODO: one docstring."""

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


BUSY = 30.0  # seconds that one process waits for another that writes
_TURN = 0.01  # seconds until a lock is asked for again

# Settings of the file, which keeps them. Setting auto_vacuum takes the lock of the writer, even if
# nothing changes, so a connection to a file in WAL mode leaves them out. They are in this order
# because auto_vacuum only takes effect in an empty file, and WAL mode writes its first page.
_FILE_SETTINGS = (
    "auto_vacuum = INCREMENTAL",  # what is deleted can be given back, a few pages at a time
    "journal_mode = WAL",  # pages are read while reports are written
)
_CONNECTION_SETTINGS = (
    # Durable at COMMIT, and a report is answered after it: in WAL mode, NORMAL writes through at
    # a checkpoint only, and a power cut takes what was told to be safe.
    "synchronous = FULL",
    "fullfsync = ON",  # macOS leaves what fsync was given in the disk's own memory otherwise
    "secure_delete = ON",  # what is past its time is overwritten, and not only forgotten
    "foreign_keys = ON",
    "trusted_schema = OFF",  # a file that was restored may have been made by anybody
    "cell_size_check = ON",
    "temp_store = MEMORY",  # nothing of a report lies in /tmp
    f"journal_size_limit = {64 * 1024 * 1024}",  # one long read does not leave a large WAL behind
)


def sqlite_engine(url: URL, folder: Path | None) -> Engine:
    """An engine whose transactions begin where they are told to. Raises ``ConfigError``."""
    path = _path(url, folder)
    engine = create_engine(
        url.set(database=str(path), drivername="sqlite"),
        creator=lambda: connect(path),
        hide_parameters=True,  # what is in a statement is not in its error
    )
    event.listen(engine, "begin", _begin)
    return engine


def connect(path: Path) -> sqlite3.Connection:
    """A connection with every setting of the watch. Raises ``sqlite3.Error``.

    A new file is for its owner alone (mode 600), and so are the two that SQLite puts beside it.
    """
    # Only a file that nobody has can be opened here: closing a descriptor of one that SQLite has
    # open in this process would drop its locks (https://www.sqlite.org/howtocorrupt.html).
    with suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=BUSY,
        isolation_level=None,  # the engine begins transactions, and not Python's module
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
    """Change a setting. Who changes to WAL mode is refused a lock that another one has, and not
    made to wait for it (https://www.sqlite.org/c3ref/busy_handler.html): several that open a new
    file at once take turns here.
    """
    until = time.monotonic() + BUSY
    while True:
        try:
            connection.execute(f"PRAGMA {setting}")
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_TURN)
        else:
            return


def path_of(engine: Engine) -> Path:
    """The file of an SQLite engine."""
    return Path(str(engine.url.database))


def _begin(connection: Connection) -> None:
    reads = bool(connection.get_execution_options().get("certpin_reads"))
    raw: Any = connection.connection.driver_connection
    raw.execute(f"PRAGMA query_only = {int(reads)}")
    # A writer takes the lock at once: one that has read first cannot wait for it.
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
            fix="name a file, in a folder that is there",
        )
    return path


_BESIDE = ("-journal", "-wal", "-shm")  # what SQLite puts beside a database in use


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy the database as it is at one moment. Writers go on meanwhile (WAL mode).

    Raises ``ConfigError`` if the target cannot be written, and ``StoreError`` if the source cannot
    be read or is damaged.
    """
    with written_whole(target) as part, _store_errors(), closing(_open_part(part)) as new:
        with closing(_connect_to_read(source)) as old:
            # All pages in one step: a reader's view of one moment. In several, each writer of
            # another process would make it begin again.
            old.backup(new)
        # One file, that needs no other beside it and can be read where nothing can be written.
        new.execute("PRAGMA journal_mode = DELETE")
        _check(new)


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """A file that gets the name ``target`` when the block ends without an error (mode 600).

    What is there until then is one file beside it, ``.NAME.part``; one that a crash left behind is
    written over. Raises ``ConfigError`` where it cannot be written, ``StoreError`` where somebody
    else writes it now.
    """
    _refuse_in_use(target)
    part = target.with_name(f".{target.name}.part")
    descriptor = _claim(part, target)
    try:
        _remove_helpers(part)
        os.ftruncate(descriptor, 0)
        os.fchmod(descriptor, 0o600)
        yield part
        with _unwritable(target):
            os.fsync(descriptor)
            part.replace(target)
            sync_folder(target.parent)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    finally:
        _remove_helpers(part)
        os.close(descriptor)


def _connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing. Raises ``sqlite3.Error``."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=BUSY,
        isolation_level=None,
        check_same_thread=False,
    )
    # A restored file may come from elsewhere, with views and triggers that call functions.
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


def _open_part(part: Path) -> sqlite3.Connection:
    """A connection to a file that nobody else has, and that is thrown away if anything fails."""
    connection = sqlite3.connect(part, isolation_level=None, check_same_thread=False)
    for setting in ("journal_mode = MEMORY", "synchronous = OFF", "secure_delete = ON"):
        connection.execute(f"PRAGMA {setting}")  # written through at the end, all at once
    return connection


def _check(connection: sqlite3.Connection) -> None:
    """Raise ``StoreError`` if SQLite finds anything wrong with a file."""
    found = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if found != ("ok",):
        raise store_error("damaged")


@contextmanager
def _store_errors() -> Iterator[None]:
    """Raise ``StoreError`` for what SQLite says."""
    try:
        yield
    except sqlite3.Error as exc:
        raise store_error(reason_of(exc)) from exc


def _refuse_in_use(target: Path) -> None:
    """A database that somebody has open must not be replaced: its WAL would not fit any more."""
    if any(target.with_name(target.name + ending).exists() for ending in _BESIDE):
        raise ConfigError(f"{printable(str(target))} is a database in use", fix="name another file")


def _claim(part: Path, target: Path) -> int:
    """Open the part, and lock it: whoever has the lock is alive, and writes it."""
    with _unwritable(target):
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with suppress(OSError):
        # Another process may have finished the part between opening and locking it.
        if locks.try_lock(descriptor) and os.fstat(descriptor).st_ino == part.stat().st_ino:
            return descriptor
    os.close(descriptor)
    raise StoreError(
        f"{printable(str(target))} is being written by somebody else",
        reason="busy",
        fix="wait for it, or name another file",
    )


@contextmanager
def _unwritable(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise ConfigError(
            f"{printable(str(target))} cannot be written: {exc.strerror or exc}",
            fix="name a file in a folder that can be written to, and has room",
        ) from exc


def _remove_helpers(part: Path) -> None:
    """What SQLite left beside a part, if it was killed: it would be played back into the next."""
    for ending in _BESIDE:
        with suppress(OSError):
            part.with_name(part.name + ending).unlink()
