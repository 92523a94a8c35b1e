"""A few reports as they came: written by strangers, and kept without what names a device.

Of those that say the same the collector keeps the first few (watch/collector/samples.py). What
stands in one is what its group was counted from, with the fields that no group has.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # msgspec reads the fields when it first encodes
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import exists, select

from certpin.watch.facts.base import Page, moment, page_of, seconds
from certpin.watch.facts.listing import Group, as_group
from certpin.watch.facts.reported import HOUR, Only, of_groups
from certpin.watch.store.tables.reports import REPORT_GROUPS, REPORT_SAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from certpin.watch.facts.reported import Range

MOST_SAMPLES = 50  # of a page: each has up to `most_sample_bytes`


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
    before: tuple[int] | None = None,
    limit: int = 20,
) -> Page[Sample]:
    """The samples, the last first; ``before`` is the ``next`` of the page before."""
    limit, table = max(1, min(limit, MOST_SAMPLES)), REPORT_SAMPLES.c
    since, until = seconds(within.since), seconds(within.until)
    statement = select(table.id, table.key, table.received_at, table.source, table.body)
    statement = statement.where(table.received_at >= since, table.received_at < until)
    if only not in (None, Only()):
        # Sample by sample: they are few, and groups may be very many.
        where = of_groups((since // HOUR * HOUR, until), only)
        statement = statement.where(exists().where(REPORT_GROUPS.c.key == table.key, *where))
    if before is not None:
        statement = statement.where(table.id < before[0])
    rows = connection.execute(statement.order_by(table.id.desc()).limit(limit + 1)).all()
    groups = _groups(connection, {row.key for row in rows})
    found = [
        Sample(row.id, moment(row.received_at), row.source, _text(row.body), groups.get(row.key))
        for row in rows
    ]
    return page_of(found, limit, [(row.id,) for row in rows])


def _groups(connection: Connection, keys: Iterable[bytes]) -> dict[bytes, Group]:
    rows = connection.execute(select(REPORT_GROUPS).where(REPORT_GROUPS.c.key.in_(keys)))
    return {row.key: as_group(row) for row in rows}


def _text(body: bytes) -> str:
    return bytes(body).decode("utf-8", "backslashreplace")
