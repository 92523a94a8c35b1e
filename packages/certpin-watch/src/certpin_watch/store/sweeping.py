"""Delete rows in batches: reports are written in between, and each batch stays deleted.

Each table has a step of its own. If one fails, the others go on (``retention``).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import LargeBinary, delete, exists, func, select, text, tuple_

from certpin_watch.store import budget
from certpin_watch.store.keeping import split
from certpin_watch.store.tables import METADATA
from certpin_watch.store.tables.access import AUDIT, GUESSES
from certpin_watch.store.tables.alerts import ALERT_EVENTS, ALERTS, SILENCES, TELLINGS
from certpin_watch.store.tables.chains import CERTIFICATES, CHAINS
from certpin_watch.store.tables.days import DAY_PLACES, DAY_TRAITS, REPORT_PLACES, REPORT_TRAITS
from certpin_watch.store.tables.listened import LISTENED
from certpin_watch.store.tables.logged import LOGGED
from certpin_watch.store.tables.reports import (
    PRESENCES,
    REPORT_GROUPS,
    REPORT_NETWORKS,
    REPORT_SAMPLES,
)
from certpin_watch.store.tables.sightings import SIGHTINGS, VANTAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Column, ColumnElement, Connection, Table

    Step = Callable[[Connection, int], int]

BATCH = 500  # rows of one transaction
_PAGES = 2000  # pages of SQLite that are given back at once: 8 MB
_DAY = 86_400  # seconds


def steps(limits: dict[str, int]) -> dict[str, Step]:
    """Return what to delete by the name of its table.

    Each step is one transaction's work: it deletes a batch at most, and returns how many rows it
    went through. 0 means that nothing is left to do.
    """
    groups, sightings = limits["groups"], limits["sightings"]
    rules = [
        (REPORT_GROUPS, REPORT_GROUPS.c.hour < groups),
        # Sums go with the last group of their day, and what they name when no later day named it.
        (DAY_TRAITS, DAY_TRAITS.c.day <= groups - _DAY),
        (DAY_PLACES, DAY_PLACES.c.day <= groups - _DAY),
        (REPORT_TRAITS, REPORT_TRAITS.c.seen <= groups - _DAY),
        (REPORT_PLACES, REPORT_PLACES.c.seen <= groups - _DAY),
        (REPORT_NETWORKS, REPORT_NETWORKS.c.day < limits["networks"]),
        (PRESENCES, PRESENCES.c.day < limits["presences"]),
        # What goes on is kept, however long it has been so.
        (SIGHTINGS, (SIGHTINGS.c.last_at < sightings) & ~SIGHTINGS.c.latest),
        (SILENCES, SILENCES.c.until < limits["alerts"]),
        (LISTENED, LISTENED.c.until < groups),
        (LOGGED, LOGGED.c.not_after < sightings),
        (VANTAGES, VANTAGES.c.asked_at < sightings),
        (AUDIT, AUDIT.c.at < limits["audit"]),
        (GUESSES, GUESSES.c.last_at < limits["guesses"]),
    ]
    return {
        **{table.name: partial(_batch, table=table, past=past) for table, past in rules},
        REPORT_SAMPLES.name: partial(_samples, before=limits["samples"]),
        ALERTS.name: partial(_alerts, before=limits["alerts"]),
        CHAINS.name: UnnamedChains(),
    }


class UnnamedChains:
    """Deletes chains that no row names, and the certificates that were in no other chain.

    It goes through all chains, a batch at a call, and finds the rows that name them by index:
    one look at all names takes longer than PostgreSQL gives a statement.
    """

    def __init__(self) -> None:
        self._after = b""

    def __call__(self, connection: Connection, batch: int) -> int:
        """Look at a batch of chains. Return how many they were."""
        column = CHAINS.c.digest
        part = select(column).where(column > self._after).order_by(column).limit(batch)
        digests = connection.execute(part).scalars().all()
        if unnamed := _unnamed(connection, digests):
            lock_chains(connection)
            # Again: only the lock keeps the collector from naming one of them.
            delete_chains(connection, _unnamed(connection, [row.digest for row in unnamed]))
        if digests:
            self._after = bytes(digests[-1])
        return len(digests)


def _unnamed(connection: Connection, digests: Sequence[bytes]) -> Sequence[Any]:
    chains = CHAINS.c
    named = (exists().where(column == chains.digest) for column in naming())
    wanted = select(chains.digest, chains.members, chains.told).where(chains.digest.in_(digests))
    return connection.execute(wanted.where(*(~each for each in named))).all() if digests else []


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


def shrink(connection: Connection, batch: int = 0) -> int:
    """Give free pages of an SQLite file back. Return how many; 0: there are no more.

    A tenth of the file stays free: it would grow again at once. A file that was not made by
    certpin (``auto_vacuum``) keeps its size. ``batch`` has no meaning here.
    """
    del batch
    free = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
    pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    mode = connection.exec_driver_sql("PRAGMA auto_vacuum").scalar_one()
    spare = min(_PAGES, free - pages // 10)
    if mode != 2 or spare <= 0:
        return 0
    raw: Any = connection.connection.driver_connection
    for _ in range(spare):  # Python's module steps once: of more than one page it frees one
        raw.execute("PRAGMA incremental_vacuum(1)")
    return spare if spare == _PAGES else 0


def _batch(connection: Connection, batch: int, *, table: Table, past: ColumnElement[bool]) -> int:
    keys = list(table.primary_key.columns)
    chosen = select(*keys).where(past).limit(batch)
    key = keys[0] if len(keys) == 1 else tuple_(*keys)
    # Once more for each row: PostgreSQL waits for whoever changes one, and looks at it again then,
    # but not at what was chosen before. What was just counted anew would go.
    return connection.execute(delete(table).where(key.in_(chosen), past)).rowcount


def _samples(connection: Connection, batch: int, *, before: int) -> int:
    past = select(REPORT_SAMPLES.c.id).where(REPORT_SAMPLES.c.received_at < before).limit(batch)
    return delete_samples(connection, connection.execute(past).scalars().all())


def _alerts(connection: Connection, batch: int, *, before: int) -> int:
    """Alerts that were resolved, with what became of them and who was told."""
    past = select(ALERTS.c.id).where(ALERTS.c.resolved_at < before).limit(batch)
    numbers = connection.execute(past).scalars().all()
    if numbers:
        for table in (ALERT_EVENTS, TELLINGS):
            connection.execute(delete(table).where(table.c.alert.in_(numbers)))
        connection.execute(delete(ALERTS).where(ALERTS.c.id.in_(numbers)))
    return len(numbers)


def _parts(digests: list[bytes]) -> Iterator[list[bytes]]:
    return (digests[at : at + BATCH] for at in range(0, len(digests), BATCH))
