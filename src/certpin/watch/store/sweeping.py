"""Delete rows in batches, so that nobody who writes reports waits for long."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import LargeBinary, delete, exists, or_, select, text, tuple_

from certpin.watch.store.tables import METADATA
from certpin.watch.store.tables.access import AUDIT, GUESSES
from certpin.watch.store.tables.alerts import ALERT_EVENTS, ALERTS, SILENCES, TELLINGS
from certpin.watch.store.tables.chains import CERTIFICATES, CHAINS
from certpin.watch.store.tables.days import DAY_PLACES, DAY_TRAITS, REPORT_PLACES, REPORT_TRAITS
from certpin.watch.store.tables.listened import LISTENED
from certpin.watch.store.tables.logged import LOGGED
from certpin.watch.store.tables.reports import (
    PRESENCES,
    REPORT_GROUPS,
    REPORT_IDENTITIES,
    REPORT_SAMPLES,
)
from certpin.watch.store.tables.sightings import SIGHTINGS, VANTAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Column, ColumnElement, Connection, Table

    Step = Callable[[Connection], int]

BATCH = 500  # rows of one transaction
_PAGES = 2000  # pages of SQLite that are given back at once: 8 MB
_DAY = 86_400  # seconds
_DIGEST = 32  # bytes of a SHA-256


def rules(limits: dict[str, int]) -> Iterator[Step]:
    """What to delete, as functions of a connection that return how many rows they deleted."""
    yield _rule(REPORT_GROUPS, REPORT_GROUPS.c.hour < limits["groups"])
    # Sums go with the last group of their day, and what they name when no later day named it.
    for table in (DAY_TRAITS, DAY_PLACES):
        yield _rule(table, table.c.day <= limits["groups"] - _DAY)
    for table in (REPORT_TRAITS, REPORT_PLACES):
        yield _rule(table, table.c.seen <= limits["groups"] - _DAY)
    yield _rule(REPORT_SAMPLES, REPORT_SAMPLES.c.received_at < limits["samples"])
    yield _rule(REPORT_IDENTITIES, REPORT_IDENTITIES.c.received_at < limits["identities"])
    yield _rule(PRESENCES, PRESENCES.c.day < limits["presences"])
    # What goes on is kept, however long it has been so.
    yield _rule(SIGHTINGS, (SIGHTINGS.c.last_at < limits["sightings"]) & ~SIGHTINGS.c.latest)
    yield partial(_alerts, before=limits["alerts"])
    yield _rule(SILENCES, SILENCES.c.until < limits["alerts"])
    yield _rule(LISTENED, LISTENED.c.until < limits["groups"])
    yield _rule(LOGGED, LOGGED.c.not_after < limits["sightings"])
    yield _rule(VANTAGES, VANTAGES.c.asked_at < limits["sightings"])
    yield _rule(AUDIT, AUDIT.c.at < limits["audit"])
    yield _rule(GUESSES, GUESSES.c.last_at < limits["guesses"])


def remove_chains(connection: Connection) -> int:
    """Delete chains that nothing names, and the certificates that were in no other chain."""
    if connection.dialect.name != "sqlite":
        # Whoever inserts a chain has begun to name it: this waits for them, and they for this.
        connection.execute(text("LOCK TABLE chains IN SHARE ROW EXCLUSIVE MODE"))
    named = or_(*(exists().where(column == CHAINS.c.digest) for column in naming()))
    found = connection.execute(
        select(CHAINS.c.digest, CHAINS.c.members).where(~named).limit(BATCH)
    ).all()
    if not found:
        return 0
    connection.execute(delete(CHAINS).where(CHAINS.c.digest.in_([row.digest for row in found])))
    unused = {each for row in found for each in _members(row.members)}
    for members in connection.execute(select(CHAINS.c.members)).scalars():
        unused.difference_update(_members(members))
    for part in _parts(sorted(unused)):
        connection.execute(delete(CERTIFICATES).where(CERTIFICATES.c.sha256.in_(part)))
    return len(found)


def naming() -> list[Column[bytes]]:
    """The columns that name a chain: whatever is called so, in any table."""
    return [
        column
        for table in METADATA.sorted_tables
        for column in table.columns
        if column.name in {"served", "verified"} and isinstance(column.type, LargeBinary)
    ]


def shrink(connection: Connection) -> bool:
    """Give free pages of an SQLite file back; whether there may be more.

    A tenth of the file stays free: it would grow again at once. A file that was not made by
    certpin (``auto_vacuum``) keeps its size.
    """
    free = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
    pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    mode = connection.exec_driver_sql("PRAGMA auto_vacuum").scalar_one()
    spare = min(_PAGES, free - pages // 10)
    if mode != 2 or spare <= 0:
        return False
    raw: Any = connection.connection.driver_connection
    for _ in range(spare):  # Python's module steps once: of more than one page it frees one
        raw.execute("PRAGMA incremental_vacuum(1)")
    return bool(spare == _PAGES)


def _rule(table: Table, past: ColumnElement[bool]) -> Step:
    return partial(_batch, table=table, past=past)


def _batch(connection: Connection, *, table: Table, past: ColumnElement[bool]) -> int:
    keys = list(table.primary_key.columns)
    chosen = select(*keys).where(past).limit(BATCH)
    key = keys[0] if len(keys) == 1 else tuple_(*keys)
    return connection.execute(delete(table).where(key.in_(chosen))).rowcount


def _alerts(connection: Connection, *, before: int) -> int:
    """Alerts that were resolved, with what became of them and who was told."""
    past = select(ALERTS.c.id).where(ALERTS.c.resolved_at < before).limit(BATCH)
    numbers = connection.execute(past).scalars().all()
    if numbers:
        for table in (ALERT_EVENTS, TELLINGS):
            connection.execute(delete(table).where(table.c.alert.in_(numbers)))
        connection.execute(delete(ALERTS).where(ALERTS.c.id.in_(numbers)))
    return len(numbers)


def _members(members: bytes) -> list[bytes]:
    return [members[at : at + _DIGEST] for at in range(0, len(members), _DIGEST)]


def _parts(digests: list[bytes]) -> Iterator[list[bytes]]:
    return (digests[at : at + BATCH] for at in range(0, len(digests), BATCH))
