"""The database schema, as SQLAlchemy tables. All times are in seconds since 1970 (UTC).

- ``columns``: ``METADATA`` (the collection of all tables), and functions that create columns.
- ``observations``: certificates and chains, probe results, reports of clients and their sums.
- ``service``: alerts, accounts, tokens and sessions, and the service's own records.
"""

from __future__ import annotations

from certpin_watch.store.tables import observations, service
from certpin_watch.store.tables.columns import METADATA

__all__ = ["METADATA", "observations", "service"]
