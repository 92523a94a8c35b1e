"""The adoption of pin-set versions: how many clients hold each version, by day, as they report.

Each client reports the version that it holds (a *presence*) at most once a day. Presences are
anonymous, so the same clients are counted again on each day: do not add numbers of different days.
"""

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
from certpin_watch.store.identities import DAY
from certpin_watch.store.queries import days_between, to_datetime, to_seconds
from certpin_watch.store.schema import require_current
from certpin_watch.store.tables.observations import PRESENCES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from certpin.rotation import AdoptionDelays, DeployedVersions
    from certpin_watch.snapshot import MonitoredPinSet

MAX_DAYS = 400
_MAX_APPS = 100
_MAX_VERSIONS = 100  # without those of the journal: anyone can report any number


class DayCount(msgspec.Struct, frozen=True):
    """How many clients reported on one day that they hold a version of a pin set.

    ``share`` is the share of these clients in all clients that reported any version on that day,
    from 0 to 1.
    """

    day: datetime
    version: int
    clients: int
    share: float


class Held(msgspec.Struct, frozen=True):
    """A version of a pin set, and how many clients reported that they hold it.

    The journal of a rotation records when each version was released.

    Attributes:
        version: the number of the version.
        known: true if the journal has a release of this version.
        alive: true if clients possibly still hold it, according to the journal.
        clients: the number of clients that reported it on one day: the largest of the last week.
        share: the share of this version among all clients that reported a version, from 0 to 1. The
            day is the newest one with such reports.
        last_day: the last day on which a client reported this version; null if there is none.
        unseen_days: the days since ``last_day``; null if there is none.
        fetched: when it was published for download; null if it was not.
        bundled: when it was released as a part of an app; null if it was not.
        until: when no client holds it any more, according to the journal; null if that is unknown.
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
    """The versions of a pin set, the highest first, and how many clients held each on each day.

    ``since`` is the first day of the range. ``version`` is the version in the pin file. ``other``
    is the sum of the daily numbers of clients with versions that are not listed.
    """

    pin_set: str
    version: int
    since: datetime
    versions: tuple[Held, ...]
    days: tuple[DayCount, ...]
    other: int = 0


class AppCount(msgspec.Struct, frozen=True):
    """How many clients with one app version reported on a day that they hold a pin-set version.

    ``app``, ``app_version`` and ``platform`` are those of the clients; ``version`` is the version
    of the pin set.
    """

    app: str
    app_version: str
    platform: str
    version: int
    clients: int


def stored_usage(
    address: str, pin_set: str, now: datetime, versions: Iterable[int], days: int
) -> tuple[ReportedUsage, ...]:
    """Read from a database how many clients reported each version, for each of the last days.

    This is for ``certpin rotate --watch``, which reads the database of a monitoring service.

    Args:
        address: the database: a URL, ``env:NAME`` or ``file:PATH``.
        pin_set: the name of the pin set.
        now: the current time.
        versions: the numbers of the versions to count.
        days: how many days to look back.

    Raises:
        ConfigError: the address is invalid.
        StoreError: the database can't be read, or its schema is not that of this version.
    """
    store = open_store(resolve(address, "--watch").reveal())
    with closing(store):
        require_current(store)
        with store.read() as connection:
            return reported_usage(connection, pin_set, now, versions, days)


def reported_usage(
    connection: Connection, pin_set: str, now: datetime, versions: Iterable[int], days: int = 90
) -> tuple[ReportedUsage, ...]:
    """Return how many clients reported that they hold each version, for each of the last days.

    Args:
        connection: a transaction.
        pin_set: the name of the pin set.
        now: the current time.
        versions: the numbers of the versions to count.
        days: how many days to look back.
    """
    wanted = PRESENCES.c.version.in_(list(versions))
    rows = _daily_clients(connection, pin_set, _first_day(now, days), wanted)
    return tuple(ReportedUsage(to_datetime(day), version, number) for day, version, number in rows)


def adoption(
    connection: Connection, monitored: MonitoredPinSet, now: datetime, *, days: int = 90
) -> Adoption:
    """Return how many clients held each version of a monitored pin set, for each of the last days.

    The result lists the version in the pin file, the versions in the rotation's journal, and those
    that most clients reported. If these are too many, the lowest versions are left out. The result
    begins ``days`` days before today.
    """
    name, since, deployed = monitored.pins.name, _first_day(now, days), monitored.deployed
    known = {version.number for version in deployed.versions} | {monitored.pins.version}
    numbers = known | _most_reported_versions(connection, name, since)
    listed = sorted(numbers, reverse=True)[: 2 * _MAX_VERSIONS]
    rows = _daily_clients(connection, name, since, PRESENCES.c.version.in_(listed))
    totals = _daily_totals(connection, name, since)
    counts = tuple(
        DayCount(to_datetime(day), version, number, _share(number, totals[day]))
        for day, version, number in rows
    )
    held = tuple(_held(deployed, monitored.timing, number, counts, now) for number in listed)
    other = sum(totals.values()) - sum(count.clients for count in counts)
    return Adoption(name, monitored.pins.version, to_datetime(since), held, counts, other)


def apps(connection: Connection, pin_set: str, day: datetime) -> tuple[AppCount, ...]:
    """Return how many clients of each app held each pin-set version on a day (UTC).

    The result is sorted, the largest number first. It has at most 100 items.
    """
    columns = PRESENCES.c
    by = (columns.app, columns.app_version, columns.platform, columns.version)
    where = (columns.pin_set == pin_set, columns.day == to_seconds(day) // DAY * DAY)
    statement = select(*by, columns.count).where(*where)
    order = (columns.count.desc(), *by)
    rows = connection.execute(statement.order_by(*order).limit(_MAX_APPS))
    return tuple(AppCount(*row) for row in rows)


def _first_day(now: datetime, days: int) -> int:
    return to_seconds(now) // DAY * DAY - max(1, min(days, MAX_DAYS)) * DAY


def _daily_clients(
    connection: Connection, pin_set: str, since: int, which: ColumnElement[bool]
) -> list[tuple[int, int, int]]:
    """Return how many clients reported each version on each day from ``since`` on.

    ``pin_set`` is the name of the pin set. ``which`` is an SQL condition that selects the versions.
    The result is tuples of a day (its first second, since 1970), a version, and a number.
    """
    columns = PRESENCES.c
    by = (columns.day, columns.version)
    where = (columns.pin_set == pin_set, columns.day >= since, which)
    statement = select(*by, func.sum(columns.count)).where(*where).group_by(*by).order_by(*by)
    return [(day, version, int(number)) for day, version, number in connection.execute(statement)]


def _most_reported_versions(connection: Connection, pin_set: str, since: int) -> set[int]:
    columns = PRESENCES.c
    statement = select(columns.version).where(columns.pin_set == pin_set, columns.day >= since)
    order = (func.sum(columns.count).desc(), columns.version.desc())
    first = statement.group_by(columns.version).order_by(*order).limit(_MAX_VERSIONS)
    return set(connection.execute(first).scalars())


def _daily_totals(connection: Connection, pin_set: str, since: int) -> dict[int, int]:
    """Return the number of clients that reported any version on each day.

    ``pin_set`` is the name of the pin set, ``since`` the first day. The result maps the first
    second of a day (since 1970) to the number.
    """
    columns = PRESENCES.c
    statement = select(columns.day, func.sum(columns.count)).group_by(columns.day)
    rows = connection.execute(statement.where(columns.pin_set == pin_set, columns.day >= since))
    return defaultdict(int, {day: int(number) for day, number in rows})


def _held(
    deployed: DeployedVersions,
    timing: AdoptionDelays,
    number: int,
    counts: tuple[DayCount, ...],
    now: datetime,
) -> Held:
    versions = [version for version in deployed.versions if version.number == number]
    own_counts = [count for count in counts if count.version == number]
    last_day = max((count.day for count in own_counts), default=None)
    newest = max((count.day for count in counts), default=None)
    lately = now - timedelta(days=CYCLE + 1)
    ends = [deployed.end_of_life(version, timing) for version in versions]
    return Held(
        number,
        known=bool(versions),
        alive=any(version.number == number for version in deployed.alive(now, timing)),
        clients=max((count.clients for count in own_counts if count.day > lately), default=0),
        share=next((count.share for count in own_counts if count.day == newest), 0.0),
        last_day=last_day,
        unseen_days=None if last_day is None else days_between(last_day, now),
        fetched=min((version.fetched for version in versions if version.fetched), default=None),
        bundled=min((version.bundled for version in versions if version.bundled), default=None),
        until=max((end for end in ends if end), default=None) if all(ends) else None,
    )


def _share(number: int, total: int) -> float:
    return round(number / total, 6) if total else 0.0
