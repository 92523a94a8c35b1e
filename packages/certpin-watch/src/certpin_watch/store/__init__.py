"""The database of the monitoring service: one schema for SQLite and PostgreSQL.

- ``tables``: the schema.
- ``engine``: opens a database and yields transactions; ``sqlite`` and ``postgresql`` connect,
  ``failures`` has their errors.
- ``schema``: creates and migrates the tables, with the revisions in ``migrations``.
- ``chains``, ``identities``: chains and certificates, and the identities of counted reports.
- ``retention``, ``quota``, ``clock_guard``: delete expired and excess rows, unless the clock
  jumped.
- ``leases``: work that only one process may do at a time.
- ``queries``: reads for pages, API, metrics and rules.

Functions take a connection, so that a caller combines them in one transaction. Back-ups are made
with the databases' own tools (docs/watch-operations.md).
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
