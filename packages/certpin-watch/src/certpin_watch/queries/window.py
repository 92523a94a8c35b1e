"""For how long a repeated report is recognised, and how long that will stay so.

A report is counted exactly once for as long as its identity is kept. Identities are kept for the
days of ``[retention] identities``, unless more than ``most_identities`` come in that time. So the
rate of reports decides how long the window is: this computes it before it becomes shorter than the
time for which clients hold a report back.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # msgspec reads the fields when it first encodes
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import func, select

from certpin_watch.queries.base import DAY, HOUR, moment, seconds
from certpin_watch.store.identities import over_room
from certpin_watch.store.tables.reports import IDENTITY_HOURS

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from certpin_watch.queries.limits import Limits

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


def window(connection: Connection, now: datetime, limits: Limits) -> Window:
    """Compute it from the hours that retention counted last, which may be an hour ago."""
    at, collector = seconds(now), limits.collector
    hours = IDENTITY_HOURS.c
    over = over_room(connection, collector.most_identities, at)
    since = max(at - limits.identities * DAY, over)
    rate = _a_day(connection, at)
    kept = select(func.sum(hours.count)).where(hours.hour <= at)
    return Window(
        moment(since),
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
