"""Count the reports that match a filter and a time range.

A *report group* counts the reports of one hour with equal fields. A *daily sum* counts those of one
day. The functions read full days from the daily sums, and the remaining hours from the report
groups. A *place* is a pair of a host and a chain; *traits* are a combination of all other fields.
The table ``DAY_TRAITS`` has the daily sums by traits, and ``DAY_PLACES`` those by place and traits.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime  # noqa: TC003  # msgspec reads the fields when it first encodes
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
from sqlalchemy import and_, func, or_, select

from certpin_watch.store.identities import DAY, HOUR
from certpin_watch.store.queries import hexadecimal
from certpin_watch.store.reports import OTHER
from certpin_watch.store.tables.observations import (
    DAY_PLACES,
    DAY_TRAITS,
    REPORT_GROUPS,
    REPORT_PLACES,
    REPORT_TRAITS,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Table

    Counts = dict[Any, Counter[int]]  # by value, and the first moment of a bucket

Bucket = Literal["hour", "day"]
By = Literal[
    "host", "app", "app_version", "platform", "network", "version", "kind", "reason", "decision",
    "served", "pin_set",
]  # fmt: skip

PLACES = ("host", "served")  # fields of a place; all others belong to a trait
_SHORT = 31  # days: in a longer range the days of a place are not searched by the index
_MIN_DAYS = 8  # full days from which on the sums are read: a week of groups is read as quickly


class ReportFilter(msgspec.Struct, frozen=True):
    """Selects reports by the values of their fields. A field that is None matches any value.

    ``served`` is the digest of a chain in hexadecimal. ``kind`` is the format of the report, such
    as "trustkit", and ``decision`` the decision of the client, such as "refuse". The other fields
    are described at ``store.reports.ReportGroup``.
    """

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
    """A range of time, from ``since`` (inclusive) to ``until`` (exclusive)."""

    since: datetime
    until: datetime


class ReadPlan(msgspec.Struct, frozen=True):
    """The tables from which to count reports in a time range.

    Daily sums count the reports of full days. Report groups count the reports of each hour.

    Attributes:
        groups: the spans to read from report groups, each with its begin and end in seconds.
        days: the span of full days to read from daily sums; None if there is none.
    """

    groups: tuple[tuple[int, int], ...]
    days: tuple[int, int] | None = None


class ChainStats(NamedTuple):
    """How often a chain was reported at a host (``number``), and when first and last.

    ``served`` is the digest of the chain. The times are in seconds since 1970.
    """

    host: str
    served: bytes
    number: int
    first_at: int
    last_at: int


def plan_hours(since: int, until: int) -> ReadPlan:
    """Return a plan that counts the reports of a time range from the hourly counts only.

    The hourly counts are the report groups. The range is from ``since`` to ``until``, in
    seconds since 1970; it begins with the full hour of ``since``.
    """
    return ReadPlan(((since // HOUR * HOUR, until),))


def plan_read(since: int, until: int) -> ReadPlan:
    """Return a plan that counts reports in a time range, the full days from daily sums.

    The plan reads the hours before and after the full days from report groups, which count reports
    by the hour. If the range has few full days, the plan reads only report groups. The range is
    from ``since`` to ``until``, in seconds since 1970.
    """
    first, end = -(-since // DAY) * DAY, until // DAY * DAY
    if end - first < _MIN_DAYS * DAY:
        return plan_hours(since, until)
    edges = ((since // HOUR * HOUR, first), (end, until))
    return ReadPlan(tuple(edge for edge in edges if edge[0] < edge[1]), (first, end))


def plan_read_until(connection: Connection, since: int, until: int) -> ReadPlan:
    """Return a plan that counts reports in a time range, the last day from daily sums if possible.

    A range can end in the middle of its last day, but a daily sum counts the whole day. So the plan
    reads the daily sums of this day only if no report arrived between the end of the range and the
    end of the day; for example, if the range ends now. Otherwise the plan reads the hours of this
    day from report groups. The range is from ``since`` to ``until``, in seconds since 1970.
    """
    end = -(-until // DAY) * DAY
    hour = REPORT_GROUPS.c.hour
    later = select(hour).where(hour >= until, hour < end).limit(1)
    if until < end and connection.execute(later).first() is None:
        return plan_read(since, end)
    return plan_read(since, until)


def counts_over_time(
    connection: Connection,
    read: ReadPlan,
    by: By,
    size: int,
    only: ReportFilter | None,
    values: Collection[Any] | None = None,
) -> Counts:
    """Count reports by the value of a field, and by bucket (a period of ``size`` seconds).

    Args:
        connection: a connection that may read.
        read: the time range.
        by: the name of the field.
        size: the length of a bucket in seconds.
        only: the filter; None counts all reports.
        values: the values to count; by default all.

    Returns:
        For each value, a mapping from the first second of each bucket to the number of reports.
    """
    found: Counts = defaultdict(Counter)
    columns = REPORT_GROUPS.c
    begin = (columns.hour - columns.hour % size).label("begin")
    for span in read.groups:
        statement = select(columns[by], begin, func.sum(columns.count))
        statement = statement.where(*group_conditions(span, only)).group_by(columns[by], "begin")
        if values is not None:
            statement = statement.where(columns[by].in_(values))
        _add_buckets(found, connection.execute(statement), size)
    if read.days is not None:
        statement = _daily_counts(connection, read.days, by, only, values)
        _add_buckets(found, connection.execute(statement), size)
    return found


def totals_over_time(
    connection: Connection, read: ReadPlan, size: int, only: ReportFilter | None
) -> Counter[int]:
    """Count all matching reports by bucket (a period of ``size`` seconds).

    ``read`` has the time range. ``only`` is the filter; None counts all reports. The result maps
    the first second of each bucket to the number of reports.
    """
    found: Counter[int] = Counter()
    for counts in counts_over_time(connection, ReadPlan(read.groups), "kind", size, only).values():
        found.update(counts)
    if read.days is not None:
        table = DAY_PLACES if filters_by_place(only) else DAY_TRAITS
        statement = select(table.c.day, func.sum(table.c.count)).group_by(table.c.day)
        for at, number in connection.execute(
            statement.where(*_daily_conditions(connection, table, read.days, only))
        ):
            found[at // size * size] += int(number)
    return found


def count_by_place(
    connection: Connection,
    read: ReadPlan,
    by: Literal["host", "served"],
    only: ReportFilter | None,
) -> Counter[Any]:
    """Count the matching reports for each host, or for each served chain.

    ``read`` has the time range. ``only`` is the filter; None counts all reports. ``by`` is "host",
    or "served" for the digest of the chain. The result maps each value to the number of reports.
    """
    found: Counter[Any] = Counter()
    column = REPORT_GROUPS.c[by]
    for span in read.groups:
        statement = select(column, func.sum(REPORT_GROUPS.c.count)).group_by(column)
        for value, number in connection.execute(statement.where(*group_conditions(span, only))):
            found[value] += int(number)
    if read.days is not None:
        sums, places = DAY_PLACES.c, REPORT_PLACES.c
        by_place = select(sums.place, func.sum(sums.count).label("number")).group_by(sums.place)
        summed = by_place.where(
            *_daily_conditions(connection, DAY_PLACES, read.days, only)
        ).subquery()
        joined = summed.join(REPORT_PLACES, places.id == summed.c.place)
        statement = select(places[by], summed.c.number).select_from(joined)
        for value, number in connection.execute(statement):
            found[value] += int(number)
    return found


def reported_chains(
    connection: Connection, read: ReadPlan, only: ReportFilter | None
) -> list[ChainStats]:
    """Count the matching reports of each chain at each host, the largest number first.

    ``read`` has the time range. ``only`` is the filter; None counts all reports.
    """
    found: dict[tuple[str, bytes], ChainStats] = {}
    columns = REPORT_GROUPS.c
    for span in read.groups:
        statement = select(columns.host, columns.served, *_aggregates(columns))
        statement = statement.where(*group_conditions(span, only)).group_by(
            columns.host, columns.served
        )
        _merge_stats(found, connection.execute(statement))
    if read.days is not None:
        sums, places = DAY_PLACES.c, REPORT_PLACES.c
        by_place = select(sums.place, *_aggregates(sums)).where(
            *_daily_conditions(connection, DAY_PLACES, read.days, only)
        )
        summed = by_place.group_by(sums.place).subquery()
        joined = summed.join(REPORT_PLACES, places.id == summed.c.place)
        aggregates = (summed.c[name] for name in ("number", "first_at", "last_at"))
        statement = select(places.host, places.served, *aggregates).select_from(joined)
        _merge_stats(found, connection.execute(statement))
    return sorted(found.values(), key=lambda stats: (-stats.number, stats.host, stats.served))


def count_traits(
    connection: Connection, read: ReadPlan, by: Sequence[str], only: ReportFilter | None
) -> Mapping[str, Counter[str]]:
    """Count the matching reports by the values of several fields, such as app and platform.

    ``read`` has the time range. ``only`` is the filter; None counts all reports. ``by`` are the
    names of the fields. The host and the chain must not be among them. The result maps the name of
    each field to a counter, which maps each value to the number of reports.
    """
    found: dict[str, Counter[str]] = {name: Counter() for name in by}
    columns = [REPORT_GROUPS.c[name] for name in by]
    for span in read.groups:
        statement = select(*columns, func.sum(REPORT_GROUPS.c.count))
        statement = statement.where(*group_conditions(span, only)).group_by(*columns)
        _add_traits(found, by, connection.execute(statement))
    if read.days is not None:
        table = DAY_PLACES if filters_by_place(only) else DAY_TRAITS
        by_trait = select(table.c.trait, func.sum(table.c.count).label("number"))
        summed = (
            by_trait.where(*_daily_conditions(connection, table, read.days, only))
            .group_by(table.c.trait)
            .subquery()
        )
        joined = summed.join(REPORT_TRAITS, REPORT_TRAITS.c.id == summed.c.trait)
        traits = [REPORT_TRAITS.c[name] for name in by]
        statement = select(*traits, summed.c.number).select_from(joined)
        _add_traits(found, by, connection.execute(statement))
    return found


def counts_by_hour(connection: Connection, since: int) -> Iterator[tuple[int, str, str, str, int]]:
    """Yield the number of reports in each hour from ``since`` on, by host, kind and decision.

    The kind is the format of the report; the decision is whether the client refused the connection.
    Each tuple has the hour (its first second), host, kind, decision and number. ``since`` is in
    seconds since 1970.
    """
    columns = REPORT_GROUPS.c
    by = (columns.hour, columns.host, columns.kind, columns.decision)
    statement = select(*by, func.sum(columns.count)).where(columns.hour >= since).group_by(*by)
    for hour, host, kind, decision, number in connection.execute(statement):
        yield hour, host, kind, decision, int(number)


def group_conditions(span: tuple[int, int], only: ReportFilter | None) -> list[ColumnElement[bool]]:
    """Return the SQL conditions that select report groups (hourly counts of equal reports).

    ``span`` is the begin (inclusive) and the end (exclusive) in seconds since 1970. ``only`` is a
    filter on the fields of the reports; None selects all.
    """
    hour = REPORT_GROUPS.c.hour
    return [hour >= span[0], hour < span[1], *_equal(REPORT_GROUPS, _fields(only))]


def sum_conditions(
    table: Table, span: tuple[int, int], only: ReportFilter | None, *, listed: bool = False
) -> list[ColumnElement[bool]]:
    """Return the SQL conditions that select the daily sums in a time span that match a filter.

    A daily sum counts the reports of one day with equal fields.

    Args:
        table: ``DAY_PLACES`` (sums by host and chain) or ``DAY_TRAITS`` (sums by other fields).
        span: the range in seconds, of full days.
        only: the filter. Only ``DAY_PLACES`` can be selected by host and chain.
        listed: False to count reports: only sums that match the filter are selected. True to find
            days: sums that were stored with less detail are selected, too, because they possibly
            contain reports that match the filter.
    """
    # To count, the sums of DAY_PLACES are best read by host and chain, because that avoids a sort.
    # For a short span, a condition on the places that were reported since its begin makes the
    # database do that; for a long one, `day + 0` prevents SQLite from using its index by day.
    short = span[1] - span[0] <= _SHORT * DAY
    day = table.c.day if listed or short or table is DAY_TRAITS else table.c.day + 0
    found: list[ColumnElement[bool]] = []
    fields = _fields(only)
    for column, lookup, of_place, folded in (
        ("trait", REPORT_TRAITS, False, REPORT_TRAITS.c.network == OTHER),
        ("place", REPORT_PLACES, True, REPORT_PLACES.c.host == OTHER),
    ):
        wanted = {name: value for name, value in fields.items() if (name in PLACES) is of_place}
        conditions = _equal(lookup, wanted)
        if of_place and short and not (listed or table is DAY_TRAITS):
            conditions.append(lookup.c.seen >= span[0])
        if conditions:
            equal = and_(*conditions)
            chosen = select(lookup.c.id).where(or_(equal, folded) if listed else equal)
            found.append(table.c[column].in_(chosen))
    return [*found, day.between(span[0], span[1] - DAY)]


def simplify_filter(connection: Connection, only: ReportFilter | None) -> ReportFilter | None:
    """Return a filter that selects the same reports with fewer conditions, to speed up queries.

    A condition is removed if every stored report meets it. Conditions on the host and the chain
    always remain. If ``only`` is None, so is the result.
    """
    fields = _fields(only)
    if only is None or not fields.keys() - set(PLACES):
        return only
    for name in fields.keys() - set(PLACES):
        column = REPORT_TRAITS.c[name]
        other = select(REPORT_TRAITS.c.id).where(column != fields[name]).limit(1)
        if connection.execute(other).first() is None:
            only = msgspec.structs.replace(only, **{name: None})
    return only


def filters_by_place(only: ReportFilter | None) -> bool:
    """Return True if the filter has a condition on the host or the chain of reports.

    Daily sums can be selected with such a filter only in the table ``DAY_PLACES``.
    """
    return any(name in PLACES for name in _fields(only))


def text_of(value: Any) -> str:
    """Return the value of a report's field as text, for charts and the API.

    A digest is written in hexadecimal.
    """
    return hexadecimal(value) if isinstance(value, bytes) else str(value)


def _fields(only: ReportFilter | None) -> dict[str, Any]:
    fields = {} if only is None else msgspec.structs.asdict(only)
    if fields.get("served") is not None:
        fields["served"] = bytes.fromhex(fields["served"])
    return {name: value for name, value in fields.items() if value is not None}


def _equal(table: Table, fields: dict[str, Any]) -> list[ColumnElement[bool]]:
    return [table.c[name] == value for name, value in fields.items()]


def _daily_counts(
    connection: Connection, days: tuple[int, int], by: By, only: ReportFilter | None,
    values: Collection[Any] | None,
) -> Any:  # fmt: skip
    """Return the SQL statement that counts reports by the value of a field and by day.

    The statement reads daily sums. It selects the field's value, the day and the number.

    Args:
        connection: a connection that may read.
        days: the range in seconds, of full days.
        by: the name of the field.
        only: the filter; None counts all reports.
        values: the values to count; None for all.
    """
    of_place = by in PLACES
    lookup = REPORT_PLACES if of_place else REPORT_TRAITS
    table = DAY_PLACES if of_place or filters_by_place(only) else DAY_TRAITS
    number, value = table.c["place" if of_place else "trait"], lookup.c[by]
    statement = select(value, table.c.day, func.sum(table.c.count))
    statement = statement.select_from(table.join(lookup, lookup.c.id == number))
    if values is not None:
        chosen = select(lookup.c.id).where(value.in_(values))
        statement = statement.where(number.in_(chosen))
    conditions = _daily_conditions(connection, table, days, only)
    return statement.where(*conditions).group_by(value, table.c.day)


def _daily_conditions(
    connection: Connection, table: Table, days: tuple[int, int], only: ReportFilter | None
) -> list[ColumnElement[bool]]:
    """Return the SQL conditions that select the daily sums of reports that match a filter.

    A daily sum counts the reports of one day with equal fields. Conditions that all stored reports
    meet are left out, to save time: for example, most services have only one pin set, and comparing
    its name in every sum would be half of the work.

    ``table`` has the daily sums. ``days`` is the range in seconds, of full days.
    """
    return sum_conditions(table, days, simplify_filter(connection, only))


def _aggregates(columns: Any) -> tuple[Any, ...]:
    return (
        func.sum(columns.count).label("number"),
        func.min(columns.first_at).label("first_at"),
        func.max(columns.last_at).label("last_at"),
    )


def _add_buckets(found: Counts, rows: Iterable[Any], size: int) -> None:
    for value, at, number in rows:
        found[value][int(at) // size * size] += int(number)


def _add_traits(found: dict[str, Counter[str]], by: Sequence[str], rows: Iterable[Any]) -> None:
    for *values, number in rows:
        for name, value in zip(by, values, strict=True):
            found[name][str(value)] += int(number)


def _merge_stats(found: dict[tuple[str, bytes], ChainStats], rows: Iterable[Any]) -> None:
    for host, served, number, first, last in rows:
        key = (host, bytes(served))
        old = found.get(key) or ChainStats(*key, 0, first, last)
        total = old.number + int(number)
        found[key] = ChainStats(*key, total, min(old.first_at, first), max(old.last_at, last))
