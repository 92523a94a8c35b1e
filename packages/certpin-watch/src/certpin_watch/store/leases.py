"""Leases: what only one process at a time may do, and for how long it may go on without asking.

A lease ends by itself, so that a holder which died blocks nobody for long. That makes it a promise
about time, and clocks differ and processes stop: whoever has one

1. takes it in a transaction, and renews it before half of its time is over;
2. stops when ``good_at`` says so, which is ``MARGIN`` seconds before others may take it;
3. calls ``confirm`` in each transaction whose writing must not be done by two: that one holds
   whatever the clocks say, for the row of the lease is locked until the transaction ends.

NOT checked: that the machines' clocks agree to within ``MARGIN`` seconds. Where they do not, two
may work at once for a while, and ``confirm`` alone keeps one of them from writing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import case, delete, or_, select, update

from certpin_watch.store.engine import insert
from certpin_watch.store.tables.service import LEASES

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

MARGIN = 5  # seconds that clocks may differ by
_AHEAD = 600  # seconds beyond one's own term that a lease of a good clock never holds for


@dataclass(frozen=True)
class Lease:
    """That ``holder`` may do what is called ``name`` until a moment, for the ``term``-th time."""

    name: str
    holder: str
    until: int
    term: int

    def good_at(self, now: int) -> bool:
        """Whether the holder may still go on, by its own clock."""
        return now < self.until - MARGIN


def take(connection: Connection, name: str, holder: str, now: int, seconds: int) -> Lease | None:
    """Take a lease that is free or past its time, or renew one's own; ``None``: another has it.

    ``holder`` has to be unique to a process, and not only to a machine. One that would hold for
    longer than any process asks for was taken while the clock ran ahead: it is free, or nobody
    would do the work until that moment comes, if its holder died before the clock was put right.
    """
    new = insert(connection, LEASES).values(name=name, holder=holder, until=now + seconds, term=1)
    went_on = (LEASES.c.holder == holder) & (LEASES.c.until > now)
    statement = new.on_conflict_do_update(
        index_elements=[LEASES.c.name],
        set_={
            "holder": holder,
            "until": now + seconds,
            "term": case((went_on, LEASES.c.term), else_=LEASES.c.term + 1),
        },
        where=or_(
            LEASES.c.holder == holder,
            LEASES.c.until <= now,
            LEASES.c.until > now + seconds + _AHEAD,
        ),
    ).returning(LEASES.c.term)
    term = connection.execute(statement).scalar_one_or_none()
    return None if term is None else Lease(name, holder, now + seconds, term)


def renew(connection: Connection, lease: Lease, now: int, seconds: int) -> Lease | None:
    """Hold on to it; ``None`` where it was past its time: what was begun under it must stop."""
    statement = update(LEASES).where(_mine(lease), LEASES.c.until > now)
    done = connection.execute(statement.values(until=now + seconds))
    return replace(lease, until=now + seconds) if done.rowcount else None


def release(connection: Connection, lease: Lease) -> None:
    """Let go, so that another need not wait. One that another has by now stays as it is.

    The row stays: its term has to rise.
    """
    connection.execute(update(LEASES).where(_mine(lease)).values(until=0))


def confirm(connection: Connection, lease: Lease) -> bool:
    """Whether nobody took it since. Until this transaction (a ``write``) ends, nobody can."""
    found = select(LEASES.c.term).where(_mine(lease)).with_for_update()
    return connection.execute(found).first() is not None


def forget(connection: Connection, before: int) -> None:
    """Remove leases that nobody has taken since a moment: names that are no longer used."""
    connection.execute(delete(LEASES).where(LEASES.c.until < before))


def _mine(lease: Lease) -> ColumnElement[bool]:
    return (
        (LEASES.c.name == lease.name)
        & (LEASES.c.holder == lease.holder)
        & (LEASES.c.term == lease.term)
    )
