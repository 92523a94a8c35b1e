"""What was taken in, and is not counted yet: the stream of the reports, as a writer last saw it."""

from __future__ import annotations

from datetime import datetime, timedelta  # noqa: TC003  # msgspec reads the fields
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import select

from certpin_watch.queries.base import moment, moment_or_none
from certpin_watch.store.tables.queue import REPORT_QUEUE

if TYPE_CHECKING:
    from sqlalchemy import Connection

_LATE = 60  # seconds: a writer that works looks every five, and takes no more for a report


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


def queue(connection: Connection, now: datetime) -> Queue | None:
    """The one that is looked at least; ``None`` where reports go into the store itself."""
    columns = REPORT_QUEUE.c
    row = connection.execute(select(REPORT_QUEUE).order_by(columns.looked_at).limit(1)).first()
    if row is None:
        return None
    since = moment(min(row.looked_at, row.oldest_at or row.looked_at))
    # What was looked at in the future was so by a clock that ran ahead: nobody knows when.
    late = not -_LATE <= (now - since).total_seconds() <= _LATE
    return Queue(row.messages, moment(row.looked_at), late, moment_or_none(row.oldest_at))
