"""Revision 0002: fill the daily sums of reports, and partition the report identities by day.

The new column ``highest`` (the highest severity of the messages about an alert) gets the value of
``peak``, the severity of the last message, because older severities are not stored.
"""

from __future__ import annotations

import time
from collections import defaultdict
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import column, func, select, table, update
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Connection

_DAY = 86_400
_DAYS_BEFORE, _DAYS_AFTER = 10, 3  # days before and after today that get a partition
_AT_ONCE = 500  # sums that are read into memory and written together

_TRAIT_NAMES = (
    "pin_set", "version", "app", "app_version", "platform", "network", "kind", "decision", "reason",
)  # fmt: skip
_PLACE_NAMES = ("host", "served")
_COUNTS = ("count", "first_at", "last_at")


def _table(name: str, *names: str) -> Any:
    return table(name, *map(column, names))


_GROUPS = _table("report_groups", "hour", *_PLACE_NAMES, *_TRAIT_NAMES, *_COUNTS)
_TRAITS = _table("report_traits", "id", "key", "seen", *_TRAIT_NAMES)
_PLACES = _table("report_places", "id", "seen", *_PLACE_NAMES)
_ALERTS = _table("alerts", "peak", "highest")
_DAY_TRAITS = _table("day_traits", "day", "trait", "count")
_DAY_PLACES = _table("day_places", "place", "day", "trait", *_COUNTS)


def after(connection: Connection) -> None:
    """Fill the tables and columns that revision 0002 adds, and partition the report identities.

    A report identity is a digest that recognises a repeated report. Revision 0002 calls this at its
    end. Nothing is partitioned on SQLite, which has no partitions.
    """
    add_up(connection)
    connection.execute(update(_ALERTS).values(highest=_ALERTS.c.peak))
    if connection.dialect.name != "sqlite":
        _partition(connection, int(time.time()))


def add_up(connection: Connection) -> None:
    """Fill the new tables of daily sums from the report groups, which count reports by the hour.

    The sums are computed day by day, so that the database sorts only one day's groups at once.
    """
    for day in _days(connection):
        for rows in _groups(connection, day):
            _add_up(connection, day, rows)


def _partition(connection: Connection, now: int) -> None:
    """Move PostgreSQL's report identities into partitions by day, including expired identities.

    A report identity is a digest that recognises a repeated report. If a report arrived more than a
    day after the client's time, a second identity is added for it, which contains no day
    (``store.identities`` explains why). The indexes are created last, which is faster because the
    rows are unordered.
    """
    today = now - now % _DAY
    days = range(today - _DAYS_BEFORE * _DAY, today + _DAYS_AFTER * _DAY + 1, _DAY)
    for statement in (
        "ALTER TABLE report_identities RENAME TO report_identities_old",
        "ALTER INDEX pk_report_identities RENAME TO pk_report_identities_old",
        "DROP INDEX ix_report_identities_received_at",
        _PARENT,
        _part("undated", f"FROM (MINVALUE) TO ({_bound(_DAY)})"),
        *(
            _part(
                f"{datetime.fromtimestamp(day, UTC):%Y%m%d}",
                f"FROM ({_bound(day)}) TO ({_bound(day + _DAY)})",
            )
            for day in days
        ),
        "CREATE TABLE report_identities_rest PARTITION OF report_identities DEFAULT",
        "INSERT INTO report_identities SELECT * FROM report_identities_old",
        _LATE,
        "DROP TABLE report_identities_old",
        "ALTER TABLE report_identities ADD CONSTRAINT pk_report_identities PRIMARY KEY (identity)",
        "CREATE INDEX ix_report_identities_received_at ON report_identities (received_at)",
    ):
        connection.exec_driver_sql(statement)


_PARENT = """
CREATE TABLE report_identities (identity BYTEA NOT NULL, received_at BIGINT NOT NULL)
PARTITION BY RANGE (identity)
"""

# Only times below 2^40, because five bytes hold no more.
_LATE = """
INSERT INTO report_identities
SELECT decode('0000000000', 'hex') || substr(sha256(identity), 1, 27), received_at
FROM report_identities_old WHERE received_at BETWEEN 86400 AND 1099511627775
AND identity >= decode('0000015180', 'hex')
AND identity < decode(lpad(to_hex(received_at - 86400), 10, '0'), 'hex')
"""


def _part(name: str, values: str) -> str:
    return (
        f"CREATE TABLE report_identities_{name} PARTITION OF report_identities FOR VALUES {values}"
    )


def _bound(second: int) -> str:
    return f"'\\x{second.to_bytes(5, 'big').hex()}'::bytea"


def _days(connection: Connection) -> Iterator[int]:
    """Yield the first second of each day with report groups (hourly report counts), in order."""
    day = -_DAY
    while True:
        next_one = select(func.min(_GROUPS.c.hour)).where(_GROUPS.c.hour >= day + _DAY)
        hour = connection.execute(next_one).scalar()
        if hour is None:
            return
        day = hour - hour % _DAY
        yield day


def _groups(connection: Connection, day: int) -> Iterator[Any]:
    """Yield the sums of the reports of a day by host, chain and other fields, in batches of rows.

    The hourly counts of reports with equal fields (report groups) are added up. ``day`` is the
    first second of the day.
    """
    columns = _GROUPS.c
    by = [columns[name] for name in (*_PLACE_NAMES, *_TRAIT_NAMES)]
    statement = (
        select(
            *by,
            func.sum(columns.count).label("count"),
            func.min(columns.first_at).label("first_at"),
            func.max(columns.last_at).label("last_at"),
        )
        .where(columns.hour >= day, columns.hour < day + _DAY)
        .group_by(*by)
    )
    found = connection.execute(statement, execution_options={"yield_per": _AT_ONCE})
    yield from found.partitions()


def _add_up(connection: Connection, day: int, rows: Any) -> None:
    traits = [tuple(row._mapping[name] for name in _TRAIT_NAMES) for row in rows]
    places = [(row.host, bytes(row.served)) for row in rows]
    trait_ids = _traits(connection, day, traits)
    place_ids = _places(connection, day, places)
    by_trait: dict[int, int] = defaultdict(int)
    by_place = []
    for row, values, place in zip(rows, traits, places, strict=True):
        count, trait = int(row._mapping["count"]), trait_ids[values]
        by_trait[trait] += count
        total = {"place": place_ids[place], "day": day, "trait": trait, "count": count}
        by_place.append({**total, "first_at": row.first_at, "last_at": row.last_at})
    connection.execute(_DAY_PLACES.insert(), by_place)
    insert = _insert(connection, _DAY_TRAITS)
    added = {"count": _DAY_TRAITS.c.count + insert.excluded.count}
    connection.execute(
        insert.on_conflict_do_update(index_elements=["day", "trait"], set_=added),
        [{"day": day, "trait": trait, "count": count} for trait, count in by_trait.items()],
    )


def _traits(
    connection: Connection, day: int, traits: Iterable[tuple[Any, ...]]
) -> dict[tuple[Any, ...], int]:
    keys = {sha256(msgspec.msgpack.encode(values)).digest(): values for values in traits}
    insert = _insert(connection, _TRAITS)
    statement = insert.on_conflict_do_update(
        index_elements=["key"], set_={"seen": insert.excluded.seen}
    ).returning(_TRAITS.c.id, _TRAITS.c.key)
    rows = [
        {"key": key, "seen": day, **dict(zip(_TRAIT_NAMES, values, strict=True))}
        for key, values in keys.items()
    ]
    return {keys[bytes(row.key)]: row.id for row in connection.execute(statement, rows)}


def _places(
    connection: Connection, day: int, places: Iterable[tuple[str, bytes]]
) -> dict[tuple[str, bytes], int]:
    insert = _insert(connection, _PLACES)
    statement = insert.on_conflict_do_update(
        index_elements=["host", "served"], set_={"seen": insert.excluded.seen}
    ).returning(_PLACES.c.id, _PLACES.c.host, _PLACES.c.served)
    rows = [{"host": host, "served": served, "seen": day} for host, served in set(places)]
    return {(row.host, bytes(row.served)): row.id for row in connection.execute(statement, rows)}


def _insert(connection: Connection, into: Any) -> Any:
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(into)
