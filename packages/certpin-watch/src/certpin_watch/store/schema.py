"""Which schema a database has, and how it gets the one of this version of certpin.

Revisions only go up. There is no way down: what a newer version wrote has no place in an older
schema, and who has to go back restores the copy or the back-up from before.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import column, inspect, select, table, text

from certpin.errors import ConfigError, StoreError
from certpin_watch.store import leases
from certpin_watch.store.sqlite import copy_sqlite, path_of
from certpin_watch.store.tables import METADATA

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory
    from sqlalchemy import Connection

    from certpin_watch.store.engine import Store

VERSION_TABLE = "certpin_schema"
_TRIAL = "trial"  # the lease that a trial writes; it ends at once
_REVISIONS = Path(__file__).parent / "migrations"

# Whoever migrates holds this lock of PostgreSQL's: a number that nobody else has by chance.
_LOCK = int.from_bytes(hashlib.sha256(b"certpin watch migrate").digest()[:8], signed=True)


class SchemaState(StrEnum):
    """What a database is to this version of certpin."""

    CURRENT = "current"
    EMPTY = "empty"  # no table at all
    BEHIND = "behind"  # of an older version: `migrate` brings it up
    NEWER = "newer"  # of a newer one, which alone knows what it means
    FOREIGN = "foreign"  # somebody else's


@dataclass(frozen=True)
class Schema:
    """The state of a database, and the revision that it has; ``None`` where it has none."""

    state: SchemaState
    revision: str | None


@dataclass(frozen=True)
class Migration:
    """What ``migrate`` did: from which revision to which, and where the file of before is."""

    before: str | None
    after: str
    copy: Path | None = None


def schema_state(store: Store) -> Schema:
    """Look at a database, and make none. Raises ``StoreError`` where that is not possible."""
    if store.is_sqlite and not path_of(store.engine).exists():
        return Schema(SchemaState.EMPTY, None)
    with store.read() as connection:
        return schema_of(connection)


def schema_of(connection: Connection) -> Schema:
    """The same, in a transaction that is there."""
    tables = inspect(connection).get_table_names()
    if VERSION_TABLE not in tables:
        return Schema(SchemaState.FOREIGN if tables else SchemaState.EMPTY, None)
    version = table(VERSION_TABLE, column("version_num"))
    revision = connection.execute(select(version.c.version_num)).scalar()
    return Schema(_state(revision), revision)


def latest() -> str:
    """The revision that this version of certpin works with."""
    head = _scripts().get_current_head()
    if head is None:  # a package that lost its files
        raise ConfigError("the revisions of the schema are missing", fix="install certpin again")
    return head


def migrate(store: Store) -> Migration:
    """Bring a database to the latest revision, whole or not at all.

    Several processes may do it at once: one does it, the others find it done. An SQLite file that
    is not empty is copied first, beside it. Raises ``StoreError``, with the reason ``schema`` for
    a database that is newer, or somebody else's.
    """
    with store.write() as connection:
        if not store.is_sqlite:  # SQLite has one writer anyhow
            take_turn(connection)
        _refuse_encoding(connection)
        found = schema_of(connection)
        if found.state is SchemaState.CURRENT:
            return Migration(found.revision, latest())
        if found.state not in {SchemaState.EMPTY, SchemaState.BEHIND}:
            raise unusable(found)
        copy = None
        if store.is_sqlite and found.state is SchemaState.BEHIND:
            copy = _keep(path_of(store.engine), found)
        upgrade(connection)
    return Migration(found.revision, latest(), copy)


def prepare(store: Store) -> Migration | None:
    """Make a database ready for the service, or refuse: an SQLite file is migrated by itself.

    PostgreSQL is not: several processes may run on it, and all but one would be of the wrong
    version from then on. Raises ``StoreError``.
    """
    found = schema_state(store)
    if found.state is SchemaState.CURRENT:
        with store.read() as connection:
            _refuse_encoding(connection)
        return None
    if store.is_sqlite and found.state in {SchemaState.EMPTY, SchemaState.BEHIND}:
        return migrate(store)
    raise unusable(found)


def _refuse_encoding(connection: Connection) -> None:
    """A database of another character set takes some reports, and never those with an emoji."""
    if connection.dialect.name == "sqlite":
        return
    if connection.execute(text("SHOW server_encoding")).scalar() != "UTF8":
        raise StoreError(
            "the database is not in UTF-8, and would refuse what others write",
            reason="schema",
            fix="CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
        )


def unusable(found: Schema) -> StoreError:
    """The error for a database in a state that is not ``CURRENT``."""
    problem, fix = _WHY[found.state]
    return StoreError(problem, reason="schema", fix=fix)


_WHY = {
    SchemaState.EMPTY: ("the database has no tables yet", "certpin watch migrate"),
    SchemaState.BEHIND: (
        "the database is of an older version of certpin",
        "back it up (docs/watch-operations.md), then: certpin watch migrate",
    ),
    SchemaState.NEWER: (
        "the database is of a newer version of certpin, which alone knows what is in it",
        "install that version, or restore a back-up from before",
    ),
    SchemaState.FOREIGN: (
        "the database has tables, and not those of certpin's watch",
        "give the watch a database of its own",
    ),
}


def _state(revision: str | None) -> SchemaState:
    known = [each.revision for each in _scripts().walk_revisions()]
    if revision == latest():
        return SchemaState.CURRENT
    if revision in known:
        return SchemaState.BEHIND
    newer = revision is not None and revision.isdecimal() and revision > latest()
    return SchemaState.NEWER if newer else SchemaState.FOREIGN


def take_turn(connection: Connection) -> None:
    """On PostgreSQL: one at a time works on the schema, for as long as it takes."""
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    connection.execute(text("SET LOCAL lock_timeout = 0"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run what is missing up to a revision, in the transaction of the connection."""
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext

    scripts = _scripts()
    with EnvironmentContext(
        Config(), scripts, fn=lambda now, _: scripts._upgrade_revs(revision, now)
    ) as environment:
        # The transaction is the store's: alembic sees it, and begins none of its own.
        environment.configure(connection=connection, version_table=VERSION_TABLE)
        environment.run_migrations()


def _scripts() -> ScriptDirectory:
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(_REVISIONS))


def _keep(path: Path, found: Schema) -> Path:
    """Copy a file as it is before the migration. The caller has the lock: nobody writes."""
    copy = path.with_name(f"{path.name}.revision-{found.revision}")
    copy_sqlite(path, copy)
    return copy


def check_tables(store: Store, now: int) -> None:
    """Read a row of every table, and write one, durably.

    A damaged file answers ``SELECT 1``, and a full disk can be read. A store that is busy passes:
    others are reading and writing.

    Args:
        store: the store.
        now: seconds since 1970.

    Raises:
        StoreError: the store is away, full, damaged, read-only or of another schema.
    """
    try:
        with store.read() as connection:
            for table in METADATA.sorted_tables:
                newest = [column.desc() for column in table.primary_key]
                connection.execute(select(table).order_by(*newest).limit(1)).first()
        with store.write() as connection:
            leases.take(connection, _TRIAL, _TRIAL, now, 0)
    except StoreError as exc:
        if exc.reason != "busy":
            raise
