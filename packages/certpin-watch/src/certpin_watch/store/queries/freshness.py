"""TODO: one docstring."""

from __future__ import annotations

from collections import Counter
from datetime import datetime  # noqa: TC003  # msgspec reads the fields when it first encodes
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import func, select

from certpin_watch.store.clock_guard import stored_state
from certpin_watch.store.postgresql import risky_settings
from certpin_watch.store.queries.base import (
    DEFAULT_THRESHOLDS,
    Thresholds,
    to_datetime,
    to_datetime_or_none,
    to_seconds,
)
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
from certpin_watch.store.tables.probes import LATEST, SIGHTINGS, VANTAGES
from certpin_watch.store.tables.reports import PRESENCES, REPORT_GROUPS, REPORT_IDENTITIES
from certpin_watch.store.tables.service import LEASES, PROBES
from certpin_watch.store.tokens import worker_tokens

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from certpin_watch.snapshot import Snapshot


_MOST_VANTAGES = 100
_MOST_LEASES = 100
_MOST_WORKERS = 500
_MOST_NAMED = 100  # hosts without a sighting that are named


class VantageFreshness(msgspec.Struct, frozen=True):
    """When a vantage last answered, and for how many hosts it has an answer.

    ``last_at`` is none where it never did, ``asked_at``, when it was last asked, where nobody asks.
    """

    vantage: str
    hosts: int
    stale: bool
    last_at: datetime | None = None
    asked_at: datetime | None = None


class WorkerContact(msgspec.Struct, frozen=True):
    """A token of a worker that is valid: its name and ID, its location, and its last use.

    ``last_at`` is right to a minute, and none if the token was never used.
    """

    name: str
    token: str
    vantage: str
    last_at: datetime | None = None


class Lease(msgspec.Struct, frozen=True):
    """Who does what only one process at a time may do. One that ran out is held by nobody."""

    name: str
    holder: str
    until: datetime
    held: bool


class Freshness(msgspec.Struct, frozen=True):
    """How old what the watch knows is.

    ``last_report`` is when the store last took one in; ``queue`` is where reports wait before, if
    there is one. ``room`` is how much of each bound is used that holds for what reports bring.
    ``unseen`` are watched hosts that no vantage has ever looked at, at most a hundred of them.
    ``problems`` are pin files and journals that cannot be read: their last good content counts.
    ``unwritable`` is the word for why the store takes nothing from this process now, empty where it
    does; ``weaknesses`` are settings of the database that may lose what was answered;
    ``held_until`` is until when nothing is deleted, because the clock leapt. ``workers`` are the
    tokens of workers, 500 at most. ``sweeps`` is how retention of each kind ended last, and
    ``window`` for how long repeated reports are recognised.
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
        """The kinds of rows that retention does not delete at present."""
        return tuple(each for each in self.sweeps if each.reason)

    @property
    def full(self) -> tuple[Part, ...]:
        """The bounds of what reports bring that are nearly reached."""
        return tuple(each for each in self.room if each.is_full)


def freshness(
    connection: Connection,
    snapshot: Snapshot,
    now: datetime,
    limits: Thresholds = DEFAULT_THRESHOLDS,
    unwritable: str = "",
) -> Freshness:
    """All of it. ``unwritable`` is what the store itself says (``Store.trouble``)."""
    belief = stored_state(connection)
    watched = names(connection, snapshot)
    seen = _seen(connection)
    unseen = [name for name in watched if name not in seen]
    return Freshness(
        now,
        len(watched),
        len(unseen),
        tuple(unseen[:_MOST_NAMED]),
        _vantages(connection, now, limits),
        _leases(connection, now),
        snapshot.problems,
        _last_report(connection),
        to_datetime_or_none(connection.execute(select(func.max(PRESENCES.c.day))).scalar()),
        report_queue(connection, now),
        capacity(connection, now, limits.intake).parts,
        unwritable,
        risky_settings(connection),
        to_datetime_or_none(belief.held_until) if belief else None,
        workers(connection, now),
        sweeps(connection, now),
        repeat_window(connection, now, limits.intake),
    )


def _seen(connection: Connection) -> set[str]:
    statement = select(SIGHTINGS.c.host).where(LATEST).distinct()
    return set(connection.execute(statement).scalars())


def _vantages(
    connection: Connection, now: datetime, limits: Thresholds
) -> tuple[VantageFreshness, ...]:
    """Those that are asked, and those whose answers still stand."""
    columns = SIGHTINGS.c
    statement = select(
        columns.vantage, func.max(columns.last_at), func.count(columns.host.distinct())
    ).where(LATEST)
    seen = {row[0]: row for row in connection.execute(statement.group_by(columns.vantage))}
    asked = {row.name: row for row in connection.execute(select(VANTAGES))}
    found = []
    for name in sorted(seen.keys() | asked.keys())[:_MOST_VANTAGES]:
        _, last, hosts = seen.get(name, (name, None, 0))
        row = asked.get(name)
        heard = row.heard_at if row else None
        last = max((at for at in (last, heard) if at is not None), default=None)
        # An answer of the future was written down by a clock that ran ahead.
        stale = last is None or abs(now - to_datetime(last)) > limits.stale
        found.append(
            VantageFreshness(
                name,
                hosts,
                stale,
                to_datetime_or_none(last),
                to_datetime(row.asked_at) if row else None,
            )
        )
    return tuple(found)


def workers(connection: Connection, now: datetime) -> tuple[WorkerContact, ...]:
    """The tokens of workers that are neither revoked nor expired."""
    return tuple(
        WorkerContact(token.name, token.id, token.location, to_datetime_or_none(token.used_at))
        for token in worker_tokens(connection, now, _MOST_WORKERS)
    )


def _leases(connection: Connection, now: datetime) -> tuple[Lease, ...]:
    others = ~LEASES.c.name.startswith(PROBES, autoescape=True)
    chosen = select(LEASES).where(others).order_by(LEASES.c.name).limit(_MOST_LEASES)
    rows = connection.execute(chosen)
    return tuple(
        Lease(row.name, row.holder, to_datetime(row.until), to_datetime(row.until) > now)
        for row in rows
    )


def _last_report(connection: Connection) -> datetime | None:
    """By this machine's clock where its identity is still kept, else by what the groups say."""
    taken = connection.execute(select(func.max(REPORT_IDENTITIES.c.received_at))).scalar()
    if taken is None:
        taken = connection.execute(select(func.max(REPORT_GROUPS.c.hour))).scalar()
    return to_datetime_or_none(taken)


_MINUTE = 60
_MAX_ARRIVALS = (
    200_000  # messages that are looked at: a page must not take seconds in the worst hour
)


class Arrivals(msgspec.Struct, frozen=True):
    """How many in each minute. ``cut``: there were more than are looked at, and these are newer."""

    begins: tuple[datetime, ...]
    counts: tuple[int, ...]
    cut: bool


def arrivals(connection: Connection, now: datetime, minutes: int = 60) -> Arrivals:
    """The last minutes, the one that runs among them."""
    last = to_seconds(now) // _MINUTE * _MINUTE
    first = last - (minutes - 1) * _MINUTE
    column = REPORT_IDENTITIES.c.received_at
    newest = (
        select(column)
        .where(column >= first)
        .order_by(column.desc())
        .limit(_MAX_ARRIVALS)
        .subquery()
    )
    at = newest.c.received_at - newest.c.received_at % _MINUTE
    rows = connection.execute(select(at, func.count()).group_by(at))
    counts = Counter({int(begin): int(number) for begin, number in rows})
    begins = [first + number * _MINUTE for number in range(minutes)]
    return Arrivals(
        tuple(map(to_datetime, begins)),
        tuple(counts[begin] for begin in begins),
        cut=counts.total() >= _MAX_ARRIVALS,
    )
