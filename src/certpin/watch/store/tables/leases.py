"""Who does what only one process at a time may do."""

from __future__ import annotations

from sqlalchemy import Table

from certpin.watch.store.tables.base import METADATA, moment, text

LEASES = Table(
    "leases",
    METADATA,
    text("name", primary_key=True),
    text("holder"),
    moment("until"),
)
