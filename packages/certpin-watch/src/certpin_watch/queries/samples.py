"""A few reports as they came: written by strangers, and kept without what names a device.

Of those that say the same the collector keeps the first few (watch/collector/samples.py). What
stands in one is what its group was counted from, with the fields that no group has.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # msgspec reads the fields when it first encodes
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import exists, select, tuple_

from certpin_watch.queries.base import HOUR, Page, moment, page_of, seconds
from certpin_watch.queries.listing import Group, as_group
from certpin_watch.queries.reported import Only, of_groups
from certpin_watch.store.tables.reports import REPORT_GROUPS, REPORT_SAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection, Subquery

    from certpin_watch.queries.reported import Range

MOST_SAMPLES = 50  # of a page: each has up to `most_sample_bytes`
_LOOKED = 20_000  # that are looked at for a page: twice as many as there are by default


class Sample(msgspec.Struct, frozen=True):
    """One report, or one body of several. ``source`` is the network that it came from, cut.

    ``body`` is JSON as text, bytes that are no UTF-8 as escapes. ``group`` is where it was counted
    (of a body of several reports, the first of them that was kept); none once that is deleted.
    """

    id: int
    received_at: datetime
    source: str
    body: str
    group: Group | None = None


def samples(
    connection: Connection,
    within: Range,
    *,
    only: Only | None = None,
    before: tuple[int, int] | None = None,
    limit: int = 20,
) -> Page[Sample]:
    """The samples, the last first; ``before`` is the ``next`` of the page before.

    A page is not full where very many were looked at: it has a ``next`` then.
    """
    limit = max(1, min(limit, MOST_SAMPLES))
    looked = _looked(within, only, before)
    found, order = select(looked.c.id), (looked.c.received_at.desc(), looked.c.id.desc())
    if only not in (None, Only()):
        since, until = seconds(within.since) // HOUR * HOUR, seconds(within.until)
        same = REPORT_GROUPS.c.key == looked.c.key
        found = found.where(exists().where(same, *of_groups((since, until), only)))
    ids = connection.execute(found.order_by(*order).limit(limit + 1)).scalars().all()
    page = _page(connection, ids, limit)
    if page.next is None and only not in (None, Only()):
        last = select(looked.c.received_at, looked.c.id).order_by(*order).offset(_LOOKED - 1)
        if (further := connection.execute(last).one_or_none()) is not None:
            return Page(page.items, tuple(further))
    return page


def _looked(within: Range, only: Only | None, before: tuple[int, int] | None) -> Subquery:
    """The samples that are looked at, the last first, from their index alone."""
    table = REPORT_SAMPLES.c
    order = (table.received_at, table.id)
    since, until = seconds(within.since), seconds(within.until)
    statement = select(table.id, table.key, table.received_at)
    statement = statement.where(table.received_at >= since, table.received_at < until)
    if before is not None:
        statement = statement.where(table.received_at <= before[0], tuple_(*order) < before)
    most = MOST_SAMPLES + 1 if only in (None, Only()) else _LOOKED
    return statement.order_by(*(each.desc() for each in order)).limit(most).subquery()


def _page(connection: Connection, ids: Sequence[int], limit: int) -> Page[Sample]:
    table = REPORT_SAMPLES.c
    order = (table.received_at.desc(), table.id.desc())
    rows = connection.execute(
        select(REPORT_SAMPLES).where(table.id.in_(ids)).order_by(*order)
    ).all()
    groups = _groups(connection, {row.key for row in rows})
    found = [
        Sample(row.id, moment(row.received_at), row.source, _text(row.body), groups.get(row.key))
        for row in rows
    ]
    return page_of(found, limit, [(row.received_at, row.id) for row in rows])


def _groups(connection: Connection, keys: Iterable[bytes]) -> dict[bytes, Group]:
    rows = connection.execute(select(REPORT_GROUPS).where(REPORT_GROUPS.c.key.in_(keys)))
    return {row.key: as_group(row) for row in rows}


def _text(body: bytes) -> str:
    return bytes(body).decode("utf-8", "backslashreplace")
