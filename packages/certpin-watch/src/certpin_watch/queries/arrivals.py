"""What clients sent in the last hour, by the minute in which it was taken in.

Groups are by the hour; identities have the moment. So this counts every message that was new, a
failure or a presence: which of them, only the groups know. A browser's report (NEL) has two names,
and counts as two here.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime  # noqa: TC003  # msgspec reads the fields when it first encodes
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import func, select

from certpin_watch.queries.base import moment, seconds
from certpin_watch.store.tables.reports import REPORT_IDENTITIES

if TYPE_CHECKING:
    from sqlalchemy import Connection

_MINUTE = 60
_MOST = 200_000  # messages that are looked at: a page must not take seconds in the worst hour


class Arrivals(msgspec.Struct, frozen=True):
    """How many in each minute. ``cut``: there were more than are looked at, and these are newer."""

    begins: tuple[datetime, ...]
    counts: tuple[int, ...]
    cut: bool


def arrivals(connection: Connection, now: datetime, minutes: int = 60) -> Arrivals:
    """The last minutes, the one that runs among them."""
    last = seconds(now) // _MINUTE * _MINUTE
    first = last - (minutes - 1) * _MINUTE
    column = REPORT_IDENTITIES.c.received_at
    newest = select(column).where(column >= first).order_by(column.desc()).limit(_MOST).subquery()
    at = newest.c.received_at - newest.c.received_at % _MINUTE
    rows = connection.execute(select(at, func.count()).group_by(at))
    counts = Counter({int(begin): int(number) for begin, number in rows})
    begins = [first + number * _MINUTE for number in range(minutes)]
    return Arrivals(
        tuple(map(moment, begins)),
        tuple(counts[begin] for begin in begins),
        cut=counts.total() >= _MOST,
    )
