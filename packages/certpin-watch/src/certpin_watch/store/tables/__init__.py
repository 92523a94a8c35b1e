"""The database schema, as SQLAlchemy tables. All times are in seconds since 1970 (UTC).

- ``columns``: ``METADATA`` and the column types.
- ``reports``: reports of clients, and their sums.
- ``probes``: certificates and chains, probe results, logged certificates.
- ``alerts``: alerts, silences, notifications.
- ``service``: accounts, tokens and sessions, and the service's own records.
"""

from __future__ import annotations

from certpin_watch.store.tables import alerts, probes, reports, service
from certpin_watch.store.tables.columns import METADATA

__all__ = ["METADATA", "alerts", "probes", "reports", "service"]
