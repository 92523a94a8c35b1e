"""Whether the database keeps what it is given: a trial, and settings that would lose rows.

SQLite's settings are the service's own (``on_sqlite``). PostgreSQL's are those of its operator. NOT
seen: what a disk, a virtual machine or a file system makes of ``fsync``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, text

from certpin.errors import StoreError
from certpin_watch.store import leases
from certpin_watch.store.tables import METADATA

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from certpin_watch.store.engine import Store

_TRIAL = "trial"  # the lease that a trial writes; it ends at once

# The setting, the value that is weak, and what it means (PostgreSQL's documentation, 19.5).
_WEAK = (
    ("fsync", "off", "a loss of power may destroy the database, with all that was answered"),
    ("full_page_writes", "off", "a loss of power may destroy pages that cannot be restored"),
    # The watch sets it for its own sessions; a pooler in between may lose that.
    ("synchronous_commit", "off", "reports that were answered a moment before a crash are lost"),
)


def weaknesses(connection: Connection) -> tuple[str, ...]:
    """A sentence for each; none where all is as it should be."""
    if connection.dialect.name == "sqlite":
        return ()
    asked = ", ".join(f"current_setting('{name}')" for name, _, _ in _WEAK)
    values = connection.execute(text(f"SELECT {asked}")).one()  # names from above
    return tuple(
        f"PostgreSQL runs with {name} = {weak}: {meaning}"
        for (name, weak, meaning), value in zip(_WEAK, values, strict=True)
        if value == weak
    )


def try_out(store: Store, now: int) -> None:
    """Read a row of every table, and write one, durably.

    A damaged file answers ``SELECT 1``, and a full disk can be read. A store that is busy passes:
    others are reading and writing.

    Args:
        store: the store.
        now: seconds since 1970.

    Raises:
        StoreError: the store is away, full, damaged, read-only or of another schema.
    """
    try:
        with store.read() as connection:
            for table in METADATA.sorted_tables:
                newest = [column.desc() for column in table.primary_key]
                connection.execute(select(table).order_by(*newest).limit(1)).first()
        with store.write() as connection:
            leases.take(connection, _TRIAL, _TRIAL, now, 0)
    except StoreError as exc:
        if exc.reason != "busy":
            raise
