"""The service's database: one schema for SQLite and PostgreSQL, and every SQL statement.

The database:

- ``tables``: the schema.
- ``engine``: opens a database, yields transactions, and converts errors of the database.
  ``connections``: opens the connections to SQLite and PostgreSQL.
- ``schema``: creates and migrates the tables, with the revisions in ``migrations``.
- ``leases``: work that only one process does at a time, and the jobs of workers.
- ``instances``: compares the settings and pin files of the instances that share a store.
- ``retention``, ``quota``: delete expired and excess rows, unless the clock jumped.

Statements by subject:

- ``reports``, ``identities``, ``chains``: the rows that the collector writes.
- ``probes``: the results of probes.
- ``alerts``: alerts and silences.
- ``accounts``, ``sessions``: accounts, tokens and the audit log; logins.
- ``queries``: reads for pages, API, metrics and rules.

Functions take a connection as argument, so that a caller can combine them in one transaction.
Back-ups are made with the databases' own tools (docs/operate/operations.md).
"""

from __future__ import annotations

from certpin_watch.store.engine import Store, open_store
from certpin_watch.store.schema import SchemaState, migrate, prepare, schema_state

__all__ = ["SchemaState", "Store", "migrate", "open_store", "prepare", "schema_state"]
