"""What waits outside of the store to be counted in it."""

from __future__ import annotations

from sqlalchemy import Table

from certpin_watch.store.tables.base import METADATA, count, moment, text

# How the stream of the reports was when a writer last looked: `messages` wait, the first of them
# since `oldest_at` (by the clock of the NATS server), NULL where none does.
REPORT_QUEUE = Table(
    "report_queue",
    METADATA,
    text("stream", primary_key=True),
    count("messages"),
    moment("oldest_at", nullable=True),
    moment("looked_at"),
    info={"transient": True},
)
