"""Delete rows in batches, so that nobody who writes reports waits for long."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import LargeBinary, delete, func, select, text, tuple_, union

from certpin.watch.store import budget
from certpin.watch.store.keeping import split
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
    REPORT_NETWORKS,
    REPORT_SAMPLES,
)
from certpin.watch.store.tables.sightings import SIGHTINGS, VANTAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Column, ColumnElement, Connection, Table

    Step = Callable[[Connection], int]

BATCH = 500  # rows of one transaction
_PAGES = 2000  # pages of SQLite that are given back at once: 8 MB
_DAY = 86_400  # seconds


def rules(limits: dict[str, int]) -> Iterator[Step]:
    """What to delete, as functions of a connection that return how many rows they deleted."""
    yield _rule(REPORT_GROUPS, REPORT_GROUPS.c.hour < limits["groups"])
    # Sums go with the last group of their day, and what they name when no later day named it.
    for table in (DAY_TRAITS, DAY_PLACES):
        yield _rule(table, table.c.day <= limits["groups"] - _DAY)
    for table in (REPORT_TRAITS, REPORT_PLACES):
        yield _rule(table, table.c.seen <= limits["groups"] - _DAY)
    yield partial(_samples, before=limits["samples"])
    yield _rule(REPORT_NETWORKS, REPORT_NETWORKS.c.day < limits["networks"])
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
    lock_chains(connection)
    # One look at all names, and not one for each chain: there may be very many of both.
    named = union(*(select(column) for column in naming()))
    found = connection.execute(
        select(CHAINS.c.digest, CHAINS.c.members, CHAINS.c.told)
        .where(CHAINS.c.digest.not_in(named))
        .limit(BATCH)
    ).all()
    delete_chains(connection, found)
    return len(found)


def lock_chains(connection: Connection) -> None:
    """Whoever inserts a chain has begun to name it: this waits for them, and they for this."""
    if connection.dialect.name != "sqlite":
        connection.execute(text("LOCK TABLE chains IN SHARE ROW EXCLUSIVE MODE"))


def delete_chains(connection: Connection, found: Sequence[Any]) -> None:
    """Delete these rows, and the certificates that were in no other chain. Needs the lock."""
    if not found:
        return
    budget.hold(connection)
    freed = sum(len(row.members) + budget.ROW for row in found if row.told)
    connection.execute(delete(CHAINS).where(CHAINS.c.digest.in_([row.digest for row in found])))
    unused = {each for row in found for each in split(row.members)}
    for members in connection.execute(select(CHAINS.c.members)).scalars():
        unused.difference_update(split(members))
    for part in _parts(sorted(unused)):
        chosen = CERTIFICATES.c.sha256.in_(part)
        size = func.sum(func.length(CERTIFICATES.c.der) + budget.ROW)
        told = connection.execute(select(size).where(chosen, CERTIFICATES.c.told)).scalar()
        freed += int(told or 0)
        connection.execute(delete(CERTIFICATES).where(chosen))
    budget.spend(connection, -freed)


def delete_samples(connection: Connection, numbers: Sequence[int]) -> int:
    """Delete these samples, and give back what they took. How many they were."""
    if numbers:
        budget.hold(connection)
        chosen = REPORT_SAMPLES.c.id.in_(numbers)
        size = func.sum(func.length(REPORT_SAMPLES.c.body) + budget.ROW)
        freed = connection.execute(select(size).where(chosen)).scalar()
        connection.execute(delete(REPORT_SAMPLES).where(chosen))
        budget.spend(connection, -int(freed or 0))
    return len(numbers)


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
    # Once more for each row: PostgreSQL waits for whoever changes one, and looks at it again then,
    # but not at what was chosen before. What was just counted anew would go.
    return connection.execute(delete(table).where(key.in_(chosen), past)).rowcount


def _samples(connection: Connection, *, before: int) -> int:
    past = select(REPORT_SAMPLES.c.id).where(REPORT_SAMPLES.c.received_at < before).limit(BATCH)
    return delete_samples(connection, connection.execute(past).scalars().all())


def _alerts(connection: Connection, *, before: int) -> int:
    """Alerts that were resolved, with what became of them and who was told."""
    past = select(ALERTS.c.id).where(ALERTS.c.resolved_at < before).limit(BATCH)
    numbers = connection.execute(past).scalars().all()
    if numbers:
        for table in (ALERT_EVENTS, TELLINGS):
            connection.execute(delete(table).where(table.c.alert.in_(numbers)))
        connection.execute(delete(ALERTS).where(ALERTS.c.id.in_(numbers)))
    return len(numbers)


def _parts(digests: list[bytes]) -> Iterator[list[bytes]]:
    return (digests[at : at + BATCH] for at in range(0, len(digests), BATCH))
