"""PostgreSQL's partitions of ``report_identities``: one for each day of the reports themselves.

Dropping a partition takes as long for a hundred million rows as for none. Deleting the rows takes
minutes, and a statement has 30 seconds. SQLite has no partitions: there, rows are deleted.

An identity begins with the client's second, so PostgreSQL finds its partition by itself:

- ``report_identities_YYYYMMDD`` has the reports of one day, by the clients' clocks.
- ``report_identities_undated`` has identities without a day (``collector/received.py``).
- ``report_identities_rest`` has the days without a partition: those of clocks that are far off.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from sqlalchemy import text

from certpin_watch.store.tables.reports import REPORT_IDENTITIES

if TYPE_CHECKING:
    from sqlalchemy import Connection

DAY = 86_400  # seconds
AHEAD = 3  # days for which a partition is made in advance
UNDATED = f"{REPORT_IDENTITIES.name}_undated"
REST = f"{REPORT_IDENTITIES.name}_rest"

# How long the collector may wait for a change of the partitions. If a back-up reads for longer,
# retention tries again in its next round.
_PATIENCE = "1s"
_PARTITIONS = """
SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = CAST(:name AS regclass)
"""
# Names and bounds are of our own making.
_MAKE = """
CREATE TABLE {name} (LIKE {parent} INCLUDING ALL);
LOCK TABLE {rest} IN ACCESS EXCLUSIVE MODE; -- as attaching does; later, a row could come in between
WITH moved AS (DELETE FROM {rest} WHERE identity >= {low} AND identity < {high} RETURNING *)
INSERT INTO {name} SELECT * FROM moved;
ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES FROM ({low}) TO ({high});
"""
_LOCK = int.from_bytes(sha256(b"certpin partitions").digest()[:8], signed=True)


def days(connection: Connection) -> list[int]:
    """Return the first second of each day that has a partition, the oldest first."""
    names = connection.execute(text(_PARTITIONS), {"name": REPORT_IDENTITIES.name}).scalars()
    return sorted(day for day in map(_day_of, names) if day is not None)


def make_next(connection: Connection, now: int) -> int:
    """Make one partition that is missing, of today or a day soon.

    Identities that came before their partition are moved into it.

    Returns:
        How many partitions were made: 0 if none is missing.
    """
    if not _missing(connection, now):
        return 0
    connection.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE}'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    for day in _missing(connection, now)[:1]:  # another process may have made them meanwhile
        _make(connection, day)
        return 1
    return 0


def drop_next(connection: Connection, before: int) -> int:
    """Drop the oldest partition if its day ended before the second ``before``.

    Returns:
        How many partitions were dropped: 0 if none is that old.
    """
    for day in days(connection)[:1]:
        if day + DAY <= before:
            connection.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE}'"))
            connection.execute(text(f"DROP TABLE IF EXISTS {_name_of(day)}"))
            return 1
    return 0


def _missing(connection: Connection, now: int) -> list[int]:
    today = now - now % DAY
    there = days(connection)
    return [day for day in range(today, today + AHEAD * DAY + 1, DAY) if day not in there]


def _make(connection: Connection, day: int) -> None:
    low, high = (f"'\\x{at.to_bytes(5, 'big').hex()}'::bytea" for at in (day, day + DAY))
    parent = REPORT_IDENTITIES.name
    connection.exec_driver_sql(
        _MAKE.format(name=_name_of(day), parent=parent, rest=REST, low=low, high=high)
    )


def _name_of(day: int) -> str:
    return f"{REPORT_IDENTITIES.name}_{datetime.fromtimestamp(day, UTC):%Y%m%d}"


def _day_of(name: str) -> int | None:
    with suppress(ValueError):
        date = name.removeprefix(f"{REPORT_IDENTITIES.name}_")
        return int(datetime.strptime(f"{date} +0000", "%Y%m%d %z").timestamp())
    return None
