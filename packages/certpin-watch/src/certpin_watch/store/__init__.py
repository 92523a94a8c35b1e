"""The service's database: one schema for SQLite and PostgreSQL, and every SQL statement.

The database:

- ``tables``: the schema.
- ``engine``: opens a database and yields transactions; ``sqlite`` and ``postgresql`` connect,
  ``failures`` has their errors.
- ``schema``: creates and migrates the tables, with the revisions in ``migrations``.
- ``leases``: work that only one process may do at a time.
- ``retention``, ``quota``, ``clock_guard``: delete expired and excess rows, unless the clock
  jumped.

Statements by subject:

- ``reports``, ``identities``, ``chains``: the rows that the collector writes.
- ``probes``, ``probe_jobs``: the results of probes, and the jobs of workers.
- ``alerts``, ``report_evidence``: alerts and silences, and the counts that the rules need.
- ``accounts``, ``tokens``, ``audit``: logins, tokens, the audit log.
- ``queries``: reads for pages, API and metrics.

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
