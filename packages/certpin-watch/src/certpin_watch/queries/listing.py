"""Reports as they are kept: the groups, one by one."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime  # noqa: TC003  # msgspec reads the fields when it first encodes
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import select, tuple_

from certpin_watch.queries.base import (
    DAY,
    HOUR,
    Page,
    bounded,
    hexadecimal,
    moment,
    page_of,
    seconds,
)
from certpin_watch.queries.reported import OTHER, Only, of_groups, of_sums, parts
from certpin_watch.store.tables.days import DAY_PLACES, REPORT_PLACES
from certpin_watch.store.tables.reports import REPORT_GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import ColumnElement, Connection, Row

    from certpin_watch.queries.reported import Range

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
    only: Only | None = None,
    before: tuple[int, int] | None = None,
    limit: int = 100,
) -> Page[Group]:
    """The groups, the last hour first; ``before`` is the ``next`` of the page before."""
    limit, key = bounded(limit), (REPORT_GROUPS.c.hour, REPORT_GROUPS.c.id)
    until = seconds(within.until) if before is None else min(seconds(within.until), before[0] + 1)
    order = [each.desc() for each in key]
    rows: list[Row[Any]] = []
    for where in _spans(connection, seconds(within.since), until, only, limit + 1):
        statement = select(REPORT_GROUPS).where(*where)
        if before is not None:
            statement = statement.where(tuple_(*key) < before)
        statement = statement.order_by(*order).limit(limit + 1 - len(rows))
        rows += connection.execute(statement)
        if len(rows) > limit:
            break
    return page_of([as_group(row) for row in rows], limit, [(row.hour, row.id) for row in rows])


def _spans(
    connection: Connection, since: int, until: int, only: Only | None, enough: int
) -> Iterator[list[ColumnElement[bool]]]:
    """Where to look, the newest first. The sums know on which days there is anything to find."""
    read = parts(since, until)
    if only in (None, Only()) or read.days is None:
        yield of_groups((since // HOUR * HOUR, until), only)
        return
    begin, end = read.days
    yield of_groups((end, until), only)
    for day, hosts in _days(connection, begin, end, only, enough):
        span = of_groups((day, day + DAY), only)
        yield [*span, REPORT_GROUPS.c.host.in_(hosts)] if hosts else span
    yield of_groups((since // HOUR * HOUR, begin), only)


def _days(
    connection: Connection, begin: int, end: int, only: Only | None, enough: int
) -> Iterator[tuple[int, list[str]]]:
    """Days on which something was counted, with its hosts where they are few; the newest first."""
    while True:
        where = of_sums(DAY_PLACES, (begin, end), only, listed=True)
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
        moment(row.hour),
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
        moment(row.first_at),
        moment(row.last_at),
    )
