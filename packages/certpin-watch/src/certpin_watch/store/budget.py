"""What reports made the store keep, in bytes: counted exactly, however many processes add to it.

It is the sum over chains that nobody but clients has met, their certificates, and samples of
reports: each row for what is in it, and ``ROW`` more. Whoever writes or removes such a row adds to
it in the same transaction. It is one row of its own, and held until the transaction ends: take it
before any of those, and after the table of chains (``keeping.hold_chains``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, update

from certpin_watch.store.engine import insert
from certpin_watch.store.tables.chains import BUDGETS, CERTIFICATES, CHAINS
from certpin_watch.store.tables.reports import REPORT_SAMPLES

if TYPE_CHECKING:
    from sqlalchemy import Connection

ROW = 256  # bytes for a row beside its content: keys, its place in indexes, half-empty pages

_REPORTS = "reports"


def hold(connection: Connection) -> int:
    """How much is used. Nobody else changes it until the transaction ends."""
    used = _used(connection)
    if used is None:
        first = {"name": _REPORTS, "used": reckon(connection)}
        connection.execute(insert(connection, BUDGETS).values(first).on_conflict_do_nothing())
        used = _used(connection)
    return used or 0


def spend(connection: Connection, amount: int) -> None:
    """Add to it, or give back what is less than nothing. For whoever holds it."""
    if amount:
        connection.execute(
            update(BUDGETS).where(BUDGETS.c.name == _REPORTS).values(used=BUDGETS.c.used + amount)
        )


def used_of(connection: Connection) -> int:
    """How much is used, for whoever only looks."""
    found = connection.execute(select(BUDGETS.c.used).where(BUDGETS.c.name == _REPORTS)).scalar()
    return int(found or 0)


def reckon(connection: Connection) -> int:
    """From the rows themselves: what it has to be."""
    members, der = func.length(CHAINS.c.members), func.length(CERTIFICATES.c.der)
    return (
        _sum(connection, members, CHAINS.c.told > 0)
        + _sum(connection, der, CERTIFICATES.c.told)
        + _sum(connection, func.length(REPORT_SAMPLES.c.body))
    )


def _sum(connection: Connection, length: Any, *where: Any) -> int:
    total = select(func.coalesce(func.sum(length + ROW), 0)).where(*where)
    return int(connection.execute(total).scalar_one())


def _used(connection: Connection) -> int | None:
    chosen = select(BUDGETS.c.used).where(BUDGETS.c.name == _REPORTS).with_for_update()
    return connection.execute(chosen).scalar()
