"""What the watch remembers: one schema for SQLite and PostgreSQL.

``engine`` opens a database and hands out connections; ``tables`` has a file for each subject;
``schema`` migrates; ``leases`` keep processes from doing one thing twice. A back-up is the work of
the database's own tools (docs/watch-operations.md). Reads and writes go through modules of
functions over a connection, each beside its subject.
"""

from __future__ import annotations

from certpin_watch.store.engine import Store, insert, open_store
from certpin_watch.store.schema import (
    Migration,
    Schema,
    SchemaState,
    migrate,
    prepare,
    schema_state,
)

__all__ = [
    "Migration",
    "Schema",
    "SchemaState",
    "Store",
    "insert",
    "migrate",
    "open_store",
    "prepare",
    "schema_state",
]
