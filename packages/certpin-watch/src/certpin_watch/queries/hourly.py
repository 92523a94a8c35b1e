"""Reports of each host by the hour, for the small pictures of many hosts at once."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from certpin_watch.queries.base import HOUR, seconds
from certpin_watch.store.tables.reports import REPORT_GROUPS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection


def hourly(
    connection: Connection, hosts: Sequence[str], now: datetime, hours: int = 24
) -> Mapping[str, tuple[int, ...]]:
    """How many reports each of these hosts had in the last hours, the oldest first."""
    columns, number = REPORT_GROUPS.c, func.sum(REPORT_GROUPS.c.count)
    first = seconds(now) // HOUR * HOUR - (hours - 1) * HOUR
    statement = select(columns.host, columns.hour, number).where(columns.hour >= first)
    rows = connection.execute(
        statement.where(columns.host.in_(hosts)).group_by(columns.host, columns.hour)
    )
    counts: dict[str, list[int]] = defaultdict(lambda: [0] * hours)
    for host, hour, count in rows:
        # Hours are this machine's: one that lies ahead was counted before its clock was set back.
        counts[host][min((hour - first) // HOUR, hours - 1)] += int(count)
    return defaultdict(lambda: (0,) * hours, {host: tuple(each) for host, each in counts.items()})
