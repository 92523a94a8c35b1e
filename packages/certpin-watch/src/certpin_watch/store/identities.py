"""The identities of counted reports: digests that recognise a report that is sent again.

An identity is kept for the days of ``[retention] identities`` after its report arrived. If there
are more than ``[collector] most_identities``, the oldest are deleted earlier.

An identity begins with the client's time in seconds. On PostgreSQL the table is partitioned by the
day of that time, and a whole partition is dropped at once: this takes as long for a hundred million
rows as for none, while deleting the rows takes minutes, and a statement has 30 seconds. SQLite has
no partitions: there, rows are deleted.

- ``report_identities_YYYYMMDD`` has the reports of one day, by the clients' clocks.
- ``report_identities_undated`` has identities that contain no day (see below).
- ``report_identities_rest`` has reports of days without a partition, because the clients' clocks
  were far off.

A report is *late* if it arrived ``LATE`` seconds or more after the client's time. Its identity is
in the partition of an earlier day, which is dropped too early to recognise all repeats. So a late
report also has a second identity, which contains no day (``undated``), in
``report_identities_undated``. That partition is never dropped: retention deletes its expired rows.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from sqlalchemy import Column, LargeBinary, MetaData, Table, delete, func, select, text, update

from certpin_watch.store.engine import advisory_lock, insert
from certpin_watch.store.tables.columns import timestamp
from certpin_watch.store.tables.observations import IDENTITY_HOURS, REPORT_IDENTITIES

if TYPE_CHECKING:
    from sqlalchemy import Connection

HOUR = 3600  # seconds
DAY = 86_400  # seconds
LATE = 86_400  # seconds: a report that arrives this much after its own time is late
DAYS_AHEAD = 3  # days for which a partition is created in advance
_SECOND_BYTES = 5  # bytes of an identity that are the client's second
FIRST_DATED = DAY.to_bytes(_SECOND_BYTES, "big")  # lower identities have no day
_RECOUNTED = HOUR  # before the last counted hour: its reports may have arrived since

UNDATED = f"{REPORT_IDENTITIES.name}_undated"
REST = f"{REPORT_IDENTITIES.name}_rest"

# The partitions that are never dropped: their rows are deleted.
_PERMANENT_PARTITIONS = [
    Table(
        name,
        MetaData(),
        Column("identity", LargeBinary, primary_key=True),
        timestamp("received_at"),
    )
    for name in (UNDATED, REST)
]

# How long the collector may wait for a change of the partitions. If a back-up reads for longer,
# the next round of retention tries again.
_LOCK_TIMEOUT = "1s"
_PARTITIONS = """
SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = CAST(:name AS regclass)
"""
# The names and bounds come from this module only.
_CREATE = """
CREATE TABLE {name} (LIKE {parent} INCLUDING ALL);
LOCK TABLE {rest} IN ACCESS EXCLUSIVE MODE; -- as ATTACH does; later, a row could come in between
WITH moved AS (DELETE FROM {rest} WHERE identity >= {low} AND identity < {high} RETURNING *)
INSERT INTO {name} SELECT * FROM moved;
ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES FROM ({low}) TO ({high});
"""


def undated(identity: bytes) -> bytes:
    """Return the second identity of a late report: a hash of its first identity.

    The second identity contains no day, so it isn't deleted with the partition of a day.
    """
    return bytes(_SECOND_BYTES) + sha256(identity).digest()[: len(identity) - _SECOND_BYTES]


def lowest_on_time(received_at: int) -> bytes:
    """Return the lowest identity of a report that arrives at ``received_at`` and isn't late.

    An identity begins with the client's time, so any lower identity belongs to a late report: one
    that arrives ``LATE`` seconds or more after the client's time. ``received_at`` is in seconds
    since 1970.
    """
    return max(received_at - LATE, 0).to_bytes(_SECOND_BYTES, "big")


def delete_expired(
    connection: Connection, past: int, max_identities: int, now: int, batch: int
) -> int:
    """Delete a batch of report identities: expired ones, or the oldest if there are too many.

    An identity is a digest that recognises a repeated report. Expired identities in a PostgreSQL
    partition of one day are not deleted here: ``drop_expired_partition`` drops the whole partition.

    Args:
        connection: a transaction that may write.
        past: the expiry: reports that arrived before this time, in seconds since 1970, have
            expired.
        max_identities: the maximum number of identities. It is compared with the numbers that
            ``HourCount`` stored. Identities of reports that arrived in the last hour are never
            deleted because of this limit.
        now: seconds since 1970.
        batch: the maximum number of rows that are deleted.

    Returns:
        The number of deleted rows; 0 if nothing is left to do.
    """
    excess = excess_before(connection, max_identities, now)
    before = max(past, excess)
    for table in () if connection.dialect.name == "sqlite" else _PERMANENT_PARTITIONS:
        if deleted := _delete(connection, table, before, batch):
            return deleted
    # Rows in the partitions of days are deleted only in a flood. Otherwise these are dropped.
    rest = before if connection.dialect.name == "sqlite" else excess
    if rest and (deleted := _delete(connection, REPORT_IDENTITIES, rest, batch)):
        return deleted
    hours = IDENTITY_HOURS.c
    connection.execute(delete(IDENTITY_HOURS).where(hours.hour <= past - HOUR))
    connection.execute(update(IDENTITY_HOURS).where(hours.hour < excess).values(count=0))
    return 0


def excess_before(connection: Connection, max_identities: int, now: int) -> int:
    """Return the time such that identities of reports that arrived earlier exceed the maximum.

    An identity is a digest that recognises a repeated report. The newest ``max_identities`` are
    kept. The function reads the number of identities that ``HourCount`` stored for each hour, the
    newest hour first, and adds the numbers up. It stops at the first hour at which the sum exceeds
    ``max_identities``, or which has the number 0: the identities of such an hour were deleted
    before. The result is the end of this hour, but at the latest an hour before ``now``.

    Returns:
        Seconds since 1970; 0 if there is no such hour, so that all identities are kept.
    """
    hours, kept = IDENTITY_HOURS.c, 0
    newest = select(IDENTITY_HOURS).where(hours.hour <= now).order_by(hours.hour.desc())
    for hour, count in connection.execute(newest):
        kept += count
        if kept > max_identities or not count:
            return min(int(hour) + HOUR, now - HOUR)
    return 0


def _delete(connection: Connection, table: Table, before: int, batch: int) -> int:
    # Two statements: with a subquery, the delete could read whole partitions.
    column = table.c.identity
    chosen = select(column).where(table.c.received_at < before).limit(batch)
    if not (found := connection.execute(chosen).scalars().all()):
        return 0
    return connection.execute(delete(table).where(column.in_(found))).rowcount


class HourCount:
    """Counts report identities by the hour in which the reports arrived. An instance is callable.

    An identity is a digest that recognises a repeated report. Each call counts the identities of
    one hour, and stores the number. A report can be stored long after it arrived. So some hours are
    counted again: the first call starts one hour plus ``waits`` before the last counted hour.
    Earlier hours are not counted again.

    Args:
        since: hours before this time are not counted. In seconds since 1970.
        now: the current time, in seconds since 1970.
        waits: for how many seconds reports wait in a queue before they are stored.
    """

    def __init__(self, since: int, now: int, waits: int) -> None:
        self._since = since
        self._now = now
        self._waits = waits
        self._next: int | None = None

    def __call__(self, connection: Connection, batch: int) -> int:
        """Count the report identities of the next hour that has any, and store the number.

        Args:
            connection: a transaction that may write.
            batch: ignored. Retention passes it to all of its steps.

        Returns:
            1 if an hour was counted; 0 if no hour is left.
        """
        del batch  # an hour is read from the index
        hours, column = IDENTITY_HOURS.c, REPORT_IDENTITIES.c.received_at
        if self._next is None:
            last = connection.execute(select(func.max(hours.hour)).where(hours.hour <= self._now))
            counted = last.scalar() or 0
            self._next = max(self._since, counted - _RECOUNTED - self._waits)
        after = select(func.min(column)).where(column.between(self._next, self._now))
        first = connection.execute(after).scalar()
        if first is None:
            return 0
        hour = first - first % HOUR
        of_hour = select(func.count()).where(column >= hour, column < hour + HOUR)
        row = {"count": connection.execute(of_hour).scalar_one()}
        new = insert(connection, IDENTITY_HOURS).values(hour=hour, **row)
        connection.execute(new.on_conflict_do_update(index_elements=[hours.hour], set_=row))
        self._next = hour + HOUR
        return 1


def partition_days(connection: Connection) -> list[int]:
    """Return the days that have a partition of the table of report identities, the oldest first.

    An identity is a digest that recognises a repeated report. Each day is given as its first
    second, since 1970.
    """
    names = connection.execute(text(_PARTITIONS), {"name": REPORT_IDENTITIES.name}).scalars()
    return sorted(day for day in map(_partition_day, names) if day is not None)


def create_next_partition(connection: Connection, now: int) -> int:
    """Create the partition of report identities for the first day that needs one and has none.

    An identity is a digest that recognises a repeated report. Today and the next ``DAYS_AHEAD``
    days need a partition. Stored identities of the day are moved into the new partition. ``now`` is
    in seconds since 1970.

    Returns:
        The number of partitions that were created: 0 if none is missing.
    """
    if not _missing_days(connection, now):
        return 0
    connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
    advisory_lock(connection, b"certpin partitions")
    for day in _missing_days(connection, now)[:1]:  # another process may have created it meanwhile
        _create_partition(connection, day)
        return 1
    return 0


def drop_expired_partition(connection: Connection, past: int, max_identities: int, now: int) -> int:
    """Drop the oldest daily partition of report identities if no row in it is needed any more.

    An identity is a digest that recognises a repeated report. A row is not needed if it has
    expired, or if ``max_identities`` newer rows are stored.

    Args:
        connection: a transaction that may write.
        past: the expiry: reports that arrived before this time, in seconds since 1970, have
            expired.
        max_identities: the maximum number of identities.
        now: seconds since 1970.

    Returns:
        The number of partitions that were dropped: 0 if nothing is left to do.
    """
    before = max(past, excess_before(connection, max_identities, now)) - LATE
    return drop_next_partition(connection, before)


def drop_next_partition(connection: Connection, before: int) -> int:
    """Drop the oldest daily partition of report identities if its day had ended at ``before``.

    An identity is a digest that recognises a repeated report. ``before`` is in seconds since 1970.

    Returns:
        The number of partitions that were dropped, 1 or 0.
    """
    for day in partition_days(connection)[:1]:
        if day + DAY <= before:
            connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
            connection.execute(text(f"DROP TABLE IF EXISTS {_partition_name(day)}"))
            return 1
    return 0


def _missing_days(connection: Connection, now: int) -> list[int]:
    today = now - now % DAY
    existing = partition_days(connection)
    days = range(today, today + DAYS_AHEAD * DAY + 1, DAY)
    return [day for day in days if day not in existing]


def _create_partition(connection: Connection, day: int) -> None:
    low, high = (f"'\\x{at.to_bytes(5, 'big').hex()}'::bytea" for at in (day, day + DAY))
    parent = REPORT_IDENTITIES.name
    connection.exec_driver_sql(
        _CREATE.format(name=_partition_name(day), parent=parent, rest=REST, low=low, high=high)
    )


def _partition_name(day: int) -> str:
    return f"{REPORT_IDENTITIES.name}_{datetime.fromtimestamp(day, UTC):%Y%m%d}"


def _partition_day(name: str) -> int | None:
    with suppress(ValueError):
        date = name.removeprefix(f"{REPORT_IDENTITIES.name}_")
        return int(datetime.strptime(f"{date} +0000", "%Y%m%d %z").timestamp())
    return None
