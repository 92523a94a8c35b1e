"""When the watch took reports, so that a time without any can be told from one without a watch."""

from __future__ import annotations

from sqlalchemy import Table

from certpin_watch.store.tables.base import METADATA, moment, number

# From `since` to `until` at least one process took reports. Each makes the last row longer, again
# and again; after a pause there is a new one. What was before the first row, nobody wrote down.
LISTENED = Table(
    "listened",
    METADATA,
    number(),
    moment("since"),
    moment("until", index=True),
)
