"""TODO: one docstring."""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import ColumnElement, func, select

from certpin.rotation import ReportedUsage
from certpin.rotation.measured import CYCLE
from certpin_watch.secret import resolve
from certpin_watch.store import open_store
from certpin_watch.store.queries.base import DAY, days_between, to_datetime, to_seconds
from certpin_watch.store.tables.reports import PRESENCES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from certpin.rotation import DeployedVersions, Timing
    from certpin_watch.snapshot import WatchedSet


MAX_DAYS = 400
_MOST_VERSIONS = 100  # anybody can tell any number: those of the journal come first


class DayCount(msgspec.Struct, frozen=True):
    """How many clients told on a day that they hold a version, and their share of that day."""

    day: datetime
    version: int
    clients: int
    share: float


class Held(msgspec.Struct, frozen=True):
    """A version, and who tells that they hold it. ``known``: the journal says that it went out.

    ``clients`` is the most on one day of the last week, ``share`` that of the last day on which
    anybody told anything. ``unseen_days`` is how long nobody has told it; none if nobody ever did.
    ``until`` is when no client holds it any more, as far as the journal and the clock can say.
    """

    version: int
    known: bool
    alive: bool
    clients: int
    share: float
    last_day: datetime | None = None
    unseen_days: float | None = None
    fetched: datetime | None = None
    bundled: datetime | None = None
    until: datetime | None = None


class Adoption(msgspec.Struct, frozen=True):
    """A pin set's versions, the highest first, and what was told of them, day by day.

    ``since`` is the first day that is looked at. ``other`` counts versions that have no line.
    """

    pin_set: str
    version: int
    since: datetime
    versions: tuple[Held, ...]
    days: tuple[DayCount, ...]
    other: int = 0


class AppCount(msgspec.Struct, frozen=True):
    """How many clients of an app told, on a day, that they hold a version."""

    app: str
    app_version: str
    platform: str
    version: int
    clients: int


def stored_usage(
    address: str, pin_set: str, now: datetime, versions: Iterable[int], days: int
) -> tuple[ReportedUsage, ...]:
    """Return the reported usage of some versions from a database, for ``certpin rotate --watch``.

    Args:
        address: the database: a URL, ``env:NAME`` or ``file:PATH``.
        pin_set: the name of the pin set.
        now: the current time.
        versions: the numbers of the versions.
        days: how many days to look back.

    Raises:
        ConfigError: the address is invalid.
        StoreError: the database can't be read.

    """
    store = open_store(resolve(address, "--watch").reveal())
    with closing(store), store.read() as connection:
        return reported_usage(connection, pin_set, now, versions, days)


def reported_usage(
    connection: Connection, pin_set: str, now: datetime, versions: Iterable[int], days: int = 90
) -> tuple[ReportedUsage, ...]:
    """Return the reported usage of some versions, day by day."""
    rows = _rows(connection, pin_set, _first(now, days), PRESENCES.c.version.in_(list(versions)))
    return tuple(ReportedUsage(to_datetime(day), version, number) for day, version, number in rows)


def adoption(
    connection: Connection, watched: WatchedSet, now: datetime, *, days: int = 90
) -> Adoption:
    """How far each version of a watched set has got."""
    name, since, field = watched.pins.name, _first(now, days), watched.field
    known = {each.number for each in field.versions} | {watched.pins.version}
    asked = sorted(known | _told_most(connection, name, since), reverse=True)[: 2 * _MOST_VERSIONS]
    rows = _rows(connection, name, since, PRESENCES.c.version.in_(asked))
    all_told = _all(connection, name, since)
    counts = tuple(
        DayCount(to_datetime(day), version, number, _share(number, all_told[day]))
        for day, version, number in rows
    )
    held = tuple(_held(field, watched.timing, number, counts, now) for number in asked)
    other = sum(all_told.values()) - sum(each.clients for each in counts)
    return Adoption(name, watched.pins.version, to_datetime(since), held, counts, other)


def apps(
    connection: Connection, pin_set: str, day: datetime, *, limit: int = 100
) -> tuple[AppCount, ...]:
    """Which apps told it on a day: the largest numbers first."""
    columns = PRESENCES.c
    told_by = (columns.app, columns.app_version, columns.platform, columns.version)
    where = (columns.pin_set == pin_set, columns.day == to_seconds(day) // DAY * DAY)
    statement = select(*told_by, columns.count).where(*where)
    order = (columns.count.desc(), *told_by)
    rows = connection.execute(statement.order_by(*order).limit(max(1, min(limit, 500))))
    return tuple(AppCount(*row) for row in rows)


def _first(now: datetime, days: int) -> int:
    return to_seconds(now) // DAY * DAY - max(1, min(days, MAX_DAYS)) * DAY


def _rows(
    connection: Connection, pin_set: str, since: int, which: ColumnElement[bool]
) -> list[tuple[int, int, int]]:
    columns = PRESENCES.c
    by = (columns.day, columns.version)
    where = (columns.pin_set == pin_set, columns.day >= since, which)
    statement = select(*by, func.sum(columns.count)).where(*where).group_by(*by).order_by(*by)
    return [(day, version, int(number)) for day, version, number in connection.execute(statement)]


def _told_most(connection: Connection, pin_set: str, since: int) -> set[int]:
    columns = PRESENCES.c
    statement = select(columns.version).where(columns.pin_set == pin_set, columns.day >= since)
    order = (func.sum(columns.count).desc(), columns.version.desc())
    most = statement.group_by(columns.version).order_by(*order).limit(_MOST_VERSIONS)
    return set(connection.execute(most).scalars())


def _all(connection: Connection, pin_set: str, since: int) -> dict[int, int]:
    """Every client that told anything, by day."""
    columns = PRESENCES.c
    statement = select(columns.day, func.sum(columns.count)).group_by(columns.day)
    rows = connection.execute(statement.where(columns.pin_set == pin_set, columns.day >= since))
    return defaultdict(int, {day: int(number) for day, number in rows})


def _held(
    field: DeployedVersions,
    timing: Timing,
    number: int,
    counts: tuple[DayCount, ...],
    now: datetime,
) -> Held:
    versions = [each for each in field.versions if each.number == number]
    mine = [each for each in counts if each.version == number]
    last_day = max((each.day for each in mine), default=None)
    newest = max((each.day for each in counts), default=None)
    lately = now - timedelta(days=CYCLE + 1)
    ends = [field.end_of_life(each, timing) for each in versions]
    return Held(
        number,
        known=bool(versions),
        alive=any(each.number == number for each in field.alive(now, timing)),
        clients=max((each.clients for each in mine if each.day > lately), default=0),
        share=next((each.share for each in mine if each.day == newest), 0.0),
        last_day=last_day,
        unseen_days=None if last_day is None else days_between(last_day, now),
        fetched=min((each.fetched for each in versions if each.fetched), default=None),
        bundled=min((each.bundled for each in versions if each.bundled), default=None),
        until=max((each for each in ends if each), default=None) if all(ends) else None,
    )


def _share(number: int, of: int) -> float:
    return round(number / of, 6) if of else 0.0
