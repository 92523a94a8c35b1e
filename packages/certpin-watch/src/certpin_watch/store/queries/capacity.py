"""TODO: one docstring."""

from __future__ import annotations

from datetime import (  # noqa: TC003  # msgspec reads the fields
    datetime,  # msgspec reads the fields when it first encodes
    timedelta,
)
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from sqlalchemy import func, select

from certpin_watch.store import budget
from certpin_watch.store.identities import over_room
from certpin_watch.store.queries.base import DAY, HOUR, to_datetime, to_datetime_or_none, to_seconds
from certpin_watch.store.tables.chains import CHAINS
from certpin_watch.store.tables.queue import REPORT_QUEUE
from certpin_watch.store.tables.reports import IDENTITY_HOURS, REPORT_GROUPS
from certpin_watch.store.tables.sweeps import SWEEPS

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Table

    from certpin_watch.collector.settings import Settings
    from certpin_watch.store.queries.base import Thresholds


class Part(msgspec.Struct, frozen=True):
    """Something that there is so much of: ``used`` of ``most``."""

    name: str
    used: int
    most: int

    @property
    def is_full(self) -> bool:
        """Whether hardly anything more has room, but for what hosts have for themselves."""
        return 20 * self.used >= 19 * self.most


class Capacity(NamedTuple):
    """What reports brought, and may bring.

    ``bytes`` are those of chains that nobody but clients has met, and of samples; ``chains`` such
    chains of the last hour; ``groups`` those of this hour and of this day.
    """

    bytes: Part
    chains: Part
    groups_hour: Part
    groups_day: Part

    @property
    def parts(self) -> tuple[Part, ...]:
        """All of them."""
        return tuple(self)

    @property
    def full(self) -> tuple[str, ...]:
        """The names of those that are nearly used up."""
        return tuple(each.name for each in self.parts if each.is_full)


def capacity(connection: Connection, now: datetime, settings: Settings) -> Capacity:
    """As it is now."""
    at = to_seconds(now)
    chains, groups = CHAINS.c, REPORT_GROUPS.c
    # Not what is far ahead, as in `collector`: it came while the clock ran ahead.
    lately = chains.first_at.between(at - HOUR + 1, at + HOUR)
    new = _count(connection, CHAINS, lately, chains.told > 0)
    hour, today = at - at % HOUR, at - at % DAY
    of_hour = _count(connection, REPORT_GROUPS, groups.hour == hour)
    of_day = _count(connection, REPORT_GROUPS, groups.hour >= today, groups.hour < today + DAY)
    # An eighth of the bytes is kept back for what watched hosts have for themselves.
    most = settings.budget - settings.budget // 8
    return Capacity(
        Part("bytes", budget.used_of(connection), most),
        Part("chains in an hour", new, settings.chains_per_hour),
        Part("groups in an hour", of_hour, settings.groups_per_hour),
        Part("groups in a day", of_day, settings.groups_per_day),
    )


def _count(connection: Connection, table: Table, *where: ColumnElement[bool]) -> int:
    counted = select(func.count()).select_from(table).where(*where)
    return int(connection.execute(counted).scalar_one())


_QUEUE_LATE = 60  # seconds: a writer that works looks every five, and takes no more for a report


class Queue(msgspec.Struct, frozen=True):
    """Messages of reports that wait to be counted, the first of them since ``oldest_at``.

    ``late``: they wait for long, or no writer has looked for long.
    """

    messages: int
    looked_at: datetime
    late: bool
    oldest_at: datetime | None = None

    @property
    def since(self) -> datetime:
        """From when on it is not known that everything is counted."""
        return min(self.looked_at, self.oldest_at or self.looked_at)

    def waits(self, now: datetime) -> timedelta:
        """For how long."""
        return abs(now - self.since)  # the future is where a clock that ran ahead looked


def report_queue(connection: Connection, now: datetime) -> Queue | None:
    """The one that is looked at least; ``None`` where reports go into the store itself."""
    columns = REPORT_QUEUE.c
    row = connection.execute(select(REPORT_QUEUE).order_by(columns.looked_at).limit(1)).first()
    if row is None:
        return None
    since = to_datetime(min(row.looked_at, row.oldest_at or row.looked_at))
    # What was looked at in the future was so by a clock that ran ahead: nobody knows when.
    late = not -_QUEUE_LATE <= (now - since).total_seconds() <= _QUEUE_LATE
    return Queue(row.messages, to_datetime(row.looked_at), late, to_datetime_or_none(row.oldest_at))


_SWEEP_LATE = (
    3 * DAY
)  # without an attempt, of which there is one an hour; after a leap none for a day


class Sweep(msgspec.Struct, frozen=True):
    """How retention of a kind ended when it was last tried.

    ``done_at`` is when everything past its time was last deleted; none if it never was. ``reason``
    is the word for why the last attempt failed (``store/failures.py``), ``late`` if there was no
    attempt for days, and empty if all is well.
    """

    kind: str
    tried_at: datetime
    done_at: datetime | None
    reason: str


def sweeps(connection: Connection, now: datetime) -> tuple[Sweep, ...]:
    """Return every kind that was ever tried, by name."""
    rows = connection.execute(select(SWEEPS).order_by(SWEEPS.c.kind))
    late = to_seconds(now) - _SWEEP_LATE
    return tuple(
        Sweep(
            row.kind,
            to_datetime(row.tried_at),
            to_datetime_or_none(row.done_at),
            row.reason or ("late" if row.tried_at < late else ""),
        )
        for row in rows
    )


# Of one identity with its part of both indexes. A million took 145 MB in PostgreSQL, 108 in SQLite.
_ROW = 150  # bytes


class Window(msgspec.Struct, frozen=True):
    """How long repeats are recognised.

    Every report that arrived since ``since`` is recognised if it comes again: ``days`` until now.
    At the rate of the last day, ``a_day`` identities, the window becomes ``expected_days`` long.
    Clients hold a report back for ``client_days``; identities are kept for ``kept_days`` if they
    are not too many. ``kept`` are there, of ``most``.
    """

    since: datetime
    days: float
    expected_days: float
    client_days: int
    kept_days: int
    a_day: int
    kept: int
    most: int

    @property
    def is_short(self) -> bool:
        """Whether a client may send a report again that is counted twice."""
        return min(self.days, self.expected_days) < self.client_days

    @property
    def enough(self) -> int:
        """How many identities the clients' time needs at this rate, with a fifth to spare."""
        return -(-self.a_day * self.client_days * 6 // 5)

    @property
    def problem(self) -> str:
        """What is wrong and how to fix it; empty if nothing is."""
        if not self.is_short:
            return ""
        now = f"a repeated report is recognised for {self.days:.1f} days"
        if self.expected_days < self.days:
            now += f", and at the rate of the last day soon for {self.expected_days:.1f} days only"
        fixes = []
        if self.enough > self.most:
            size = self.enough * _ROW / 1e9
            fixes.append(f"most_identities = {self.enough} in [collector] (some {size:.1f} GB)")
        if self.kept_days < self.client_days:
            fixes.append(f"identities = {self.client_days + 1} in [retention]")
        fix = f". To fix it: set {' and '.join(fixes)}" if fixes else ""
        return (
            f"{now}, but clients send one again for up to {self.client_days} days: it would be "
            f"counted twice{fix}"
        )


def repeat_window(connection: Connection, now: datetime, limits: Thresholds) -> Window:
    """Compute it from the hours that retention counted last, which may be an hour ago."""
    at, collector = to_seconds(now), limits.collector
    hours = IDENTITY_HOURS.c
    over = over_room(connection, collector.most_identities, at)
    since = max(at - limits.identities * DAY, over)
    rate = _a_day(connection, at)
    kept = select(func.sum(hours.count)).where(hours.hour <= at)
    return Window(
        to_datetime(since),
        round((at - since) / DAY, 2),
        round(min(limits.identities, collector.most_identities / rate if rate else 1e9), 2),
        collector.client_days,
        limits.identities,
        rate,
        int(connection.execute(kept).scalar() or 0),
        collector.most_identities,
    )


def _a_day(connection: Connection, at: int) -> int:
    """Identities of the last 24 whole hours, or as many as they would be if there are fewer."""
    hours, end = IDENTITY_HOURS.c, at - at % HOUR
    first = connection.execute(select(func.min(hours.hour))).scalar()
    if first is None:
        return 0
    begin = max(first, end - DAY)
    number = select(func.sum(hours.count))
    if begin >= end:  # its first hour
        return 24 * int(connection.execute(number.where(hours.hour == end)).scalar() or 0)
    counted = connection.execute(number.where(hours.hour >= begin, hours.hour < end)).scalar()
    a_day: int = int(counted or 0) * DAY // (end - begin)
    return a_day
