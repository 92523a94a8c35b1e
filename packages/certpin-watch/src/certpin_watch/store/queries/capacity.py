"""How much room is left: limits on reports, the report queue, retention, and the repeat window.

The *repeat window* is the time for which a report that is sent again is recognised as a repeat, by
its *identity*, a digest. A *report group* counts the reports of one hour with equal fields.
"""

from __future__ import annotations

from datetime import datetime, timedelta  # noqa: TC003  # msgspec reads the fields
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from sqlalchemy import func, select

from certpin_watch.store import reports
from certpin_watch.store.chains import read_usage
from certpin_watch.store.identities import DAY, HOUR, excess_before
from certpin_watch.store.queries import to_datetime, to_datetime_or_none, to_seconds
from certpin_watch.store.tables.observations import CHAINS, IDENTITY_HOURS, REPORT_QUEUE
from certpin_watch.store.tables.service import SWEEPS

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from certpin_watch.settings import Thresholds

_QUEUE_LATE = 60  # seconds: a running writer looks every 5, and counts a report within that time
_SWEEP_LATE = 3 * DAY  # attempts are hourly, except for one day after the clock jumped

# One identity with its entries in both indexes: a million took 145 MB in PostgreSQL, 108 in SQLite.
_IDENTITY_SIZE = 150  # bytes


class Part(msgspec.Struct, frozen=True):
    """A limit on the data that clients report, and how much of it is used.

    ``name`` is the name of the limit, ``used`` the used amount, and ``most`` the maximum. For the
    limit on bytes, ``most`` is less than the quota, because a part of the quota is reserved for
    monitored hosts.
    """

    name: str
    used: int
    most: int

    @property
    def is_full(self) -> bool:
        """True if at least 95 % of the limit are used. An alert and pages then report it."""
        return 20 * self.used >= 19 * self.most


class Capacity(NamedTuple):
    """How much is used of each limit on the data that reports may add to the store.

    Attributes:
        bytes: the bytes of samples (stored request bodies), and of chains that only clients
            reported.
        chains: the number of chains that clients reported for the first time in the last hour.
            Chains that a probe observed, too, are not counted.
        groups_hour: the number of report groups (equal reports of an hour) of the current hour.
        groups_day: the number of report groups of the current day.
    """

    bytes: Part
    chains: Part
    groups_hour: Part
    groups_day: Part

    @property
    def parts(self) -> tuple[Part, ...]:
        """All limits on reported data, each with its use."""
        return tuple(self)

    @property
    def full(self) -> tuple[str, ...]:
        """The names of the limits that are nearly reached (``Part.is_full``)."""
        return tuple(part.name for part in self.parts if part.is_full)


class Queue(msgspec.Struct, frozen=True):
    """The messages with reports that wait in the NATS stream until a writer counts them.

    Attributes:
        messages: how many messages wait.
        looked_at: when a writer last read this number.
        late: true if a message has waited, or no writer has read the number, for over a minute.
        oldest_at: when the oldest message arrived; null if none waits.
    """

    messages: int
    looked_at: datetime
    late: bool
    oldest_at: datetime | None = None

    @property
    def since(self) -> datetime:
        """The time up to which reports are complete: all that arrived earlier have been counted.

        It is the arrival of the oldest waiting message. If no message waits, it is the last time
        at which a writer read the number of waiting messages.
        """
        return min(self.looked_at, self.oldest_at or self.looked_at)

    def waits(self, now: datetime) -> timedelta:
        """Return for how long, at most, a report that isn't counted yet has waited at ``now``."""
        return abs(now - self.since)  # the time is in the future if the writer's clock was ahead


class Sweep(msgspec.Struct, frozen=True):
    """The last attempt to delete the expired rows of one kind (retention).

    Attributes:
        kind: the kind of row.
        tried_at: the time of the attempt.
        done_at: when all expired rows were last deleted; null if they never were.
        reason: why the attempt failed, such as "busy" or "full" (a key of ``REASONS`` in
            ``store/engine.py``); "late" if there was no attempt for days; empty if it succeeded.
    """

    kind: str
    tried_at: datetime
    done_at: datetime | None
    reason: str


class Window(msgspec.Struct, frozen=True):
    """The repeat window: for how long the service recognises a report that is sent again.

    While the identity of a report is stored, a repeat of the report is not counted again.
    Identities are stored for a number of days, but the oldest are deleted earlier if there are too
    many. So the window depends on the rate of reports. It must not become shorter than the time for
    which clients send a report again.

    Attributes:
        since: the start of the window: a repeat is recognised if the report first arrived later.
        days: the length of that window, in days.
        expected_days: the length that the window will have at the rate of the last day.
        client_days: for how many days clients send a report again.
        kept_days: for how many days identities are stored, if there are not too many.
        a_day: the number of new identities in the last day.
        kept: the number of identities that are stored.
        most: the maximum number of identities.
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
        """True if the window is, or will be, shorter than the time in which clients repeat reports.

        A repeat that arrives after the window is counted as a new report.
        """
        return min(self.days, self.expected_days) < self.client_days

    @property
    def enough(self) -> int:
        """The number of report identities that the service must store to recognise all repeats.

        Clients send a report again for up to ``client_days``. So the result is the number of new
        identities in this time, at the rate of the last day, with 20 % added.
        """
        return -(-self.a_day * self.client_days * 6 // 5)

    @property
    def problem(self) -> str:
        """A sentence for the operator if repeats are recognised for too short a time, with a fix.

        It is empty if the time is long enough.
        """
        if not self.is_short:
            return ""
        now = f"a repeated report is recognised for {self.days:.1f} days"
        if self.expected_days < self.days:
            now += f", and at the rate of the last day soon for {self.expected_days:.1f} days only"
        fixes = []
        if self.enough > self.most:
            size = self.enough * _IDENTITY_SIZE / 1e9
            fixes.append(f"most_identities = {self.enough} in [collector] (some {size:.1f} GB)")
        if self.kept_days < self.client_days:
            fixes.append(f"identities = {self.client_days + 1} in [retention]")
        fix = f". To fix it: set {' and '.join(fixes)}" if fixes else ""
        return (
            f"{now}, but clients send one again for up to {self.client_days} days: it would be "
            f"counted twice{fix}"
        )


def capacity(connection: Connection, now: datetime, thresholds: Thresholds) -> Capacity:
    """Return the use of each limit on the data that clients report, at ``now``.

    ``thresholds`` has these limits.
    """
    at, limits = to_seconds(now), thresholds.collector
    chains = CHAINS.c
    # A time far in the future was written while the clock was ahead (see `collector`).
    lately = chains.first_at.between(at - HOUR + 1, at + HOUR)
    new = select(func.count()).select_from(CHAINS).where(lately, chains.told > 0)
    of_hour, of_day = reports.count_groups(connection, at - at % HOUR)
    # An eighth of the bytes is reserved for monitored hosts.
    max_bytes = limits.budget - limits.budget // 8
    return Capacity(
        Part("bytes", read_usage(connection), max_bytes),
        Part("chains in an hour", connection.execute(new).scalar_one(), limits.chains_per_hour),
        Part("groups in an hour", of_hour, limits.groups_per_hour),
        Part("groups in a day", of_day, limits.groups_per_day),
    )


def report_queue(connection: Connection, now: datetime) -> Queue | None:
    """Return the state of the NATS stream in which reports wait to be counted.

    If there are several streams, the function returns the one that a writer read least recently. It
    returns None if reports go directly to the store, without a stream.
    """
    columns = REPORT_QUEUE.c
    row = connection.execute(select(REPORT_QUEUE).order_by(columns.looked_at).limit(1)).first()
    if row is None:
        return None
    since = to_datetime(min(row.looked_at, row.oldest_at or row.looked_at))
    # A time in the future was written by a clock that was ahead, so the real time is unknown.
    late = not -_QUEUE_LATE <= (now - since).total_seconds() <= _QUEUE_LATE
    return Queue(row.messages, to_datetime(row.looked_at), late, to_datetime_or_none(row.oldest_at))


def sweeps(connection: Connection, now: datetime) -> tuple[Sweep, ...]:
    """Return the last attempt to delete the expired rows of each kind, sorted by kind.

    Kinds that were never swept are left out. An attempt that is several days old gets the reason
    "late".
    """
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


def repeat_window(connection: Connection, now: datetime, thresholds: Thresholds) -> Window:
    """Compute for how long the service recognises a report that is sent again.

    The result comes from the number of report identities that arrived in each hour. The hourly task
    ``retention`` stores these numbers, so they can be an hour old. ``thresholds`` has the limits on
    identities, and the time in which clients send a report again.
    """
    at, limits, days = to_seconds(now), thresholds.collector, thresholds.identities
    hours = IDENTITY_HOURS.c
    over = excess_before(connection, limits.most_identities, at)
    since = max(at - days * DAY, over)
    rate = _identities_a_day(connection, at)
    kept = select(func.sum(hours.count)).where(hours.hour <= at)
    return Window(
        to_datetime(since),
        round((at - since) / DAY, 2),
        round(min(days, limits.most_identities / rate if rate else 1e9), 2),
        limits.client_days,
        days,
        rate,
        int(connection.execute(kept).scalar() or 0),
        limits.most_identities,
    )


def _identities_a_day(connection: Connection, at: int) -> int:
    """Return the number of new report identities in the last 24 full hours, for estimates.

    An identity is a digest that recognises a repeated report. If the service has run for less than
    a day, the number is extrapolated. ``at`` is the current time in seconds since 1970.
    """
    hours, end = IDENTITY_HOURS.c, at - at % HOUR
    first = connection.execute(select(func.min(hours.hour))).scalar()
    if first is None:
        return 0
    begin = max(first, end - DAY)
    number = select(func.sum(hours.count))
    if begin >= end:  # the service is in its first hour
        return 24 * int(connection.execute(number.where(hours.hour == end)).scalar() or 0)
    counted = connection.execute(number.where(hours.hour >= begin, hours.hour < end)).scalar()
    a_day: int = int(counted or 0) * DAY // (end - begin)
    return a_day
