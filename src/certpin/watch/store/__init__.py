"""What the watch remembers: one schema for SQLite and PostgreSQL.

``engine`` opens a database and hands out connections; ``tables`` has a file for each subject.
Whoever reads or writes does it through a module of functions over a connection, beside its subject.
"""

from __future__ import annotations

from certpin.watch.store.engine import Store, insert, open_store

__all__ = ["Store", "insert", "open_store"]
