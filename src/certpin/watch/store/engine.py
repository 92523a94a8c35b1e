"""A database, and connections to it: SQLite in one file, or PostgreSQL."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError

from certpin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine, Table
    from sqlalchemy.engine import URL

_BUSY = 30.0  # seconds that one process waits for another that writes


class Store:
    """A database. Threads may share it.

    ``read`` and ``write`` are transactions. SQLite has one writer at a time, so ``write`` takes
    turns here rather than in the database, which would answer "busy" instead of waiting.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._writing = threading.Lock()

    @property
    def is_sqlite(self) -> bool:
        """Whether it is one file."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that changes nothing: one moment of everything."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction, durable when the block ends, and undone when it raises."""
        if not self.is_sqlite:
            with self.engine.begin() as connection:
                yield connection
            return
        with self._writing, self.engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            with connection.begin():
                yield connection

    def close(self) -> None:
        """Let go of every connection."""
        self.engine.dispose()


def open_store(url: str) -> Store:
    """Open ``sqlite:///watch.db`` or ``postgresql://…``. Raises ``ConfigError``.

    Nothing is read or written yet: the schema is looked at by ``migrations``.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as exc:
        raise _refused() from exc
    if parsed.get_backend_name() == "sqlite":
        return Store(_sqlite(parsed))
    if parsed.get_backend_name() == "postgresql":
        return Store(_postgresql(parsed))
    raise _refused()


def insert(connection: Connection, table: Table) -> Any:
    """An ``INSERT`` that knows ``on_conflict_do_update``: both databases write it alike."""
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url.set(drivername="sqlite"), connect_args={"timeout": _BUSY})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: object) -> None:
        # Transactions begin where the store says so, and not at the first statement that writes.
        connection.isolation_level = None
        for setting in (
            "journal_mode = WAL",
            "synchronous = FULL",  # durable at COMMIT: in WAL mode, NORMAL is not
            "foreign_keys = ON",
            "temp_store = MEMORY",
        ):
            connection.execute(f"PRAGMA {setting}")

    return engine


def _postgresql(url: URL) -> Engine:
    try:
        return create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    except ModuleNotFoundError as exc:
        raise ConfigError(
            "PostgreSQL needs a driver", key="store", fix="pip install certpin[cluster]"
        ) from exc


def _refused() -> ConfigError:
    """The address is not shown: there may be a password in it."""
    return ConfigError(
        "this is not a database that the watch knows",
        key="store",
        fix="sqlite:///watch.db, or postgresql://USER@HOST/NAME",
    )
