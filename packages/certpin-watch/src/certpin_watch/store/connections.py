"""Connect to the database: SQLite, which is one file, or PostgreSQL.

This module has the settings of connections, the timeouts, and checks of the address. An SQLite file
belongs to the user that runs the service, and no other user can read it.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event, text

from certpin.errors import ConfigError
from certpin.support.text import printable
from certpin_watch.addresses import is_local_only
from certpin_watch.secret import warn_if_open
from certpin_watch.store.unreachable import check_options

if TYPE_CHECKING:
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


def sqlite_engine(url: URL, folder: Path | None) -> Engine:
    """Return an SQLAlchemy engine for an SQLite file. The file is not opened yet.

    A warning is logged if every user of the machine can read or change the database file, or one of
    the two files that SQLite creates beside it (``-wal`` and ``-shm``).

    Args:
        url: the address, as in ``sqlite:///watch.db``.
        folder: the folder for a relative path; by default, the current one.

    Raises:
        ConfigError: the address is not that of a file.
    """
    path = _sqlite_path(url, folder)
    for file in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
        with suppress(OSError):  # it may not exist yet
            warn_if_open(file, file.stat(), "the database")
    return create_engine(
        url.set(database=str(path), drivername="sqlite"),
        creator=lambda: connect(path),
        hide_parameters=True,  # keep the values of statements out of errors
    )


def path_of(engine: Engine) -> Path:
    """Return the path of the database file that an SQLite engine opens."""
    return Path(str(engine.url.database))


def connect(path: Path) -> sqlite3.Connection:
    """Open a connection to an SQLite file, with all settings of the service.

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
        isolation_level=None,  # ``Store`` begins transactions, not Python's module
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
    """Change a setting of SQLite, such as ``journal_mode = WAL``.

    If the file is locked because another process opens it at the same time, this function tries
    again, for ``BUSY`` seconds at most. SQLite's own timeout is not enough: it doesn't apply to the
    change to WAL mode (https://www.sqlite.org/c3ref/busy_handler.html).
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


def _sqlite_path(url: URL, folder: Path | None) -> Path:
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


# Of each session. The timeouts are in milliseconds.
_SETTINGS = {
    "synchronous_commit": "on",  # a report is answered after the commit; `off` could lose it
    "statement_timeout": "30000",
    "lock_timeout": "20000",
    "idle_in_transaction_session_timeout": "60000",  # a suspended process must not block others
    "timezone": "UTC",
    "client_encoding": "UTF8",
}

# Options of libpq, so that a server that disappears is detected. In seconds; tcp_user_timeout is in
# milliseconds.
_CONNECT_ARGS = {
    "connect_timeout": "5",
    "keepalives_idle": "20",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
    "application_name": "certpin watch",
}

# A setting, its risky value, and the consequence (PostgreSQL's documentation, section 19.5).
_RISKY_SETTINGS = (
    ("fsync", "off", "a loss of power may destroy the database, with all that was answered"),
    ("full_page_writes", "off", "a loss of power may destroy pages that cannot be restored"),
    # The service sets it for its sessions; a connection pooler may lose that.
    ("synchronous_commit", "off", "reports that were answered a moment before a crash are lost"),
)


# An option of the address that libpq doesn't have: a connection pooler in transaction mode gives
# each transaction another session.
_POOLER, _TRANSACTION = "pooler", "transaction"


def postgresql_engine(url: URL) -> Engine:
    """Return an SQLAlchemy engine for PostgreSQL, with the driver psycopg. It is not connected yet.

    Raises:
        ConfigError: the address is invalid or insecure, or the driver isn't installed.
    """
    _check_postgresql(url)
    connect_args: dict[str, Any] = {k: v for k, v in _CONNECT_ARGS.items() if k not in url.query}
    if _POOLER in url.query:
        url = url.difference_update_query([_POOLER])
        # By default, psycopg prepares a statement in its session after five executions.
        connect_args["prepare_threshold"] = None
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args=connect_args,
            hide_parameters=True,  # keep the values of statements out of errors
            pool_pre_ping=True,  # detect a restarted server before a statement is sent
            pool_size=5,
            max_overflow=10,
            pool_timeout=10,
            pool_recycle=1800,
        )
    except ModuleNotFoundError as exc:
        raise ConfigError(
            "PostgreSQL needs a driver", key="store", fix="pip install 'certpin[cluster]'"
        ) from exc
    check_options(url)
    event.listen(engine, "connect", _configure)
    return engine


def risky_settings(connection: Connection) -> tuple[str, ...]:
    """Return a sentence for each setting of the PostgreSQL server that could lose stored data.

    For SQLite there are none, because the service itself makes the settings. NOT checked: whether a
    disk, a virtual machine or a file system really writes on ``fsync``.
    """
    if connection.dialect.name == "sqlite":
        return ()
    columns = ", ".join(f"current_setting('{name}')" for name, _, _ in _RISKY_SETTINGS)
    values = connection.execute(text(f"SELECT {columns}")).one()  # the names are constants
    return tuple(
        f"PostgreSQL runs with {name} = {risky}: {consequence}"
        for (name, risky, consequence), value in zip(_RISKY_SETTINGS, values, strict=True)
        if value == risky
    )


def _check_postgresql(url: URL) -> None:
    """Check the address of a PostgreSQL database.

    Raises:
        ConfigError: the address contains two @; or it has no ``sslmode`` and is not local; or its
            option for a connection pooler (such as PgBouncer) has an unknown value.
    """
    if "@" in (url.host or ""):
        # The host is not shown, because it is the rest of a password.
        raise ConfigError(
            "there are two @ in the address",
            key="store",
            fix="write @ in a user or a password as %40, and : as %3A",
        )
    if url.query.get(_POOLER, _TRANSACTION) != _TRANSACTION:
        raise ConfigError(
            f"the option {_POOLER} of the address: not {_TRANSACTION}",
            key="store",
            fix=f"write {_POOLER}={_TRANSACTION}; a pooler in session mode needs no option",
        )
    if not _is_local(url) and "sslmode" not in url.query:
        # By default, libpq falls back to clear text if an attacker on the network asks for it.
        raise ConfigError(
            "the address does not say whether the connection to the database is encrypted",
            key="store",
            fix="add ?sslmode=verify-full&sslrootcert=FILE; or ?sslmode=disable, "
            "if the network itself is trusted",
        )


def _is_local(url: URL) -> bool:
    """Return True if every connection to this address stays on this machine.

    Any other address must set ``sslmode``. Loopback addresses, and the folder of a Unix socket, are
    local. If the address lists several hosts, all of them must be.
    """
    hosts = url.query.get("host") or url.host or ""
    lists = [hosts] if isinstance(hosts, str) else list(hosts)
    return all(_is_local_host(host) for hosts in lists for host in hosts.split(","))


def _is_local_host(host: str) -> bool:
    name = host.partition(":")[0] if host.count(":") == 1 else host
    return not name or name.startswith("/") or is_local_only(name)


def _configure(connection: Any, _: object) -> None:
    # With SET instead of options at connect, because connection poolers refuse those.
    connection.autocommit = True
    for name, value in _SETTINGS.items():
        connection.execute(f"SET {name} = '{value}'")
    connection.autocommit = False
    connection.adapters.register_dumper(str, _text_dumper())


@cache
def _text_dumper() -> Any:
    """Return a psycopg class that passes texts to PostgreSQL, and replaces invalid characters.

    A NUL, and half of a UTF-16 surrogate pair, would make a statement fail. They occur in texts
    from the network, such as a form or the banner of a server. Each is replaced by U+FFFD, in
    stored values and in values to search for. (SQLite can store a NUL, so nothing replaces it
    there.)
    """
    from psycopg.types.string import StrDumperUnknown

    class Dumper(StrDumperUnknown):
        def dump(self, obj: str) -> Any:
            return super().dump(obj if obj.isprintable() else _storable(obj))

    return Dumper


def _storable(value: str) -> str:
    whole = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.replace("\0", "\N{REPLACEMENT CHARACTER}")
