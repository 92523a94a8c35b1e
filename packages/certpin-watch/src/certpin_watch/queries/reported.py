"""What can be asked of reports: which of them, within which time, and what tells them apart."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # msgspec reads the fields when it first encodes
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from sqlalchemy import ColumnElement, and_, or_, select

from certpin_watch.queries.base import DAY, HOUR, hexadecimal
from certpin_watch.store.tables.days import DAY_TRAITS, REPORT_PLACES, REPORT_TRAITS
from certpin_watch.store.tables.reports import REPORT_GROUPS

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

Bucket = Literal["hour", "day"]
By = Literal[
    "host", "app", "app_version", "platform", "network", "version", "kind", "reason", "decision",
    "served", "pin_set",
]  # fmt: skip

OTHER = "other"  # where a report says less than it did, since there was too much of it
PLACES = ("host", "served")  # what is of a place; all else are traits (store/tables/days.py)
_SHORT = 31  # days that are found within each place
_LEAST_DAYS = 8  # whole days for which the sums are asked: a week of groups is read as quickly


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


class Parts(msgspec.Struct, frozen=True):
    """A time as it is read: whole days from their sums, what is left of it from the groups."""

    groups: tuple[tuple[int, int], ...]
    days: tuple[int, int] | None = None


def hours(since: int, until: int) -> Parts:
    """A time that is read hour by hour, which are whole, as those of the groups are."""
    return Parts(((since // HOUR * HOUR, until),))


def parts(since: int, until: int) -> Parts:
    """Divide a time."""
    first, end = -(-since // DAY) * DAY, until // DAY * DAY
    if end - first < _LEAST_DAYS * DAY:
        return hours(since, until)
    ends = ((since // HOUR * HOUR, first), (end, until))
    return Parts(tuple(each for each in ends if each[0] < each[1]), (first, end))


def parts_until(connection: Connection, since: int, until: int) -> Parts:
    """The same. Where nothing came after it on its last day, that day is whole, too: today."""
    end = -(-until // DAY) * DAY
    hour = REPORT_GROUPS.c.hour
    later = select(hour).where(hour >= until, hour < end).limit(1)
    if until < end and connection.execute(later).first() is None:
        return parts(since, end)
    return parts(since, until)


def of_groups(span: tuple[int, int], only: Only | None) -> list[ColumnElement[bool]]:
    """The conditions for groups."""
    hour = REPORT_GROUPS.c.hour
    return [hour >= span[0], hour < span[1], *_equal(REPORT_GROUPS, _asked(only))]


def of_sums(
    table: Table, span: tuple[int, int], only: Only | None, *, listed: bool = False
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


def restricting(connection: Connection, only: Only | None) -> Only | None:
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


def needs_places(only: Only | None) -> bool:
    """Whether only the sums by place can tell."""
    return any(name in PLACES for name in _asked(only))


def text_of(value: Any) -> str:
    """A value as the answers have it."""
    return hexadecimal(value) if isinstance(value, bytes) else str(value)


def _asked(only: Only | None) -> dict[str, Any]:
    asked = {} if only is None else msgspec.structs.asdict(only)
    if asked.get("served") is not None:
        asked["served"] = bytes.fromhex(asked["served"])
    return {name: value for name, value in asked.items() if value is not None}


def _equal(table: Table, asked: dict[str, Any]) -> list[ColumnElement[bool]]:
    return [table.c[name] == value for name, value in asked.items()]
