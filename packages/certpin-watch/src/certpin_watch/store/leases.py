"""Leases: work that only one process may do at a time.

A lease expires by itself, so that a holder that died doesn't block others for long. Clocks differ
and processes are suspended, so a holder must follow three rules:

1. Take the lease in a transaction, and renew it before half of its time is over.
2. Stop when ``HeldLease.is_valid_at`` is False, ``MARGIN`` seconds before others may take it.
3. Call ``confirm`` in each transaction that two processes must not both write. This is safe
   whatever the clocks show, because the lease's row is locked until the transaction ends.

NOT checked: that the machines' clocks agree to within ``MARGIN`` seconds. If they don't, two
processes may work at the same time for a while. Then only ``confirm`` prevents double writes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import case, or_, select, update

from certpin_watch.store.engine import insert
from certpin_watch.store.tables.service import LEASES

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

MARGIN = 5  # seconds by which clocks may differ
_MAX_AHEAD = 600  # seconds after the end of a new lease in which one from a correct clock ends


@dataclass(frozen=True)
class HeldLease:
    """The right of the process ``holder`` to do the work ``name`` until ``until``.

    ``until`` is in seconds since 1970. ``term`` rises by one with each change of holder, and if a
    holder takes the lease again after it expired.
    """

    name: str
    holder: str
    until: int
    term: int

    def is_valid_at(self, now: int) -> bool:
        """Return True if the holder may continue, by its own clock."""
        return now < self.until - MARGIN


def take(
    connection: Connection, name: str, holder: str, now: int, seconds: int
) -> HeldLease | None:
    """Take the lease of some work if it is free or expired, or renew it if the holder has it.

    A lease that ends later than any process asks for was taken while the clock ran ahead. It counts
    as free: if its holder died before the clock was corrected, the work would stop until then.

    Args:
        connection: a transaction that may write.
        name: the work.
        holder: the process. It must be unique to the process, not only to the machine.
        now: seconds since 1970.
        seconds: the time until the lease expires.

    Returns:
        The lease; None if another process has it.
    """
    new = insert(connection, LEASES).values(name=name, holder=holder, until=now + seconds, term=1)
    continued = (LEASES.c.holder == holder) & (LEASES.c.until > now)
    statement = new.on_conflict_do_update(
        index_elements=[LEASES.c.name],
        set_={
            "holder": holder,
            "until": now + seconds,
            "term": case((continued, LEASES.c.term), else_=LEASES.c.term + 1),
        },
        where=or_(
            LEASES.c.holder == holder,
            LEASES.c.until <= now,
            LEASES.c.until > now + seconds + _MAX_AHEAD,
        ),
    ).returning(LEASES.c.term)
    term = connection.execute(statement).scalar_one_or_none()
    return None if term is None else HeldLease(name, holder, now + seconds, term)


def renew(connection: Connection, lease: HeldLease, now: int, seconds: int) -> HeldLease | None:
    """Extend a lease. Return None if it has expired: then the holder must stop the work."""
    statement = update(LEASES).where(_is_mine(lease), LEASES.c.until > now)
    done = connection.execute(statement.values(until=now + seconds))
    return replace(lease, until=now + seconds) if done.rowcount else None


def release(connection: Connection, lease: HeldLease) -> None:
    """End a lease, so that another process can take it at once.

    If another process has taken it already, nothing changes. The row is kept, because its term must
    rise.
    """
    connection.execute(update(LEASES).where(_is_mine(lease)).values(until=0))


def confirm(connection: Connection, lease: HeldLease) -> bool:
    """Return True if no other process has taken the lease.

    No other process can take it until this transaction (a ``write``) ends.
    """
    found = select(LEASES.c.term).where(_is_mine(lease)).with_for_update()
    return connection.execute(found).first() is not None


def _is_mine(lease: HeldLease) -> ColumnElement[bool]:
    return (
        (LEASES.c.name == lease.name)
        & (LEASES.c.holder == lease.holder)
        & (LEASES.c.term == lease.term)
    )
