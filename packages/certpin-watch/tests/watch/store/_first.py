"""A database of the first released revision, with rows in every table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import MetaData, insert, text

from certpin_watch.store import schema
from tests.watch.store._rows import fill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin_watch.store import Store

FIRST = "0001"
_DAY, _HOUR = 86_400, 3600


def make_first(store: Store) -> MetaData:
    """Create the first revision's tables in an empty database, fill them, and return their
    metadata.
    """
    with store.write() as connection:
        schema.upgrade(connection, FIRST)
    tables = MetaData()
    tables.reflect(store.engine)
    tables.remove(tables.tables[schema.VERSION_TABLE])
    fill(store, tables=tables)
    with store.write() as connection:
        if not store.is_sqlite:  # the sequence doesn't know the IDs that were inserted here
            connection.execute(text("SELECT setval('report_groups_id_seq', 10)"))
        connection.execute(insert(tables.tables["report_groups"]), list(_groups()))
    return tables


def _groups() -> Iterator[dict[str, Any]]:
    """Yield rows for 60 groups of reports on several days, with few different values in each
    column.
    """
    for number in range(60):
        hour = 20_000 * _DAY + number % 4 * _DAY + number % 3 * _HOUR
        yield {
            "key": number.to_bytes(32), "hour": hour, "host": f"{number % 5}.example",
            "served": bytes([number % 2]) * 32 if number % 3 else b"", "verified": b"",
            "pin_set": "bank", "version": number % 2, "app": "", "app_version": "5.\N{SNOWMAN}",
            "platform": ("ios", "android", "")[number % 3], "network": "wifi", "kind": "certpin",
            "decision": "refuse", "reason": "mismatch", "folded": 0, "count": number + 1,
            "first_at": hour + number, "last_at": hour + 60 + number,
        }  # fmt: skip
