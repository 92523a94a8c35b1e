"""How current the service's data is: the last probes and reports, and the last uses of tokens.

The tokens are those of workers. ``Freshness`` also has the leases (for each task that only one
process does at a time, which process that is), how much of each limit on reports is used, and the
reasons if the service can't read, store or delete data.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime  # noqa: TC003  # msgspec reads the fields when it first encodes
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import func, select

from certpin_watch.settings import DEFAULT_THRESHOLDS, Thresholds
from certpin_watch.store.accounts import worker_tokens
from certpin_watch.store.connections import risky_settings
from certpin_watch.store.leases import TRIAL
from certpin_watch.store.queries import to_datetime, to_datetime_or_none, to_seconds
from certpin_watch.store.queries.capacity import (
    Part,
    Queue,
    Sweep,
    Window,
    capacity,
    repeat_window,
    report_queue,
    sweeps,
)
from certpin_watch.store.queries.hosts import names
from certpin_watch.store.retention import stored_state
from certpin_watch.store.tables.observations import (
    LATEST,
    PRESENCES,
    REPORT_GROUPS,
    REPORT_IDENTITIES,
    SIGHTINGS,
    VANTAGES,
)
from certpin_watch.store.tables.service import INSTANCES, LEASES, PROBES

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from certpin_watch.snapshot import Snapshot


_MAX_LOCATIONS = 100
_MAX_LEASES = 100
_MAX_WORKERS = 500
_MAX_UNSEEN = 100  # names of hosts that were never probed
_MINUTE = 60
_MINUTES = 60  # in the counts of arrivals by minute
_MAX_ARRIVALS = 200_000  # messages that `arrivals` reads: a page must be quick in the worst hour


class VantageFreshness(msgspec.Struct, frozen=True):
    """How current the probe results of one location (a machine that probes hosts) are.

    Attributes:
        vantage: the name of the location.
        hosts: the number of hosts with a current result.
        stale: true if there is no result, or if the last one is older than the setting allows.
        last_at: when the location last returned a result; null if it never did.
        asked_at: when its probes were last scheduled; null if they aren't any more.
    """

    vantage: str
    hosts: int
    stale: bool
    last_at: datetime | None = None
    asked_at: datetime | None = None


class WorkerContact(msgspec.Struct, frozen=True):
    """A valid token of a worker, and when it was last used.

    ``name`` and ``token`` are the name and the ID of the token, ``vantage`` is the worker's
    location. ``last_at`` is accurate to a minute, and null if the token was never used.
    """

    name: str
    token: str
    vantage: str
    last_at: datetime | None = None


class Lease(msgspec.Struct, frozen=True):
    """A lease: the right of one process to do a task, which only one process does at a time.

    ``name`` is the task, ``holder`` the process, and ``until`` the time at which the lease ends.
    ``held`` is false if that time is over.
    """

    name: str
    holder: str
    until: datetime
    held: bool


class Freshness(msgspec.Struct, frozen=True):
    """How current the data of the service is, and which data it can't read, store or delete.

    Attributes:
        now: the time of this information.
        hosts: the number of monitored hosts.
        unseen_count: the number of monitored hosts that no location ever probed.
        unseen: the names of these hosts, at most a hundred.
        vantages: how current the probe results of each location are.
        leases: the tasks that only one process does at a time, and the process that does each.
        problems: messages about pin files and journals that can't be read; the content that was
            last read stays in force.
        last_report: when the last stored report or presence arrived; null if none is stored.
        last_presence: the last day on which a client reported its pin-set version.
        queue: the stream in which reports wait to be stored; null if there is none.
        room: how much of each limit on reported data is used.
        unwritable: why this process can't write to the store; empty if it can.
        weaknesses: a sentence for each setting of the database with which data can be lost in a
            crash, such as reports that the service has accepted.
        held_until: the time until which no expired rows are deleted, because the clock jumped; null
            if it did not.
        workers: the tokens of workers, at most 500.
        sweeps: the last attempt to delete expired rows of each kind.
        window: for how long repeated reports are recognised.
    """

    now: datetime
    hosts: int
    unseen_count: int
    unseen: tuple[str, ...]
    vantages: tuple[VantageFreshness, ...]
    leases: tuple[Lease, ...]
    problems: tuple[str, ...]
    last_report: datetime | None = None
    last_presence: datetime | None = None
    queue: Queue | None = None
    room: tuple[Part, ...] = ()
    unwritable: str = ""
    weaknesses: tuple[str, ...] = ()
    held_until: datetime | None = None
    workers: tuple[WorkerContact, ...] = ()
    sweeps: tuple[Sweep, ...] = ()
    window: Window | None = None

    @property
    def failing(self) -> tuple[Sweep, ...]:
        """The last deletion of expired rows of each kind, if it failed or was several days ago."""
        return tuple(sweep for sweep in self.sweeps if sweep.reason)

    @property
    def full(self) -> tuple[Part, ...]:
        """The limits on reported data that are nearly reached, each with its use."""
        return tuple(part for part in self.room if part.is_full)


class Arrivals(msgspec.Struct, frozen=True):
    """The number of new failure reports and presences of clients in each minute.

    With a presence, a client reports its pin-set version. ``begins`` has the start of each minute,
    ``counts`` the number in that minute. ``cut`` is true if there were too many reports and
    presences to count all: then only the newest ones are counted.
    """

    begins: tuple[datetime, ...]
    counts: tuple[int, ...]
    cut: bool


def freshness(
    connection: Connection,
    snapshot: Snapshot,
    now: datetime,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
    unwritable: str = "",
) -> Freshness:
    """Return how current the data of the service is.

    Args:
        connection: a connection that may read.
        snapshot: the monitored pin sets.
        now: the current time.
        thresholds: the settings that decide which results are old, and the limits on reports.
        unwritable: why this process can't write, as the ``Store`` reports it; empty if it can.
    """
    clock = stored_state(connection)
    monitored = names(connection, snapshot)
    seen = _seen_hosts(connection)
    unseen = [name for name in monitored if name not in seen]
    return Freshness(
        now,
        len(monitored),
        len(unseen),
        tuple(unseen[:_MAX_UNSEEN]),
        _locations(connection, now, thresholds),
        _leases(connection, now),
        snapshot.problems,
        _last_report(connection),
        to_datetime_or_none(connection.execute(select(func.max(PRESENCES.c.day))).scalar()),
        report_queue(connection, now),
        capacity(connection, now, thresholds).parts,
        unwritable,
        risky_settings(connection),
        to_datetime_or_none(clock.held_until) if clock else None,
        workers(connection, now),
        sweeps(connection, now),
        repeat_window(connection, now, thresholds),
    )


def arrivals(connection: Connection, now: datetime) -> Arrivals:
    """Count the new failure reports and presences of clients in each of the last 60 minutes.

    With a presence, a client reports its pin-set version. The current minute is included. The
    function counts the stored report identities (digests that recognise repeats) instead of
    reports, because they have the second of arrival. So a report with two identities is counted
    twice: a report of a browser (NEL) and, on PostgreSQL, a late one.
    """
    last = to_seconds(now) // _MINUTE * _MINUTE
    first = last - (_MINUTES - 1) * _MINUTE
    column = REPORT_IDENTITIES.c.received_at
    newest = select(column).where(column >= first).order_by(column.desc())
    recent = newest.limit(_MAX_ARRIVALS).subquery()
    minute = recent.c.received_at - recent.c.received_at % _MINUTE
    rows = connection.execute(select(minute, func.count()).group_by(minute))
    counts = Counter({int(begin): int(number) for begin, number in rows})
    begins = [first + number * _MINUTE for number in range(_MINUTES)]
    return Arrivals(
        tuple(map(to_datetime, begins)),
        tuple(counts[begin] for begin in begins),
        cut=counts.total() >= _MAX_ARRIVALS,
    )


def workers(connection: Connection, now: datetime) -> tuple[WorkerContact, ...]:
    """Return the valid tokens of workers, and when each was last used."""
    return tuple(
        WorkerContact(token.name, token.id, token.location, to_datetime_or_none(token.used_at))
        for token in worker_tokens(connection, now, _MAX_WORKERS)
    )


def _seen_hosts(connection: Connection) -> set[str]:
    statement = select(SIGHTINGS.c.host).where(LATEST).distinct()
    return set(connection.execute(statement).scalars())


def _locations(
    connection: Connection, now: datetime, thresholds: Thresholds
) -> tuple[VantageFreshness, ...]:
    """Return how current the results of each location (a machine that probes hosts) are.

    Locations are included if the monitor schedules probes from there, or if they have current
    results. ``thresholds`` has the age from which results are old.
    """
    columns = SIGHTINGS.c
    statement = select(
        columns.vantage, func.max(columns.last_at), func.count(columns.host.distinct())
    ).where(LATEST)
    seen = {row[0]: row for row in connection.execute(statement.group_by(columns.vantage))}
    asked = {row.name: row for row in connection.execute(select(VANTAGES))}
    found = []
    for name in sorted(seen.keys() | asked.keys())[:_MAX_LOCATIONS]:
        _, last, hosts = seen.get(name, (name, None, 0))
        row = asked.get(name)
        heard = row.heard_at if row else None
        last = max((at for at in (last, heard) if at is not None), default=None)
        # A time in the future was written by a clock that was ahead.
        stale = last is None or abs(now - to_datetime(last)) > thresholds.stale
        asked_at = to_datetime(row.asked_at) if row else None
        found.append(VantageFreshness(name, hosts, stale, to_datetime_or_none(last), asked_at))
    return tuple(found)


def _leases(connection: Connection, now: datetime) -> tuple[Lease, ...]:
    others = [~LEASES.c.name.startswith(part, autoescape=True) for part in (PROBES, INSTANCES)]
    tasks = LEASES.c.name != TRIAL
    chosen = select(LEASES).where(*others, tasks).order_by(LEASES.c.name).limit(_MAX_LEASES)
    rows = connection.execute(chosen)
    return tuple(
        Lease(row.name, row.holder, to_datetime(row.until), to_datetime(row.until) > now)
        for row in rows
    )


def _last_report(connection: Connection) -> datetime | None:
    """Return when the last stored report or presence of a client arrived; None if none is stored.

    With a presence, a client reports its pin-set version. The time is that of the newest stored
    identity (a digest that recognises repeats). Identities are usually deleted earlier than the
    hourly counts of reports. If no identity is left, the result is the start of the last hour with
    a counted report.
    """
    stored = connection.execute(select(func.max(REPORT_IDENTITIES.c.received_at))).scalar()
    if stored is None:
        stored = connection.execute(select(func.max(REPORT_GROUPS.c.hour))).scalar()
    return to_datetime_or_none(stored)
