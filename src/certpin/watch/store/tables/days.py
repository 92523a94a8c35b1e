"""Reports added up by day, so that a year of them can be drawn at once."""

from __future__ import annotations

from sqlalchemy import Table

from certpin.watch.store.tables.base import METADATA, count, moment, text

# Of one day (the first second of it): how many reports had this value. `by` is a column of the
# groups, and empty for all reports of the day, of which there is a row for each day that was added
# up. Made of the groups, and made anew where they change: nothing is lost with it.
REPORT_DAYS = Table(
    "report_days",
    METADATA,
    text("by", primary_key=True),
    moment("day", primary_key=True),
    text("value", primary_key=True),
    count(),
)
