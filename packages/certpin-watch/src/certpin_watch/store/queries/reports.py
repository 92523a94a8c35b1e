"""TODO: one docstring."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime  # noqa: TC003  # msgspec reads the fields when it first encodes
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import exists, select, tuple_

from certpin_watch.store.queries.base import (
    DAY,
    HOUR,
    Page,
    clamp_limit,
    hexadecimal,
    make_page,
    to_datetime,
    to_seconds,
)
from certpin_watch.store.queries.report_counts import (
    OTHER,
    ReportFilter,
    group_conditions,
    plan_read,
    sum_conditions,
)
from certpin_watch.store.tables.reports import (
    DAY_PLACES,
    REPORT_GROUPS,
    REPORT_PLACES,
    REPORT_SAMPLES,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import ColumnElement, Connection, Row, Subquery

    from certpin_watch.store.queries.report_counts import Range


_MOST_HOSTS = 100  # of a day that are named to the database


class Group(msgspec.Struct, frozen=True):
    """Reports of one hour that say the same. Every text is what some client said."""

    id: int
    hour: datetime
    host: str
    served: str
    verified: str
    pin_set: str
    version: int
    app: str
    app_version: str
    platform: str
    network: str
    kind: str
    decision: str
    reason: str
    count: int
    first_at: datetime
    last_at: datetime


def groups(
    connection: Connection,
    within: Range,
    *,
    only: ReportFilter | None = None,
    before: tuple[int, int] | None = None,
    limit: int = 100,
) -> Page[Group]:
    """The groups, the last hour first; ``before`` is the ``next`` of the page before."""
    limit, key = clamp_limit(limit), (REPORT_GROUPS.c.hour, REPORT_GROUPS.c.id)
    until = (
        to_seconds(within.until) if before is None else min(to_seconds(within.until), before[0] + 1)
    )
    order = [each.desc() for each in key]
    rows: list[Row[Any]] = []
    for where in _spans(connection, to_seconds(within.since), until, only, limit + 1):
        statement = select(REPORT_GROUPS).where(*where)
        if before is not None:
            statement = statement.where(tuple_(*key) < before)
        statement = statement.order_by(*order).limit(limit + 1 - len(rows))
        rows += connection.execute(statement)
        if len(rows) > limit:
            break
    return make_page([as_group(row) for row in rows], limit, [(row.hour, row.id) for row in rows])


def _spans(
    connection: Connection, since: int, until: int, only: ReportFilter | None, enough: int
) -> Iterator[list[ColumnElement[bool]]]:
    """Where to look, the newest first. The sums know on which days there is anything to find."""
    read = plan_read(since, until)
    if only in (None, ReportFilter()) or read.days is None:
        yield group_conditions((since // HOUR * HOUR, until), only)
        return
    begin, end = read.days
    yield group_conditions((end, until), only)
    for day, hosts in _days(connection, begin, end, only, enough):
        span = group_conditions((day, day + DAY), only)
        yield [*span, REPORT_GROUPS.c.host.in_(hosts)] if hosts else span
    yield group_conditions((since // HOUR * HOUR, begin), only)


def _days(
    connection: Connection, begin: int, end: int, only: ReportFilter | None, enough: int
) -> Iterator[tuple[int, list[str]]]:
    """Days on which something was counted, with its hosts where they are few; the newest first."""
    while True:
        where = sum_conditions(DAY_PLACES, (begin, end), only, listed=True)
        found = select(DAY_PLACES.c.day, REPORT_PLACES.c.host).where(*where)
        found = found.join(REPORT_PLACES, REPORT_PLACES.c.id == DAY_PLACES.c.place)
        rows = connection.execute(found.order_by(DAY_PLACES.c.day.desc()).limit(enough)).all()
        by_day: dict[int, set[str]] = defaultdict(set)
        for day, host in rows:
            by_day[day].add(host)
        for day, hosts in by_day.items():
            cut = len(rows) == enough and day == rows[-1].day
            few = not cut and OTHER not in hosts and len(hosts) <= _MOST_HOSTS
            yield day, sorted(hosts) if few else []
        if len(rows) < enough:
            return
        end = rows[-1].day


def as_group(row: Row[Any]) -> Group:
    """What a row of ``report_groups`` says."""
    return Group(
        row.id,
        to_datetime(row.hour),
        row.host,
        hexadecimal(row.served),
        hexadecimal(row.verified),
        row.pin_set,
        row.version,
        row.app,
        row.app_version,
        row.platform,
        row.network,
        row.kind,
        row.decision,
        row.reason,
        row._mapping["count"],  # `count` is a method of rows
        to_datetime(row.first_at),
        to_datetime(row.last_at),
    )


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
    only: ReportFilter | None = None,
    before: tuple[int, int] | None = None,
    limit: int = 20,
) -> Page[Sample]:
    """The samples, the last first; ``before`` is the ``next`` of the page before.

    A page is not full where very many were looked at: it has a ``next`` then.
    """
    limit = max(1, min(limit, MOST_SAMPLES))
    looked = _looked(within, only, before)
    found, order = select(looked.c.id), (looked.c.received_at.desc(), looked.c.id.desc())
    if only not in (None, ReportFilter()):
        since, until = to_seconds(within.since) // HOUR * HOUR, to_seconds(within.until)
        same = REPORT_GROUPS.c.key == looked.c.key
        found = found.where(exists().where(same, *group_conditions((since, until), only)))
    ids = connection.execute(found.order_by(*order).limit(limit + 1)).scalars().all()
    page = _page(connection, ids, limit)
    if page.next is None and only not in (None, ReportFilter()):
        last = select(looked.c.received_at, looked.c.id).order_by(*order).offset(_LOOKED - 1)
        if (further := connection.execute(last).one_or_none()) is not None:
            return Page(page.items, tuple(further))
    return page


def _looked(within: Range, only: ReportFilter | None, before: tuple[int, int] | None) -> Subquery:
    """The samples that are looked at, the last first, from their index alone."""
    table = REPORT_SAMPLES.c
    order = (table.received_at, table.id)
    since, until = to_seconds(within.since), to_seconds(within.until)
    statement = select(table.id, table.key, table.received_at)
    statement = statement.where(table.received_at >= since, table.received_at < until)
    if before is not None:
        statement = statement.where(table.received_at <= before[0], tuple_(*order) < before)
    most = MOST_SAMPLES + 1 if only in (None, ReportFilter()) else _LOOKED
    return statement.order_by(*(each.desc() for each in order)).limit(most).subquery()


def _page(connection: Connection, ids: Sequence[int], limit: int) -> Page[Sample]:
    table = REPORT_SAMPLES.c
    order = (table.received_at.desc(), table.id.desc())
    rows = connection.execute(
        select(REPORT_SAMPLES).where(table.id.in_(ids)).order_by(*order)
    ).all()
    groups = _groups(connection, {row.key for row in rows})
    found = [
        Sample(
            row.id, to_datetime(row.received_at), row.source, _text(row.body), groups.get(row.key)
        )
        for row in rows
    ]
    return make_page(found, limit, [(row.received_at, row.id) for row in rows])


def _groups(connection: Connection, keys: Iterable[bytes]) -> dict[bytes, Group]:
    rows = connection.execute(select(REPORT_GROUPS).where(REPORT_GROUPS.c.key.in_(keys)))
    return {row.key: as_group(row) for row in rows}


def _text(body: bytes) -> str:
    return bytes(body).decode("utf-8", "backslashreplace")
