"""How each kind of retention ended last."""

from __future__ import annotations

from sqlalchemy import Table

from certpin_watch.store.tables.base import METADATA, moment, text

# `tried_at` is the end of the last attempt of any process, `done_at` of the last one that deleted
# everything that was past its time; NULL if none did. `reason` is a word of `store/failures.py`,
# empty if the last attempt succeeded.
SWEEPS = Table(
    "sweeps",
    METADATA,
    text("kind", primary_key=True),
    moment("tried_at"),
    moment("done_at", nullable=True),
    text("reason"),
)
