"""Up to when the clock is believed, so that a leap of it deletes nothing."""

from __future__ import annotations

from sqlalchemy import Table

from certpin_watch.store.tables.base import METADATA, moment, text

# One row. `at` is the last moment that was believed; `leapt_at` is where the clock stood when it
# was found to be far beyond that, NULL where it was not. Back-ups are of another time.
CLOCK = Table(
    "clock",
    METADATA,
    text("name", primary_key=True),
    moment("at"),
    moment("leapt_at", nullable=True),
    info={"transient": True},
)
