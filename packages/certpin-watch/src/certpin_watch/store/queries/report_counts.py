"""TODO: one docstring."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime  # noqa: TC003  # msgspec reads the fields when it first encodes
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, and_, func, or_, select

from certpin_watch.store.queries.base import DAY, HOUR, hexadecimal
from certpin_watch.store.tables.reports import (
    DAY_PLACES,
    DAY_TRAITS,
    REPORT_GROUPS,
    REPORT_PLACES,
    REPORT_TRAITS,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Table

    Counts = dict[Any, Counter[int]]  # by value, and the first moment of a bucket


Bucket = Literal["hour", "day"]
By = Literal[
    "host", "app", "app_version", "platform", "network", "version", "kind", "reason", "decision",
    "served", "pin_set",
]  # fmt: skip

OTHER = "other"  # where a report says less than it did, since there was too much of it
PLACES = ("host", "served")  # what is of a place; all else are traits (store/tables/days.py)
_SHORT = 31  # days that are found within each place
_LEAST_DAYS = 8  # whole days for which the sums are asked: a week of groups is read as quickly


class ReportFilter(msgspec.Struct, frozen=True):
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


class ReadPlan(msgspec.Struct, frozen=True):
    """A time as it is read: whole days from their sums, what is left of it from the groups."""

    groups: tuple[tuple[int, int], ...]
    days: tuple[int, int] | None = None


def plan_hours(since: int, until: int) -> ReadPlan:
    """A time that is read hour by hour, which are whole, as those of the groups are."""
    return ReadPlan(((since // HOUR * HOUR, until),))


def plan_read(since: int, until: int) -> ReadPlan:
    """Divide a time."""
    first, end = -(-since // DAY) * DAY, until // DAY * DAY
    if end - first < _LEAST_DAYS * DAY:
        return plan_hours(since, until)
    ends = ((since // HOUR * HOUR, first), (end, until))
    return ReadPlan(tuple(each for each in ends if each[0] < each[1]), (first, end))


def plan_read_until(connection: Connection, since: int, until: int) -> ReadPlan:
    """The same. Where nothing came after it on its last day, that day is whole, too: today."""
    end = -(-until // DAY) * DAY
    hour = REPORT_GROUPS.c.hour
    later = select(hour).where(hour >= until, hour < end).limit(1)
    if until < end and connection.execute(later).first() is None:
        return plan_read(since, end)
    return plan_read(since, until)


def group_conditions(span: tuple[int, int], only: ReportFilter | None) -> list[ColumnElement[bool]]:
    """The conditions for groups."""
    hour = REPORT_GROUPS.c.hour
    return [hour >= span[0], hour < span[1], *_equal(REPORT_GROUPS, _asked(only))]


def sum_conditions(
    table: Table, span: tuple[int, int], only: ReportFilter | None, *, listed: bool = False
) -> list[ColumnElement[bool]]:
    """The conditions for sums. Only those by place know of hosts and chains.

    With ``listed``, days are looked for one by one, and sums that say less than their groups are
    among them. Else sums are read in the order of their places, and are not sorted: a short time
    within each place that was met since it began, and a long one all through, where that the day is
    computed keeps SQLite from its index.
    """
    short = span[1] - span[0] <= _SHORT * DAY
    day = table.c.day if listed or short or table is DAY_TRAITS else table.c.day + 0
    found: list[ColumnElement[bool]] = []
    asked = _asked(only)
    for column, named, of_place, folded in (
        ("trait", REPORT_TRAITS, False, REPORT_TRAITS.c.network == OTHER),
        ("place", REPORT_PLACES, True, REPORT_PLACES.c.host == OTHER),
    ):
        wanted = {name: value for name, value in asked.items() if (name in PLACES) is of_place}
        asks = _equal(named, wanted)
        if of_place and short and not (listed or table is DAY_TRAITS):
            asks.append(named.c.seen >= span[0])
        if asks:
            equal = and_(*asks)
            chosen = select(named.c.id).where(or_(equal, folded) if listed else equal)
            found.append(table.c[column].in_(chosen))
    return [*found, day.between(span[0], span[1] - DAY)]


def simplify_filter(connection: Connection, only: ReportFilter | None) -> ReportFilter | None:
    """The same, without the traits that all reports have which were ever added up."""
    asked = _asked(only)
    if only is None or not asked.keys() - set(PLACES):
        return only
    for name in asked.keys() - set(PLACES):
        column = REPORT_TRAITS.c[name]
        other = select(REPORT_TRAITS.c.id).where(column != asked[name]).limit(1)
        if connection.execute(other).first() is None:
            only = msgspec.structs.replace(only, **{name: None})
    return only


def filters_by_place(only: ReportFilter | None) -> bool:
    """Whether only the sums by place can tell."""
    return any(name in PLACES for name in _asked(only))


def text_of(value: Any) -> str:
    """A value as the answers have it."""
    return hexadecimal(value) if isinstance(value, bytes) else str(value)


def _asked(only: ReportFilter | None) -> dict[str, Any]:
    asked = {} if only is None else msgspec.structs.asdict(only)
    if asked.get("served") is not None:
        asked["served"] = bytes.fromhex(asked["served"])
    return {name: value for name, value in asked.items() if value is not None}


def _equal(table: Table, asked: dict[str, Any]) -> list[ColumnElement[bool]]:
    return [table.c[name] == value for name, value in asked.items()]


class ChainStats(NamedTuple):
    """How often a chain was met at a host, and when."""

    host: str
    served: bytes
    number: int
    first_at: int
    last_at: int


def counts_over_time(
    connection: Connection,
    read: ReadPlan,
    by: By,
    size: int,
    only: ReportFilter | None,
    values: Collection[Any] | None = None,
) -> Counts:
    """By value and bucket; of these values alone, where they are named."""
    found: Counts = defaultdict(Counter)
    columns = REPORT_GROUPS.c
    begin = (columns.hour - columns.hour % size).label("begin")
    for span in read.groups:
        statement = select(columns[by], begin, func.sum(columns.count))
        statement = statement.where(*group_conditions(span, only)).group_by(columns[by], "begin")
        if values is not None:
            statement = statement.where(columns[by].in_(values))
        _add(found, connection.execute(statement), size)
    if read.days is not None:
        _add(found, connection.execute(_of_days(connection, read.days, by, only, values)), size)
    return found


def totals_over_time(
    connection: Connection, read: ReadPlan, size: int, only: ReportFilter | None
) -> Counter[int]:
    """All of them by bucket, whatever tells them apart."""
    found: Counter[int] = Counter()
    for counts in counts_over_time(connection, ReadPlan(read.groups), "kind", size, only).values():
        found.update(counts)
    if read.days is not None:
        table = DAY_PLACES if filters_by_place(only) else DAY_TRAITS
        statement = select(table.c.day, func.sum(table.c.count)).group_by(table.c.day)
        for at, number in connection.execute(
            statement.where(*_where(connection, table, read.days, only))
        ):
            found[at // size * size] += int(number)
    return found


def count_by_place(
    connection: Connection, read: ReadPlan, by: Literal["host", "served"], only: ReportFilter | None
) -> Counter[Any]:
    """How many reports there are of each host, or each chain."""
    found: Counter[Any] = Counter()
    column = REPORT_GROUPS.c[by]
    for span in read.groups:
        statement = select(column, func.sum(REPORT_GROUPS.c.count)).group_by(column)
        for value, number in connection.execute(statement.where(*group_conditions(span, only))):
            found[value] += int(number)
    if read.days is not None:
        sums, named = DAY_PLACES.c, REPORT_PLACES.c
        each = select(sums.place, func.sum(sums.count).label("number")).group_by(sums.place)
        summed = each.where(*_where(connection, DAY_PLACES, read.days, only)).subquery()
        joined = summed.join(REPORT_PLACES, named.id == summed.c.place)
        statement = select(named[by], summed.c.number).select_from(joined)
        for value, number in connection.execute(statement):
            found[value] += int(number)
    return found


def observed_chains(
    connection: Connection, read: ReadPlan, only: ReportFilter | None
) -> list[ChainStats]:
    """How often each chain was met at each host, those that were met most first."""
    found: dict[tuple[str, bytes], ChainStats] = {}
    columns = REPORT_GROUPS.c
    for span in read.groups:
        statement = select(columns.host, columns.served, *_told(columns))
        statement = statement.where(*group_conditions(span, only)).group_by(
            columns.host, columns.served
        )
        _merge(found, connection.execute(statement))
    if read.days is not None:
        sums, named = DAY_PLACES.c, REPORT_PLACES.c
        each = select(sums.place, *_told(sums)).where(
            *_where(connection, DAY_PLACES, read.days, only)
        )
        summed = each.group_by(sums.place).subquery()
        joined = summed.join(REPORT_PLACES, named.id == summed.c.place)
        told = (summed.c[name] for name in ("number", "first_at", "last_at"))
        statement = select(named.host, named.served, *told).select_from(joined)
        _merge(found, connection.execute(statement))
    return sorted(found.values(), key=lambda met: (-met.number, met.host, met.served))


def count_traits(
    connection: Connection, read: ReadPlan, by: Sequence[str], only: ReportFilter | None
) -> Mapping[str, Counter[str]]:
    """How reports divide by several of their traits at once."""
    found: dict[str, Counter[str]] = {name: Counter() for name in by}
    columns = [REPORT_GROUPS.c[name] for name in by]
    for span in read.groups:
        statement = select(*columns, func.sum(REPORT_GROUPS.c.count))
        statement = statement.where(*group_conditions(span, only)).group_by(*columns)
        _divide(found, by, connection.execute(statement))
    if read.days is not None:
        table = DAY_PLACES if filters_by_place(only) else DAY_TRAITS
        each = select(table.c.trait, func.sum(table.c.count).label("number"))
        summed = (
            each.where(*_where(connection, table, read.days, only))
            .group_by(table.c.trait)
            .subquery()
        )
        joined = summed.join(REPORT_TRAITS, REPORT_TRAITS.c.id == summed.c.trait)
        named = [REPORT_TRAITS.c[name] for name in by]
        statement = select(*named, summed.c.number).select_from(joined)
        _divide(found, by, connection.execute(statement))
    return found


def _of_days(
    connection: Connection, days: tuple[int, int], by: By, only: ReportFilter | None,
    values: Collection[Any] | None,
) -> Any:  # fmt: skip
    """The sums of each day by one value."""
    of_place = by in PLACES
    named = REPORT_PLACES if of_place else REPORT_TRAITS
    table = DAY_PLACES if of_place or filters_by_place(only) else DAY_TRAITS
    number, value = table.c["place" if of_place else "trait"], named.c[by]
    statement = select(value, table.c.day, func.sum(table.c.count))
    statement = statement.select_from(table.join(named, named.c.id == number))
    if values is not None:
        chosen = select(named.c.id).where(value.in_(values))
        statement = statement.where(number.in_(chosen))
    return statement.where(*_where(connection, table, days, only)).group_by(value, table.c.day)


def _where(
    connection: Connection, table: Table, days: tuple[int, int], only: ReportFilter | None
) -> list[ColumnElement[bool]]:
    """The conditions for sums, without those that all of them meet.

    Most watches have one pin set, and to ask each sum for it would be half of the work.
    """
    return sum_conditions(table, days, simplify_filter(connection, only))


def _told(columns: Any) -> tuple[Any, ...]:
    return (
        func.sum(columns.count).label("number"),
        func.min(columns.first_at).label("first_at"),
        func.max(columns.last_at).label("last_at"),
    )


def _add(found: Counts, rows: Iterable[Any], size: int) -> None:
    for value, at, number in rows:
        found[value][int(at) // size * size] += int(number)


def _divide(found: dict[str, Counter[str]], by: Sequence[str], rows: Iterable[Any]) -> None:
    for *values, number in rows:
        for name, value in zip(by, values, strict=True):
            found[name][str(value)] += int(number)


def _merge(found: dict[tuple[str, bytes], ChainStats], rows: Iterable[Any]) -> None:
    for host, served, number, first, last in rows:
        key = (host, bytes(served))
        old = found.get(key) or ChainStats(*key, 0, first, last)
        so_far = old.number + int(number)
        found[key] = ChainStats(*key, so_far, min(old.first_at, first), max(old.last_at, last))
