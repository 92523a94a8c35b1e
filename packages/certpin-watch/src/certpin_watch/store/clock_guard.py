"""Stop retention for a day if the clock jumps ahead, so that an operator can notice it first.

Rows are deleted when they expire, and a wrong clock makes all of them expire: years of counts, and
the identities that recognise a report that is sent again. A jump looks the same as a service that
was switched off for that long, so both are handled alike: deletion stops for a day, the log and the
pages say why, and if the clock still has the new time then, it is trusted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select

from certpin_watch.store.engine import insert
from certpin_watch.store.tables.service import CLOCK

if TYPE_CHECKING:
    from sqlalchemy import Connection

MAX_STEP = 86_400  # seconds between two checks, of which there is one an hour
HOLD = 86_400  # seconds for which a clock has to run on from the time it jumped to

_NAME = "retention"


class ClockState(NamedTuple):
    """The last trusted time (``at``), and the time to which the clock jumped ahead since then.

    Both are in seconds since 1970; ``leapt_at`` is None if the clock did not jump.
    """

    at: int
    leapt_at: int | None = None

    @property
    def held_until(self) -> int | None:
        """The time before which nothing may be deleted; ``None`` if the clock is trusted."""
        return None if self.leapt_at is None else self.leapt_at + HOLD


def next_state(last: ClockState | None, now: int) -> ClockState:
    """Decide whether the clock is trusted at ``now``; return the new state. No I/O.

    A step back is always trusted: it only makes fewer rows expire.
    """
    if last is None or now <= last.at + MAX_STEP:
        return ClockState(now)
    since = last.leapt_at
    if since is None or not since <= now < since + HOLD + MAX_STEP:
        return ClockState(last.at, now)
    return ClockState(now) if now >= since + HOLD else last


def check_clock(connection: Connection, mine: ClockState | None, now: int) -> ClockState:
    """Decide whether the clock is trusted at ``now``, and store the new state.

    Args:
        connection: a transaction that may write.
        mine: the last state that this process knows. If the stored state is later, that one counts.
        now: seconds since 1970.
    """
    states = (mine, stored_state(connection))
    last = max(filter(None, states), key=lambda state: state.at, default=None)
    found = next_state(last, now)
    row = found._asdict()
    new = insert(connection, CLOCK).values(name=_NAME, **row)
    connection.execute(new.on_conflict_do_update(index_elements=[CLOCK.c.name], set_=row))
    return found


def stored_state(connection: Connection) -> ClockState | None:
    """Return the clock state that was stored last, by any process; None if there is none."""
    found = select(CLOCK.c.at, CLOCK.c.leapt_at).where(CLOCK.c.name == _NAME)
    row = connection.execute(found).first()
    return None if row is None else ClockState(row.at, row.leapt_at)
