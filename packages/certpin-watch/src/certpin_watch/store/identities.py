"""The identities of counted reports: how long they are kept, and how many.

An identity is kept for the days of ``[retention] identities`` after its report arrived, and never
less, unless there are more than ``most_identities``: then the oldest go.

On PostgreSQL a day's partition is dropped as a whole. For that, a report that is late has a second
identity without its day (``undated``), which outlives the partition. All others of a day arrived
within ``LATE`` of it.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from sqlalchemy import Column, LargeBinary, MetaData, Table, delete, func, select, update

from certpin_watch.store import partitions
from certpin_watch.store.engine import insert
from certpin_watch.store.tables.base import moment
from certpin_watch.store.tables.reports import IDENTITY_HOURS, REPORT_IDENTITIES

if TYPE_CHECKING:
    from sqlalchemy import Connection

HOUR = 3600  # seconds
LATE = 86_400  # seconds between a report's own moment and its arrival from which on it is late
_SECONDS = 5  # bytes of an identity that are the client's second
FIRST_DATED = partitions.DAY.to_bytes(_SECONDS, "big")  # identities below it have no day
_STILL_STORED = HOUR  # before the last hour that was counted: its reports may have come since

# The partitions that are not dropped: their rows are deleted.
_LOOSE = [
    Table(
        name,
        MetaData(),
        Column("identity", LargeBinary, primary_key=True),
        moment("received_at"),
    )
    for name in (partitions.UNDATED, partitions.REST)
]


def undated(identity: bytes) -> bytes:
    """Return the identity by which a late report is also known, which has no second."""
    return bytes(_SECONDS) + sha256(identity).digest()[: len(identity) - _SECONDS]


def punctual_from(received_at: int) -> bytes:
    """Return the least identity that is not late if it arrives at this second."""
    return max(received_at - LATE, 0).to_bytes(_SECONDS, "big")


def delete_past(connection: Connection, past: int, most: int, now: int, batch: int) -> int:
    """Delete identities of reports that arrived before ``past``, or are too many.

    Args:
        connection: a transaction that may write.
        past: seconds since 1970. What arrived since is not past its time.
        most: how many identities are kept at most, by the hours that were counted. Those of the
            last hour are kept in any case.
        now: seconds since 1970.
        batch: how many rows are deleted at most.

    Returns:
        How many rows were deleted: 0 if nothing is left to do.
    """
    over = over_room(connection, most, now)
    gone = max(past, over)
    for table in () if connection.dialect.name == "sqlite" else _LOOSE:
        if deleted := _delete(connection, table, gone, batch):
            return deleted
    # Rows in the partitions of days are deleted only in a flood. Otherwise they are dropped.
    rest = gone if connection.dialect.name == "sqlite" else over
    if rest and (deleted := _delete(connection, REPORT_IDENTITIES, rest, batch)):
        return deleted
    hours = IDENTITY_HOURS.c
    connection.execute(delete(IDENTITY_HOURS).where(hours.hour <= past - HOUR))
    connection.execute(update(IDENTITY_HOURS).where(hours.hour < over).values(count=0))
    return 0


def drop_past(connection: Connection, past: int, most: int, now: int) -> int:
    """Drop a partition of PostgreSQL's that ``delete_past`` would empty.

    Returns:
        How many partitions were dropped: 0 if nothing is left to do.
    """
    return partitions.drop_next(connection, max(past, over_room(connection, most, now)) - LATE)


def over_room(connection: Connection, most: int, now: int) -> int:
    """Return the second from which on identities are kept because of their number; 0 if all are."""
    hours, kept = IDENTITY_HOURS.c, 0
    newest = select(IDENTITY_HOURS).where(hours.hour <= now).order_by(hours.hour.desc())
    for hour, count in connection.execute(newest):
        kept += count
        if kept > most or not count:
            return min(int(hour) + HOUR, now - HOUR)
    return 0


class HourCount:
    """Counts the identities of each hour that was not counted yet, one hour at a call.

    Args:
        since: identities that arrived before this second are not counted.
        now: seconds since 1970.
        waits: seconds for which reports wait in a queue before they are stored.
    """

    def __init__(self, since: int, now: int, waits: int) -> None:
        self._since = since
        self._now = now
        self._waits = waits
        self._next: int | None = None

    def __call__(self, connection: Connection, batch: int) -> int:
        """Count one hour. Return 0 if there was none to count."""
        del batch  # an hour is read from the index
        hours, column = IDENTITY_HOURS.c, REPORT_IDENTITIES.c.received_at
        if self._next is None:
            last = connection.execute(select(func.max(hours.hour)).where(hours.hour <= self._now))
            counted = last.scalar() or 0
            self._next = max(self._since, counted - _STILL_STORED - self._waits)
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


def _delete(connection: Connection, table: Table, before: int, batch: int) -> int:
    # Two statements: joined with what it chooses, the delete could read whole partitions.
    column = table.c.identity
    chosen = select(column).where(table.c.received_at < before).limit(batch)
    if not (found := connection.execute(chosen).scalars().all()):
        return 0
    return connection.execute(delete(table).where(column.in_(found))).rowcount
