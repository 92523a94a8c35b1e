"""A clock that leaps ahead deletes nothing before people had the time to see it.

What is past its time is deleted, and a wrong clock makes everything so: years of counts, and what
tells a report that is sent again from a new one. A leap looks like a watch that was switched off
for as long. So nobody can say which it was, and both are met alike: deletion rests for a day, the
log and the pages say why, and a clock that then still stands is believed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select

from certpin_watch.store.engine import insert
from certpin_watch.store.tables.clock import CLOCK

if TYPE_CHECKING:
    from sqlalchemy import Connection

LEAP = 86_400  # seconds between two looks, of which there is one an hour
HOLD = 86_400  # seconds that a clock has to go on from where it leapt to

_NAME = "retention"


class Belief(NamedTuple):
    """``at``: the last moment that was believed. ``leapt_at``: where the clock leapt to, if so."""

    at: int
    leapt_at: int | None = None

    @property
    def held_until(self) -> int | None:
        """Until when nothing may be deleted; ``None``: the clock is believed."""
        return None if self.leapt_at is None else self.leapt_at + HOLD


def judge(last: Belief | None, now: int) -> Belief:
    """Whether to believe the clock. A step back deletes less, and is always believed. Pure."""
    if last is None or now <= last.at + LEAP:
        return Belief(now)
    since = last.leapt_at
    if since is None or not since <= now < since + HOLD + LEAP:
        return Belief(last.at, now)
    return Belief(now) if now >= since + HOLD else last


def believe(connection: Connection, mine: Belief | None, now: int) -> Belief:
    """Judge the clock by what was believed last, here (``mine``) or by any process; note it."""
    last = max(filter(None, (mine, believed(connection))), key=lambda each: each.at, default=None)
    found = judge(last, now)
    row = found._asdict()
    new = insert(connection, CLOCK).values(name=_NAME, **row)
    connection.execute(new.on_conflict_do_update(index_elements=[CLOCK.c.name], set_=row))
    return found


def believed(connection: Connection) -> Belief | None:
    """What was noted last; ``None`` where nobody has looked yet."""
    found = select(CLOCK.c.at, CLOCK.c.leapt_at).where(CLOCK.c.name == _NAME)
    row = connection.execute(found).first()
    return None if row is None else Belief(row.at, row.leapt_at)
