"""How each kind of retention ended last, in whichever process: ``retention`` writes it down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from certpin_watch.store.engine import insert
from certpin_watch.store.tables.sweeps import SWEEPS

if TYPE_CHECKING:
    from sqlalchemy import Connection


def note(connection: Connection, kind: str, now: int, reason: str = "") -> None:
    """Note the end of an attempt.

    Args:
        connection: a transaction that may write.
        kind: the kind of rows (``retention.kinds``).
        now: seconds since 1970.
        reason: why it failed (``failures.REASONS``); empty if everything past its time is deleted.
    """
    row: dict[str, Any] = {"tried_at": now, "reason": reason}
    if not reason:
        row["done_at"] = now
    new = insert(connection, SWEEPS).values(kind=kind, **row)
    connection.execute(new.on_conflict_do_update(index_elements=["kind"], set_=row))
