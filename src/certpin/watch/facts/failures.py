"""What clients reported: claims, counted. Over time, in groups, and by the chain that they met."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime  # noqa: TC003  # msgspec reads the fields when it first encodes
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from sqlalchemy import ColumnElement, func, select, tuple_

from certpin.watch.facts.base import (
    DAY,
    HOUR,
    MOST,
    Page,
    bounded,
    hexadecimal,
    moment,
    page_of,
    seconds,
)
from certpin.watch.store.tables.reports import REPORT_GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection, Row

Bucket = Literal["hour", "day"]
By = Literal[
    "host", "app", "app_version", "platform", "network", "version", "kind", "reason", "decision",
    "served", "pin_set",
]  # fmt: skip

MOST_POINTS = 750  # of a line: a month of hours, two years of days
MOST_LINES = 12
_SECONDS: dict[Bucket, int] = {"hour": HOUR, "day": DAY}


class Only(msgspec.Struct, frozen=True):
    """Which reports are asked for; what is ``None`` may be anything. ``served`` is hexadecimal."""

    host: str | None = None
    pin_set: str | None = None
    version: int | None = None
    app: str | None = None
    app_version: str | None = None
    platform: str | None = None
    network: str | None = None
    kind: str | None = None
    reason: str | None = None
    decision: str | None = None
    served: str | None = None


class Range(msgspec.Struct, frozen=True):
    """From ``since``, which is in it, to ``until``, which is not."""

    since: datetime
    until: datetime


class Line(msgspec.Struct, frozen=True):
    """How many reports had this value, in each bucket; ``rest`` is all that have no line."""

    value: str
    total: int
    counts: tuple[int, ...]
    rest: bool = False


class Series(msgspec.Struct, frozen=True):
    """Reports over time. ``begins`` are the first moments of the buckets; lines by their totals."""

    by: By
    bucket: Bucket
    begins: tuple[datetime, ...]
    lines: tuple[Line, ...]
    total: int


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


class ChainCount(msgspec.Struct, frozen=True):
    """A chain that clients met at a host, and how often; ``served`` is empty where none came."""

    host: str
    served: str
    count: int
    first_at: datetime
    last_at: datetime


class Total(msgspec.Struct, frozen=True):
    """How many reports, at how many hosts, with how many chains, and when the last one came."""

    count: int
    hosts: int
    chains: int
    last_at: datetime | None = None


def series(
    connection: Connection,
    within: Range,
    *,
    by: By = "host",
    bucket: Bucket = "hour",
    only: Only | None = None,
    lines: int = 8,
) -> Series:
    """Reports over time, a line for each value. A range that has too many buckets is cut short."""
    size, lines = _SECONDS[bucket], max(1, min(lines, MOST_LINES))
    first = seconds(within.since) // size * size
    last = min(seconds(within.until), first + MOST_POINTS * size)
    begins = tuple(range(first, max(last, first), size))
    where = [*_within(first, last), *_where(only)]
    counts = _counts(connection, by, size, where)
    named = _most_first(counts)
    found = [_line(value, counts[value], begins) for value in named[:lines]]
    if len(named) > lines:
        found.append(_line(None, _rest(counts, named[lines:]), begins))
    shown = tuple(found)
    return Series(by, bucket, tuple(map(moment, begins)), shown, sum(each.total for each in shown))


def total(connection: Connection, within: Range, only: Only | None = None) -> Total:
    """How many there were."""
    columns = REPORT_GROUPS.c
    statement = select(
        func.coalesce(func.sum(columns.count), 0),
        func.count(columns.host.distinct()),
        func.count(columns.served.distinct()),
        func.max(columns.last_at),
    ).where(*_within(seconds(within.since), seconds(within.until)), *_where(only))
    number, hosts, chains, last = connection.execute(statement).one()
    return Total(int(number), hosts, chains, None if last is None else moment(last))


def groups(
    connection: Connection,
    within: Range,
    *,
    only: Only | None = None,
    before: tuple[int, int] | None = None,
    limit: int = 100,
) -> Page[Group]:
    """The groups, the last hour first; ``before`` is the ``next`` of the page before."""
    limit, columns = bounded(limit), REPORT_GROUPS.c
    key = (columns.hour, columns.id)
    where = [*_within(seconds(within.since), seconds(within.until)), *_where(only)]
    if before is not None:
        where.append(tuple_(*key) < before)
    order = (each.desc() for each in key)
    statement = select(REPORT_GROUPS).where(*where).order_by(*order).limit(limit + 1)
    rows = connection.execute(statement).all()
    return page_of([_group(row) for row in rows], limit, [(row.hour, row.id) for row in rows])


def top_chains(
    connection: Connection, within: Range, *, only: Only | None = None, limit: int = 20
) -> tuple[ChainCount, ...]:
    """The chains that clients met most often."""
    columns, number = REPORT_GROUPS.c, func.sum(REPORT_GROUPS.c.count)
    statement = (
        select(
            columns.host,
            columns.served,
            number.label("number"),
            func.min(columns.first_at).label("first_at"),
            func.max(columns.last_at).label("last_at"),
        )
        .where(*_within(seconds(within.since), seconds(within.until)), *_where(only))
        .group_by(columns.host, columns.served)
        .order_by(number.desc(), columns.host, columns.served)
        .limit(min(bounded(limit), MOST))
    )
    return tuple(
        ChainCount(
            row.host,
            hexadecimal(row.served),
            int(row.number),
            moment(row.first_at),
            moment(row.last_at),
        )
        for row in connection.execute(statement)
    )


def _within(since: int, until: int) -> Iterable[ColumnElement[bool]]:
    return REPORT_GROUPS.c.hour >= since // HOUR * HOUR, REPORT_GROUPS.c.hour < until


def _where(only: Only | None) -> list[ColumnElement[bool]]:
    asked = {} if only is None else msgspec.structs.asdict(only)
    if asked.get("served") is not None:
        asked["served"] = bytes.fromhex(asked["served"])
    return [REPORT_GROUPS.c[name] == value for name, value in asked.items() if value is not None]


def _counts(
    connection: Connection, by: By, size: int, where: list[ColumnElement[bool]]
) -> dict[str, dict[int, int]]:
    """By value and bucket. One pass over the reports: two are slower than what is read here."""
    columns = REPORT_GROUPS.c
    begin = (columns.hour - columns.hour % size).label("begin")
    statement = select(columns[by], begin, func.sum(columns.count)).where(*where)
    found: dict[str, dict[int, int]] = defaultdict(dict)
    for value, at, number in connection.execute(statement.group_by(columns[by], "begin")):
        found[_text(value)][int(at)] = int(number)
    return found


def _most_first(counts: dict[str, dict[int, int]]) -> list[str]:
    return sorted(counts, key=lambda value: (-sum(counts[value].values()), value))


def _rest(counts: dict[str, dict[int, int]], values: list[str]) -> dict[int, int]:
    found: dict[int, int] = defaultdict(int)
    for value in values:
        for at, number in counts[value].items():
            found[at] += number
    return found


def _line(value: str | None, counts: dict[int, int], begins: tuple[int, ...]) -> Line:
    numbers = tuple(counts.get(begin, 0) for begin in begins)
    return Line(value or "", sum(numbers), numbers, rest=value is None)


def _text(value: Any) -> str:
    return hexadecimal(value) if isinstance(value, bytes) else str(value)


def _group(row: Row[Any]) -> Group:
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
