"""When nobody took reports: what clients would have told then is unknown, and not nought."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from certpin_watch.collector.awake import PAUSE
from certpin_watch.store.tables.listened import LISTENED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection


def gaps(connection: Connection, since: int, until: int) -> Iterator[tuple[int, int]]:
    """Each time in which nobody did, from its begin to its end, the first one first.

    Nothing is known, and nothing said, of the time before it was first written down.
    """
    columns = LISTENED.c
    before = select(columns.until).where(columns.until < since)
    ended = connection.execute(before.order_by(columns.until.desc()).limit(1)).scalar()
    rows = select(columns.since, columns.until).where(columns.until >= since)
    for begun, end in connection.execute(rows.order_by(columns.since)):
        if ended is not None and begun - ended > PAUSE and max(ended, since) < min(begun, until):
            yield max(ended, since), min(begun, until)
        ended = end if ended is None else max(ended, end)
    if ended is not None and until - ended > PAUSE:
        yield max(ended, since), until


def silent(connection: Connection, begins: Sequence[int], size: int, until: int) -> list[int]:
    """Those of the buckets in which nobody took reports for a while."""
    if not begins:
        return []
    found: set[int] = set()
    for begun, end in gaps(connection, begins[0], min(until, begins[-1] + size)):
        found.update(range(begun // size * size, end, size))
    return [begin for begin in begins if begin in found]
