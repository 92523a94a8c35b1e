"""Open a database, and run transactions in it: SQLite in one file, or PostgreSQL."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError

from certpin.errors import ConfigError
from certpin_watch.store.failures import StoreHealth, store_error, translated_errors
from certpin_watch.store.postgresql import postgresql_engine
from certpin_watch.store.sqlite import BUSY, sqlite_engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection, Engine, Table


class Store:
    """A database. Threads may share it. Nothing is opened before its first use.

    ``read`` and ``write`` are transactions. They raise ``StoreError`` if the database is
    unavailable, busy, full, damaged or has another schema. ``health`` says whether it works, by the
    results of this process's reads and writes.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.health = StoreHealth()
        self._writing = threading.Lock()

    @property
    def is_sqlite(self) -> bool:
        """True if the database is an SQLite file."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a read-only transaction: every statement sees the database at the same moment.

        Raises:
            StoreError: the database can't be read.
        """
        with self.health.record_damage(), translated_errors(), self.engine.connect() as connection:
            connection.execution_options(**self._read_options)
            with connection.begin():
                yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Yield a transaction that is durable when the block ends, and undone if it raises.

        Raises:
            StoreError: the database can't be written.
        """
        with (
            self.health.record_write(),
            translated_errors(),
            self._sqlite_writer(),
            self.engine.begin() as connection,
        ):
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @property
    def _read_options(self) -> dict[str, Any]:
        if self.is_sqlite:
            return {"certpin_reads": True}
        # With READ COMMITTED, the default, each statement would see another moment.
        return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

    @contextmanager
    def _sqlite_writer(self) -> Iterator[None]:
        """Hold this process's lock for writers: SQLite allows one, and polls for its own lock."""
        if not self.is_sqlite:
            yield
            return
        if not self._writing.acquire(timeout=BUSY):
            raise store_error("busy")
        try:
            yield
        finally:
            self._writing.release()


def open_store(url: str, *, folder: Path | None = None) -> Store:
    """Open a database. Nothing is read, written or created yet; ``schema.prepare`` does that.

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


def insert(connection: Connection, table: Table) -> Any:
    """Return an ``INSERT`` with ``on_conflict_do_update``, in the dialect of the database."""
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)


def _invalid_address() -> ConfigError:
    # The address is not shown, because it may contain a password.
    return ConfigError(
        "this is not a database that certpin supports",
        key="store",
        fix="sqlite:///watch.db, or postgresql://USER@HOST/NAME",
    )
