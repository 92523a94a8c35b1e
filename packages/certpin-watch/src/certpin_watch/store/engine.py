"""A database, and connections to it: SQLite in one file, or PostgreSQL."""

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
    """A database. Threads may share it; nothing is opened before it is first asked.

    ``read`` and ``write`` are transactions, and raise ``StoreError`` where the database is away,
    busy, full, damaged or of another schema. SQLite has one writer at a time, so ``write`` takes
    turns here rather than in the database, which would look again and again instead of waiting.
    ``trouble`` says whether it works, by what this process read and wrote.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.health = StoreHealth()
        self._writing = threading.Lock()

    @property
    def is_sqlite(self) -> bool:
        """Whether it is one file."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that can change nothing: one moment of everything.

        Raises ``StoreError``.
        """
        with self.health.record_damage(), translated_errors(), self.engine.connect() as connection:
            connection.execution_options(**self._reading)
            with connection.begin():
                yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction, durable when the block ends, and undone when it raises.

        Raises ``StoreError``.
        """
        with (
            self.health.record_write(),
            translated_errors(),
            self._turn(),
            self.engine.begin() as connection,
        ):
            yield connection

    def close(self) -> None:
        """Let go of every connection."""
        self.engine.dispose()

    @property
    def _reading(self) -> dict[str, Any]:
        if self.is_sqlite:
            return {"certpin_reads": True}
        # READ COMMITTED, the default, would be another moment at each statement.
        return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

    @contextmanager
    def _turn(self) -> Iterator[None]:
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
    """Open ``sqlite:///watch.db`` or ``postgresql://…``. Raises ``ConfigError``.

    A relative path is one from ``folder``. Nothing is read or written yet: the file is made when
    it is first asked for something, and the schema is looked at by ``prepare``.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise _refused() from None  # the error has a part of the address in it
    if parsed.get_backend_name() == "sqlite":
        return Store(sqlite_engine(parsed, folder))
    if parsed.get_backend_name() == "postgresql":
        return Store(postgresql_engine(parsed))
    raise _refused()


def insert(connection: Connection, table: Table) -> Any:
    """An ``INSERT`` that knows ``on_conflict_do_update``: both databases write it alike."""
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)


def _refused() -> ConfigError:
    """The address is not shown: there may be a password in it."""
    return ConfigError(
        "this is not a database that the watch knows",
        key="store",
        fix="sqlite:///watch.db, or postgresql://USER@HOST/NAME",
    )
