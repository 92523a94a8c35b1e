"""Copy an SQLite file while it is in use, whole or not at all."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from certpin.errors import ConfigError, StoreError
from certpin.pinfile.disk import sync_folder
from certpin.support import locks
from certpin.x509 import printable
from certpin_watch.store.failures import reason_of, store_error
from certpin_watch.store.on_sqlite import BUSY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
