"""Retention: delete expired rows in batches, unless the clock jumped ahead.

Each kind of row has a *step*: a function that deletes one batch of rows in one transaction. Between
two batches, the collector can write reports. If a step fails, the steps of other kinds still run.
The background task (``certpin_watch.retention``) calls the steps, and ``record_sweep`` stores if
the deletion of each kind succeeded. SQLite overwrites deleted data (``secure_delete``), and
``shrink_file`` returns free pages to the file system. In PostgreSQL, autovacuum makes the space of
deleted rows free again.

Chains and certificates are deleted when no row refers to them. So code that stores a row which
refers to a chain must ensure that the chain exists. There are two ways. The code inserts the chain
in the same transaction (``ON CONFLICT DO NOTHING``). Or the code has stored another row with this
chain in the last twelve hours: that row is kept for at least a day, and the chain with it. Chains
that only clients reported can be deleted earlier, if the quota is nearly used up (``quota``).

If the clock jumps far ahead by mistake, all rows seem to be expired: years of counts, and the
identities that recognise a report that is sent again. The service can't distinguish this from a
long time in which it was switched off. So in both cases, ``check_clock`` stops deletion for a day,
so that an operator can notice the jump; the log and the pages give the reason. If the clock still
has the new time after that day, it is trusted.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import LargeBinary, delete, exists, select, tuple_

from certpin_watch.settings import RetentionSettings
from certpin_watch.settings.reader import known_keys
from certpin_watch.store import identities, quota
from certpin_watch.store.chains import delete_chains, lock_chain_deletes
from certpin_watch.store.engine import insert
from certpin_watch.store.identities import DAY
from certpin_watch.store.sessions import FAILURES_KEPT
from certpin_watch.store.tables import METADATA
from certpin_watch.store.tables.observations import (
    CHAINS,
    DAY_PLACES,
    DAY_TRAITS,
    LISTENED,
    LOGGED,
    PRESENCES,
    REPORT_GROUPS,
    REPORT_NETWORKS,
    REPORT_PLACES,
    REPORT_SAMPLES,
    REPORT_TRAITS,
    SIGHTINGS,
    VANTAGES,
)
from certpin_watch.store.tables.service import (
    ALERT_EVENTS,
    ALERTS,
    AUDIT,
    CLOCK,
    GUESSES,
    SILENCES,
    SWEEPS,
    TELLINGS,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy import Column, ColumnElement, Connection
    from sqlalchemy import Table as SqlTable

    from certpin_watch.settings import CollectorSettings

    # Delete a batch of at most so many rows. Return how many rows it went through; 0: all is done.
    Step = Callable[[Connection, int], int]

MAX_STEP = 86_400  # seconds between two checks of the clock, of which there is one an hour
HOLD = 86_400  # seconds for which a clock has to run on from the time it jumped to

_CLOCK_NAME = "retention"
_MAX_QUEUE_DAYS = 30  # days that reports may wait in the stream and still be recognised as repeats
_NETWORKS_KEPT = 2 * DAY  # seconds: only the networks of today and yesterday are read
_MAX_PAGES = 2000  # pages of SQLite that one step returns to the file system: 8 MB


def retention_steps(
    settings: RetentionSettings,
    limits: CollectorSettings,
    now: datetime,
    queue_delay: timedelta,
    *,
    is_sqlite: bool,
) -> dict[str, Step]:
    """Return a function for each kind of row, which deletes one batch of expired or excess rows.

    Some functions do other regular work on the tables, such as creating partitions. The result maps
    the name of each function to the function. Its arguments are a connection that may write, and
    the largest number of rows to delete. It returns 0 if nothing is left to do, and otherwise a
    number such as that of the deleted rows.

    Args:
        settings: the days for which rows are kept.
        limits: the limits on reports.
        now: the current time.
        queue_delay: for how long, at most, a report has waited in the queue that leads to the
            store; zero without a queue.
        is_sqlite: True if the store is an SQLite file, False for PostgreSQL.
    """
    at = int(now.timestamp())
    cutoffs = cutoff_times(settings, now, queue_delay)
    past = cutoffs["identities"]
    steps: dict[str, Step] = {
        "identity_hours": identities.HourCount(past, at, _delay_seconds(queue_delay)),
        "report_identities": lambda connection, batch: identities.delete_expired(
            connection, past, limits.most_identities, at, batch
        ),
        **table_steps(cutoffs),
        "budget": lambda connection, batch: quota.evict_bytes(connection, limits.budget, at, batch),
        "most_samples": lambda connection, batch: quota.evict_samples(
            connection, limits.most_samples, at, batch
        ),
    }
    if is_sqlite:
        return steps | {"file": shrink_file}
    return steps | {
        "partitions": lambda connection, _: identities.create_next_partition(connection, at),
        "old_partitions": lambda connection, _: identities.drop_expired_partition(
            connection, past, limits.most_identities, at
        ),
    }


def cutoff_times(
    settings: RetentionSettings,
    now: datetime,
    queue_delay: timedelta = timedelta(0),
) -> dict[str, int]:
    """Return the time before which rows of each kind are deleted, in seconds since 1970.

    The kinds are the names of the settings in ``RetentionSettings``, and "guesses" and "networks".

    Args:
        settings: the days for which rows are kept.
        now: the current time.
        queue_delay: for how long, at most, a report has waited in the queue that leads to the
            store. A repeat can wait there, too, so report identities (digests that recognise
            repeats) are kept longer by this time, but by at most 30 days.
    """
    at = int(now.timestamp())
    found = {
        name: max(0, at - getattr(settings, name) * DAY) for name in known_keys(RetentionSettings)
    }
    found["identities"] = max(0, found["identities"] - _delay_seconds(queue_delay))
    return found | {
        "guesses": max(0, at - int(FAILURES_KEPT)),
        "networks": max(0, at - _NETWORKS_KEPT),
    }


def _delay_seconds(queue_delay: timedelta) -> int:
    return min(int(queue_delay.total_seconds()), _MAX_QUEUE_DAYS * DAY)


def table_steps(cutoffs: dict[str, int]) -> dict[str, Step]:
    """Return a step for each table, by its name: a function that deletes a batch of expired rows.

    ``cutoffs`` are the times before which rows expire, from ``cutoff_times``. They are given by the
    kind of row, in seconds since 1970.
    """
    groups, sightings = cutoffs["groups"], cutoffs["sightings"]
    rules = [
        (REPORT_GROUPS, REPORT_GROUPS.c.hour < groups),
        # A day's sums are deleted with its last group; the rows they refer to once no later day
        # refers to them.
        (DAY_TRAITS, DAY_TRAITS.c.day <= groups - DAY),
        (DAY_PLACES, DAY_PLACES.c.day <= groups - DAY),
        (REPORT_TRAITS, REPORT_TRAITS.c.seen <= groups - DAY),
        (REPORT_PLACES, REPORT_PLACES.c.seen <= groups - DAY),
        (REPORT_NETWORKS, REPORT_NETWORKS.c.day < cutoffs["networks"]),
        (PRESENCES, PRESENCES.c.day < cutoffs["presences"]),
        # The current state is kept, however old it is.
        (SIGHTINGS, (SIGHTINGS.c.last_at < sightings) & ~SIGHTINGS.c.latest),
        (SILENCES, SILENCES.c.until < cutoffs["alerts"]),
        (LISTENED, LISTENED.c.until < groups),
        (LOGGED, LOGGED.c.not_after < sightings),
        (VANTAGES, VANTAGES.c.asked_at < sightings),
        (AUDIT, AUDIT.c.at < cutoffs["audit"]),
        (GUESSES, GUESSES.c.last_at < cutoffs["guesses"]),
    ]
    return {
        **{table.name: partial(_delete_batch, table=table, past=past) for table, past in rules},
        REPORT_SAMPLES.name: partial(_delete_samples, before=cutoffs["samples"]),
        ALERTS.name: partial(_delete_alerts, before=cutoffs["alerts"]),
        CHAINS.name: UnreferencedChains(),
    }


def _delete_batch(
    connection: Connection, batch: int, *, table: SqlTable, past: ColumnElement[bool]
) -> int:
    keys = list(table.primary_key.columns)
    chosen = select(*keys).where(past).limit(batch)
    key = keys[0] if len(keys) == 1 else tuple_(*keys)
    # The condition is repeated: PostgreSQL waits for a transaction that changes a row, and then
    # checks the row again, but not the subquery. Without it, a row that was just counted in would
    # be deleted.
    return connection.execute(delete(table).where(key.in_(chosen), past)).rowcount


def _delete_samples(connection: Connection, batch: int, *, before: int) -> int:
    past = select(REPORT_SAMPLES.c.id).where(REPORT_SAMPLES.c.received_at < before).limit(batch)
    return quota.delete_samples(connection, connection.execute(past).scalars().all())


def _delete_alerts(connection: Connection, batch: int, *, before: int) -> int:
    """Delete alerts that were resolved before a time, with their events and messages.

    ``before`` is in seconds since 1970. At most ``batch`` alerts are deleted. Return their number.
    """
    past = select(ALERTS.c.id).where(ALERTS.c.resolved_at < before).limit(batch)
    ids = connection.execute(past).scalars().all()
    if ids:
        for table in (ALERT_EVENTS, TELLINGS):
            connection.execute(delete(table).where(table.c.alert.in_(ids)))
        connection.execute(delete(ALERTS).where(ALERTS.c.id.in_(ids)))
    return len(ids)


class UnreferencedChains:
    """A step that deletes chains to which no row refers, and certificates that no other chain has.

    Each call checks the next batch of chains. The database searches the rows that refer to these
    chains by index. To read all references at once would take longer than PostgreSQL's statement
    timeout.
    """

    def __init__(self) -> None:
        self._after = b""

    def __call__(self, connection: Connection, batch: int) -> int:
        """Check the next batch of chains, and delete those that no row refers to.

        Return how many chains were checked; 0 if there are no more.
        """
        column = CHAINS.c.digest
        part = select(column).where(column > self._after).order_by(column).limit(batch)
        digests = connection.execute(part).scalars().all()
        if unreferenced := _unreferenced(connection, digests):
            lock_chain_deletes(connection)
            # Again: only now the lock keeps the collector from referring to one of them.
            digests_left = [row.digest for row in unreferenced]
            delete_chains(connection, _unreferenced(connection, digests_left))
        if digests:
            self._after = bytes(digests[-1])
        return len(digests)


def _unreferenced(connection: Connection, digests: Sequence[bytes]) -> Sequence[Any]:
    chains = CHAINS.c
    references = (exists().where(column == chains.digest) for column in chain_columns())
    wanted = select(chains.digest, chains.members, chains.told).where(chains.digest.in_(digests))
    free = wanted.where(*(~reference for reference in references))
    return connection.execute(free).all() if digests else []


def chain_columns() -> list[Column[bytes]]:
    """Return the columns of all tables that refer to a chain (``served`` and ``verified``).

    A chain to which none of them refers can be deleted.
    """
    return [
        column
        for table in METADATA.sorted_tables
        for column in table.columns
        if column.name in {"served", "verified"} and isinstance(column.type, LargeBinary)
    ]


def shrink_file(connection: Connection, batch: int = 0) -> int:
    """Return free pages of an SQLite file to the file system, up to ``_MAX_PAGES`` in one call.

    A tenth of the file stays free for new data: otherwise the file would grow again at once. A file
    without ``auto_vacuum``, which certpin did not create, keeps its size.

    Args:
        connection: a transaction that may write.
        batch: ignored. Retention passes it to all of its steps.

    Returns:
        ``_MAX_PAGES`` if that many pages were returned: call again, because more are possibly left.
        Otherwise 0, even if some pages were returned.
    """
    del batch
    free = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
    pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    mode = connection.exec_driver_sql("PRAGMA auto_vacuum").scalar_one()
    spare = min(_MAX_PAGES, free - pages // 10)
    if mode != 2 or spare <= 0:
        return 0
    raw: Any = connection.connection.driver_connection
    for _ in range(spare):  # Python's module steps once, so a larger number would free one page
        raw.execute("PRAGMA incremental_vacuum(1)")
    return spare if spare == _MAX_PAGES else 0


def record_sweep(connection: Connection, kind: str, now: int, reason: str = "") -> None:
    """Store when the last attempt to delete expired rows of a kind was made, and its result.

    Args:
        connection: a transaction that may write.
        kind: a key of ``retention_steps``.
        now: seconds since 1970.
        reason: why the attempt failed, such as "busy" (``engine.REASONS``); empty if all expired
            rows are deleted.
    """
    row: dict[str, Any] = {"tried_at": now, "reason": reason}
    if not reason:
        row["done_at"] = now
    new = insert(connection, SWEEPS).values(kind=kind, **row)
    connection.execute(new.on_conflict_do_update(index_elements=["kind"], set_=row))


class ClockState(NamedTuple):
    """The state of the clock: the last trusted time, and a jump ahead that isn't trusted yet.

    Attributes:
        at: the last trusted time, in seconds since 1970.
        leapt_at: the time to which the clock jumped since then; None if it did not jump.
    """

    at: int
    leapt_at: int | None = None

    @property
    def held_until(self) -> int | None:
        """The time until which retention deletes nothing, because the clock jumped ahead.

        It is in seconds since 1970; None if the clock is trusted.
        """
        return None if self.leapt_at is None else self.leapt_at + HOLD


def next_state(last: ClockState | None, now: int) -> ClockState:
    """Decide if the clock is trusted at ``now``, and return its new state. This does no I/O.

    The clock is trusted if it is at most ``MAX_STEP`` ahead of the last trusted time, if it was set
    back (then only fewer rows expire), or if it still has the new time ``HOLD`` after a jump.

    Args:
        last: the previous state; None if there is none, then the clock is trusted.
        now: seconds since 1970.
    """
    if last is None or now <= last.at + MAX_STEP:
        return ClockState(now)
    since = last.leapt_at
    if since is None or not since <= now < since + HOLD + MAX_STEP:
        return ClockState(last.at, now)
    return ClockState(now) if now >= since + HOLD else last


def check_clock(connection: Connection, mine: ClockState | None, now: int) -> ClockState:
    """Decide if the clock is trusted at ``now``, store the new state, and return it.

    It is not trusted for some time after it jumped ahead (``next_state``): nothing is deleted then,
    because rows would seem to be older than they are.

    Args:
        connection: a transaction that may write.
        mine: the last state that this process knows; None if it knows none. If the store has a
            state with a later trusted time, that state is used.
        now: seconds since 1970.
    """
    states = (mine, stored_state(connection))
    last = max(filter(None, states), key=lambda state: state.at, default=None)
    found = next_state(last, now)
    row = found._asdict()
    new = insert(connection, CLOCK).values(name=_CLOCK_NAME, **row)
    connection.execute(new.on_conflict_do_update(index_elements=[CLOCK.c.name], set_=row))
    return found


def stored_state(connection: Connection) -> ClockState | None:
    """Return the state of the clock that ``check_clock`` last stored, in any process.

    Return None if none is stored.
    """
    found = select(CLOCK.c.at, CLOCK.c.leapt_at).where(CLOCK.c.name == _CLOCK_NAME)
    row = connection.execute(found).first()
    return None if row is None else ClockState(row.at, row.leapt_at)
