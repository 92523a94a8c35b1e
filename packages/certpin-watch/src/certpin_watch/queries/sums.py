"""Reports counted, wherever they are counted quickest: hours from their groups, days from sums."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sqlalchemy import func, select

from certpin_watch.queries.reported import (
    PLACES,
    Parts,
    needs_places,
    of_groups,
    of_sums,
    restricting,
)
from certpin_watch.store.tables.days import DAY_PLACES, DAY_TRAITS, REPORT_PLACES, REPORT_TRAITS
from certpin_watch.store.tables.reports import REPORT_GROUPS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Table

    from certpin_watch.queries.reported import By, Only

    Counts = dict[Any, Counter[int]]  # by value, and the first moment of a bucket


class Met(NamedTuple):
    """How often a chain was met at a host, and when."""

    host: str
    served: bytes
    number: int
    first_at: int
    last_at: int


def over_time(
    connection: Connection,
    read: Parts,
    by: By,
    size: int,
    only: Only | None,
    values: Collection[Any] | None = None,
) -> Counts:
    """By value and bucket; of these values alone, where they are named."""
    found: Counts = defaultdict(Counter)
    columns = REPORT_GROUPS.c
    begin = (columns.hour - columns.hour % size).label("begin")
    for span in read.groups:
        statement = select(columns[by], begin, func.sum(columns.count))
        statement = statement.where(*of_groups(span, only)).group_by(columns[by], "begin")
        if values is not None:
            statement = statement.where(columns[by].in_(values))
        _add(found, connection.execute(statement), size)
    if read.days is not None:
        _add(found, connection.execute(_of_days(connection, read.days, by, only, values)), size)
    return found


def by_day(connection: Connection, read: Parts, size: int, only: Only | None) -> Counter[int]:
    """All of them by bucket, whatever tells them apart."""
    found: Counter[int] = Counter()
    for counts in over_time(connection, Parts(read.groups), "kind", size, only).values():
        found.update(counts)
    if read.days is not None:
        table = DAY_PLACES if needs_places(only) else DAY_TRAITS
        statement = select(table.c.day, func.sum(table.c.count)).group_by(table.c.day)
        for at, number in connection.execute(
            statement.where(*_where(connection, table, read.days, only))
        ):
            found[at // size * size] += int(number)
    return found


def ranked(
    connection: Connection, read: Parts, by: Literal["host", "served"], only: Only | None
) -> Counter[Any]:
    """How many reports there are of each host, or each chain."""
    found: Counter[Any] = Counter()
    column = REPORT_GROUPS.c[by]
    for span in read.groups:
        statement = select(column, func.sum(REPORT_GROUPS.c.count)).group_by(column)
        for value, number in connection.execute(statement.where(*of_groups(span, only))):
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


def places(connection: Connection, read: Parts, only: Only | None) -> list[Met]:
    """How often each chain was met at each host, those that were met most first."""
    found: dict[tuple[str, bytes], Met] = {}
    columns = REPORT_GROUPS.c
    for span in read.groups:
        statement = select(columns.host, columns.served, *_told(columns))
        statement = statement.where(*of_groups(span, only)).group_by(columns.host, columns.served)
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


def traits(
    connection: Connection, read: Parts, by: Sequence[str], only: Only | None
) -> Mapping[str, Counter[str]]:
    """How reports divide by several of their traits at once."""
    found: dict[str, Counter[str]] = {name: Counter() for name in by}
    columns = [REPORT_GROUPS.c[name] for name in by]
    for span in read.groups:
        statement = select(*columns, func.sum(REPORT_GROUPS.c.count))
        statement = statement.where(*of_groups(span, only)).group_by(*columns)
        _divide(found, by, connection.execute(statement))
    if read.days is not None:
        table = DAY_PLACES if needs_places(only) else DAY_TRAITS
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
    connection: Connection, days: tuple[int, int], by: By, only: Only | None,
    values: Collection[Any] | None,
) -> Any:  # fmt: skip
    """The sums of each day by one value."""
    of_place = by in PLACES
    named = REPORT_PLACES if of_place else REPORT_TRAITS
    table = DAY_PLACES if of_place or needs_places(only) else DAY_TRAITS
    number, value = table.c["place" if of_place else "trait"], named.c[by]
    statement = select(value, table.c.day, func.sum(table.c.count))
    statement = statement.select_from(table.join(named, named.c.id == number))
    if values is not None:
        chosen = select(named.c.id).where(value.in_(values))
        statement = statement.where(number.in_(chosen))
    return statement.where(*_where(connection, table, days, only)).group_by(value, table.c.day)


def _where(
    connection: Connection, table: Table, days: tuple[int, int], only: Only | None
) -> list[ColumnElement[bool]]:
    """The conditions for sums, without those that all of them meet.

    Most watches have one pin set, and to ask each sum for it would be half of the work.
    """
    return of_sums(table, days, restricting(connection, only))


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


def _merge(found: dict[tuple[str, bytes], Met], rows: Iterable[Any]) -> None:
    for host, served, number, first, last in rows:
        key = (host, bytes(served))
        old = found.get(key) or Met(*key, 0, first, last)
        so_far = old.number + int(number)
        found[key] = Met(*key, so_far, min(old.first_at, first), max(old.last_at, last))
