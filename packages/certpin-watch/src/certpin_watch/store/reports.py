"""SQL statements with which the collector counts reports, each in the caller's transaction.

``certpin_watch.collector.counting`` decides which rows count a report; this module reads and writes
these rows. Upserts write rows in the order of their keys, so that two writers wait for each other
and never deadlock.

An *identity* is a digest that recognises a report that is sent again. A *report group* counts the
reports of one hour with equal fields. A *sample* is a request body with reports. A *share* is a
monitored host or pattern (see ``snapshot.Patterns``).
"""

from __future__ import annotations

from functools import cache, wraps
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import case, delete, func, insert, select, tuple_, update

from certpin_watch.store.engine import insert as upsert
from certpin_watch.store.engine import pieces
from certpin_watch.store.identities import DAY
from certpin_watch.store.tables.columns import TRAITS
from certpin_watch.store.tables.observations import (
    CHAINS,
    DAY_PLACES,
    DAY_TRAITS,
    LISTENED,
    PRESENCES,
    REPORT_GROUPS,
    REPORT_NETWORKS,
    REPORT_PLACES,
    REPORT_QUEUE,
    REPORT_SAMPLES,
    REPORT_TRAITS,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy import Connection


OTHER = "other"  # replaces a value in rows that are stored with less detail
LISTENING_PAUSE = 180  # seconds without a record that mean that no process accepted reports

_MAX_KEYS = 500  # keys in one query
_MAX_TUPLES = 100  # keys of presences in one query: each has six values
_MAX_ROWS = 256  # identities in one statement
_COMPILED: dict[tuple[str, str], Any] = {}


class ReportGroup(NamedTuple):
    """A group of reports that arrived in one hour with equal fields, and are counted in one row.

    Each field is a column of the table ``report_groups``; a missing value is empty or 0. If a limit
    on groups was reached, some values are removed.

    Attributes:
        hour: the start of the hour, in seconds since 1970.
        host: the host to which the clients connected.
        served: the digest of the chain that the server sent.
        verified: the digest of the chain that the clients verified.
        pin_set: the name of the clients' pin set.
        version: the version of this pin set.
        app: the name of the app.
        app_version: the version of the app.
        platform: the platform of the app, such as "android".
        network: the kind of connection that the clients reported, such as "wifi"; if they reported
            none, the IP network that sent the reports.
        kind: the format of the reports, such as "certpin" or "trustkit".
        decision: the decision of the clients: "refuse", "report" or "accept".
        reason: the reason of the failure, such as "mismatch".
        folded: 0 if no values are removed; else the ``step`` of ``collector.grouping.fold``, which
            removed them.
    """

    hour: int
    host: str
    served: bytes
    verified: bytes
    pin_set: str
    version: int
    app: str
    app_version: str
    platform: str
    network: str
    kind: str
    decision: str
    reason: str
    folded: int = 0


class PresenceGroup(NamedTuple):
    """The key of a row of ``presences``, which counts the clients that sent a presence on one day.

    With a presence, a client reports the pin-set version that it holds. All clients in one row have
    the same pin-set version, app and platform. ``day`` is the start of the day, in seconds since
    1970. ``pin_set`` is the name of the pin set, ``version`` its version.
    """

    day: int
    pin_set: str
    version: int
    app: str
    app_version: str
    platform: str


class ReportOrigin(NamedTuple):
    """A record that a network reported a chain on one day (a row of ``report_networks``).

    ``day`` is the start of the day, in seconds since 1970. ``network`` is that of an internet
    provider (IPv4 /16, IPv6 /32). ``share`` is the monitored host or pattern that the report was
    about. ``met`` is the digest of the chain; empty for failures without a stored chain.
    """

    day: int
    network: str
    share: str
    met: bytes


class SampleRow(NamedTuple):
    """A row of ``report_samples``: a request body with reports.

    ``key`` is the key of the report group (equal reports of an hour) that counts the first report.
    ``received_at`` is the time of arrival, in seconds since 1970, and ``source`` the network that
    sent the body. ``body`` is JSON without fields that identify a device. ``share`` is the
    monitored host or pattern that the reports are about.
    """

    key: bytes
    received_at: int
    source: str
    body: bytes
    share: str


def _once(build: Callable[[Connection], Any]) -> Callable[[Connection], Any]:
    """Decorate a function that builds an SQL statement, so that its result is cached.

    The function is called once for each kind of database (SQLite, PostgreSQL), because building a
    statement takes longer than running it.
    """
    built: dict[str, Any] = {}

    @wraps(build)
    def statement(connection: Connection) -> Any:
        name = connection.dialect.name
        if name not in built:
            built[name] = build(connection)
        return built[name]

    return statement


def _execute_many(
    connection: Connection, build: Callable[[Connection], Any], rows: Sequence[dict[str, Any]]
) -> None:
    """Run an SQL statement for each row, through the database driver instead of SQLAlchemy.

    The reason is speed: every batch of reports runs such statements, and they would take twice as
    long with SQLAlchemy.

    Args:
        connection: a transaction that may write.
        build: returns the statement.
        rows: the values of the statement, by column.
    """
    name = (build.__name__, connection.dialect.name)
    if name not in _COMPILED:
        # Only the columns of the rows: the database numbers its rows.
        _COMPILED[name] = build(connection).compile(
            dialect=connection.dialect, column_keys=list(rows[0])
        )
    compiled = _COMPILED[name]
    order = compiled.positiontup
    given: Any = [tuple(row[column] for column in order) for row in rows] if order else list(rows)
    connection.exec_driver_sql(compiled.string, given)


def insert_identities(connection: Connection, rows: Sequence[tuple[bytes, int]]) -> set[bytes]:
    """Insert the identities of reports and their arrival times.

    An identity is a digest that recognises a repeated report. ``rows`` are pairs of an identity and
    a time. The number of rows in a statement is always a power of two, so that the driver has to
    remember only a few different statements.

    Returns:
        The identities that were not stored before.
    """
    new: set[bytes] = set()
    start = 0
    while start < len(rows):
        size = min(_MAX_ROWS, 1 << (len(rows) - start).bit_length() - 1)
        sql = _identities_sql(connection.dialect.name, size)
        given = tuple(chain.from_iterable(rows[start : start + size]))
        new.update([bytes(key) for (key,) in connection.exec_driver_sql(sql, given).all()])
        start += size
    return new


@cache
def _identities_sql(dialect: str, rows: int) -> str:
    row = "(?, ?)" if dialect == "sqlite" else "(%s, %s)"
    return (
        "INSERT INTO report_identities (identity, received_at) VALUES "  # noqa: S608  # no value
        + ", ".join([row] * rows)
        + " ON CONFLICT DO NOTHING RETURNING identity"
    )


def existing_groups(connection: Connection, keys: Iterable[bytes]) -> set[bytes]:
    """Return those of the given keys that identify a stored report group.

    A report group counts the reports of one hour with equal fields.
    """
    column = REPORT_GROUPS.c.key
    return {
        bytes(key)
        for piece in pieces(keys, _MAX_KEYS)
        for key in connection.execute(select(column).where(column.in_(piece))).scalars()
    }


def count_groups(connection: Connection, hour: int) -> tuple[int, int]:
    """Return the number of report groups of an hour, and that of the whole day.

    The day is the one (in UTC) that contains the hour. ``hour`` is the start of the hour, in
    seconds since 1970.
    """
    table, day = REPORT_GROUPS.c, hour - hour % DAY
    counts = select(func.count()).select_from(REPORT_GROUPS)
    in_day = counts.where(table.hour >= day, table.hour < day + DAY)
    return (
        connection.execute(counts.where(table.hour == hour)).scalar_one(),
        connection.execute(in_day).scalar_one(),
    )


def groups_by_host(connection: Connection, hour: int) -> Iterable[tuple[str, int]]:
    """Return pairs of a host and the number of its report groups in one hour.

    A report group counts equal reports. ``hour`` is the start of the hour, in seconds since 1970.
    """
    table = REPORT_GROUPS.c
    rows = select(table.host, func.count()).where(table.hour == hour).group_by(table.host)
    return [(host, number) for host, number in connection.execute(rows)]


def add_to_groups(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Add numbers of reports to report groups; insert the groups that are not stored yet.

    A report group counts the reports of one hour with equal fields.

    Args:
        connection: a transaction that may write.
        rows: all columns of ``report_groups`` but ``id``, in the order of their keys.
    """
    _execute_many(connection, _upsert_groups, rows)


@_once
def _upsert_groups(connection: Connection) -> Any:
    statement = upsert(connection, REPORT_GROUPS)
    old, new = REPORT_GROUPS.c, statement.excluded
    return statement.on_conflict_do_update(index_elements=[old.key], set_=_added(old, new))


def count_day_sums(connection: Connection, day: int) -> int:
    """Return the number of rows of ``day_places`` for one day.

    Each row counts equal reports of the day. ``day`` is its first second, since 1970.
    """
    of_day = select(func.count()).where(DAY_PLACES.c.day == day)
    return connection.execute(of_day).scalar_one()


def day_sums_by_host(connection: Connection, day: int) -> Iterable[tuple[str, int]]:
    """Return pairs of a host and its number of rows of ``day_places`` for one day.

    Each row counts equal reports of that day. ``day`` is its first second.
    """
    places = REPORT_PLACES.c
    rows = (
        select(places.host, func.count())
        .join(DAY_PLACES, DAY_PLACES.c.place == places.id)
        .where(DAY_PLACES.c.day == day)
        .group_by(places.host)
    )
    return [(host, number) for host, number in connection.execute(rows)]


def save_traits(
    connection: Connection, wanted: Mapping[bytes, tuple[tuple[Any, ...], int]]
) -> dict[bytes, int]:
    """Insert missing rows of ``report_traits``, which are combinations of field values.

    Args:
        connection: a transaction that may write.
        wanted: the combinations, by key (a digest of the values). Each has the values in the order
            of ``TRAITS``, and the last day on which they were reported. An existing row gets that
            day if it is later.

    Returns:
        The row number of each combination, by its key.
    """
    rows = [
        {"key": key, "seen": wanted[key][1], **dict(zip(TRAITS, wanted[key][0], strict=True))}
        for key in sorted(wanted)
    ]
    return {bytes(row.key): row.id for row in connection.execute(_upsert_traits(connection), rows)}


@_once
def _upsert_traits(connection: Connection) -> Any:
    statement = upsert(connection, REPORT_TRAITS)
    old, new = REPORT_TRAITS.c, statement.excluded
    return statement.on_conflict_do_update(
        index_elements=[old.key], set_={"seen": _larger(old.seen, new.seen)}
    ).returning(old.id, old.key)


def save_places(
    connection: Connection, wanted: Mapping[tuple[str, bytes], int]
) -> dict[tuple[str, bytes], int]:
    """Insert missing rows of ``report_places``, which are pairs of a host and a served chain.

    Args:
        connection: a transaction that may write.
        wanted: for each pair of a host and the digest of a served chain, the last day on which
            it was reported. An existing row gets that day if it is later.

    Returns:
        The number of the row of each pair.
    """
    rows = [{"host": pair[0], "served": pair[1], "seen": wanted[pair]} for pair in sorted(wanted)]
    found = connection.execute(_upsert_places(connection), rows)
    return {(row.host, bytes(row.served)): row.id for row in found}


@_once
def _upsert_places(connection: Connection) -> Any:
    statement = upsert(connection, REPORT_PLACES)
    old, new = REPORT_PLACES.c, statement.excluded
    return statement.on_conflict_do_update(
        index_elements=[old.host, old.served], set_={"seen": _larger(old.seen, new.seen)}
    ).returning(old.id, old.host, old.served)


def add_to_day_sums(
    connection: Connection,
    by_trait: Mapping[tuple[int, int], int],
    by_place: Mapping[tuple[int, int, int], dict[str, int]],
) -> None:
    """Add numbers of reports to the daily sums, which count equal reports of one day.

    Sums that are not stored yet are inserted.

    Args:
        connection: a transaction that may write.
        by_trait: the number of reports, by day and row number in ``report_traits``.
        by_place: ``count``, ``first_at`` and ``last_at`` of the reports. The keys are the row
            number in ``report_places``, the day, and the row number in ``report_traits``.
    """
    traits = [
        {"day": day, "trait": trait, "count": by_trait[day, trait]}
        for day, trait in sorted(by_trait)
    ]
    _execute_many(connection, _upsert_day_traits, traits)
    places = [
        {"place": place, "day": day, "trait": trait, **by_place[place, day, trait]}
        for place, day, trait in sorted(by_place)
    ]
    _execute_many(connection, _upsert_day_places, places)


@_once
def _upsert_day_traits(connection: Connection) -> Any:
    statement = upsert(connection, DAY_TRAITS)
    return statement.on_conflict_do_update(
        index_elements=["day", "trait"],
        set_={"count": DAY_TRAITS.c.count + statement.excluded.count},
    )


@_once
def _upsert_day_places(connection: Connection) -> Any:
    statement = upsert(connection, DAY_PLACES)
    return statement.on_conflict_do_update(
        index_elements=["place", "day", "trait"], set_=_added(DAY_PLACES.c, statement.excluded)
    )


def existing_presences(connection: Connection, keys: set[PresenceGroup]) -> set[PresenceGroup]:
    """Return those of the given keys that have a row in ``presences``.

    A row counts the clients of a day with equal pin-set version, app and platform.
    """
    columns = [PRESENCES.c[name] for name in PresenceGroup._fields]
    found = set()
    for piece in pieces(keys, _MAX_TUPLES):
        values = [tuple(key) for key in piece]
        rows = connection.execute(select(*columns).where(tuple_(*columns).in_(values)))
        found |= {PresenceGroup(*row) for row in rows}
    return found


def count_presence_rows(connection: Connection, day: int) -> int:
    """Return how many rows of ``presences`` a day has. ``day`` is its first second, since 1970.

    A row counts the clients with equal pin-set version, app and platform that sent a presence on
    the day.
    """
    in_day = select(func.count()).where(PRESENCES.c.day == day)
    return connection.execute(in_day).scalar_one()


def add_to_presences(connection: Connection, counts: Mapping[PresenceGroup, int]) -> None:
    """Add numbers of clients to rows of ``presences``; insert the rows that are not stored yet.

    A row counts the clients of a day with equal pin-set version, app and platform.
    """
    rows = [{**key._asdict(), "count": counts[key]} for key in sorted(counts)]
    if rows:
        connection.execute(_upsert_presences(connection), rows)


@_once
def _upsert_presences(connection: Connection) -> Any:
    statement = upsert(connection, PRESENCES)
    return statement.on_conflict_do_update(
        index_elements=list(PresenceGroup._fields),
        set_={"count": PRESENCES.c.count + statement.excluded.count},
    )


def new_chains_by_source(
    connection: Connection, since: int, until: int
) -> Iterable[tuple[str, str, int]]:
    """Count the new chains that only clients reported, by share and network.

    A chain is new if it was first reported later than ``since``, and at ``until`` at the latest.
    Both are in seconds since 1970.

    Returns:
        Tuples of a share (a monitored host or pattern), the network that first reported the chains,
        and the number of chains.
    """
    table = CHAINS.c
    rows = (
        select(table.share, table.source, func.count())
        .where(table.first_at.between(since + 1, until), table.told > 0)
        .group_by(table.share, table.source)
    )
    return [(share, source, number) for share, source, number in connection.execute(rows)]


def origins_by_network(
    connection: Connection, origins: Iterable[ReportOrigin]
) -> dict[tuple[int, str], int]:
    """Return how many report origins are stored for each day and network.

    A report origin records that a network reported a chain for a host or pattern on a day. Only the
    days and networks of ``origins`` are counted.

    Returns:
        The number of origins, by day and network. Pairs without an origin are left out.
    """
    table = REPORT_NETWORKS.c
    days, networks = ({origin[field] for origin in origins} for field in (0, 1))
    rows = connection.execute(
        select(table.day, table.network, func.count())
        .where(table.day.in_(sorted(days)), table.network.in_(sorted(networks)))
        .group_by(table.day, table.network)
    )
    return {(day, network): number for day, network, number in rows}


def insert_origins(connection: Connection, origins: Iterable[ReportOrigin]) -> None:
    """Insert report origins (a network, and a chain that it reported) that are not stored yet."""
    if rows := [origin._asdict() for origin in origins]:
        connection.execute(upsert(connection, REPORT_NETWORKS).on_conflict_do_nothing(), rows)


def count_samples(connection: Connection) -> int:
    """Return how many samples (request bodies with reports, as they arrived) are stored."""
    return connection.execute(select(func.count()).select_from(REPORT_SAMPLES)).scalar_one()


def samples_by_share(connection: Connection, since: int, until: int) -> dict[str, int]:
    """Count the samples (request bodies with reports, as they arrived) of a period.

    Args:
        connection: a read transaction.
        since: the period begins after this time, in seconds since 1970.
        until: the period ends with this time, in seconds since 1970.

    Returns:
        The number of samples by share. A share is the monitored host or pattern of a report.
    """
    samples = REPORT_SAMPLES.c
    recent = samples.received_at.between(since + 1, until)
    rows = connection.execute(
        select(samples.share, func.count()).where(recent).group_by(samples.share)
    )
    return {share: int(number) for share, number in rows}


def samples_by_group(connection: Connection, keys: set[bytes]) -> dict[bytes, int]:
    """Return how many samples are stored for each of these groups of equal reports.

    A sample is a request body with reports. ``keys`` are the keys of the groups. Groups without
    samples are left out.
    """
    samples = REPORT_SAMPLES.c
    found: dict[bytes, int] = {}
    for piece in pieces(keys, _MAX_KEYS):
        by_key = select(samples.key, func.count()).where(samples.key.in_(piece))
        for key, number in connection.execute(by_key.group_by(samples.key)):
            found[bytes(key)] = number
    return found


def insert_samples(connection: Connection, samples: Iterable[SampleRow]) -> None:
    """Insert samples: request bodies with reports, as they arrived."""
    connection.execute(insert(REPORT_SAMPLES), [sample._asdict() for sample in samples])


def record_listening(connection: Connection, now: int) -> None:
    """Record that a process of the service accepts reports at ``now``, in seconds since 1970.

    Call this again at least every ``LISTENING_PAUSE`` seconds. Longer times without a record are
    periods in which no report could arrive (``intake_gaps``).
    """
    column = LISTENED.c.until
    # Rows of the future are from a clock that was set back since: they are not true yet.
    for name in ("since", "until"):
        ahead = LISTENED.c[name] > now
        connection.execute(update(LISTENED).where(ahead).values(**{name: now}))
    last = connection.execute(
        select(LISTENED).where(column >= now - LISTENING_PAUSE).order_by(column.desc()).limit(1)
    ).first()
    if last is None:
        connection.execute(insert(LISTENED).values(since=now, until=now))
    else:
        connection.execute(update(LISTENED).where(LISTENED.c.id == last.id).values(until=now))


def record_queue(
    connection: Connection, stream: str, messages: int, oldest_at: int | None, now: int
) -> None:
    """Store how many messages with reports waited in a NATS stream at ``now``.

    ``oldest_at`` is when the oldest one arrived; None if none waits. Both times are in seconds
    since 1970.
    """
    row = {"messages": messages, "oldest_at": oldest_at, "looked_at": now}
    new = upsert(connection, REPORT_QUEUE).values(stream=stream, **row)
    connection.execute(new.on_conflict_do_update(index_elements=["stream"], set_=row))


def recorded_messages(connection: Connection, stream: str) -> int | None:
    """Return the number of waiting messages that ``record_queue`` last stored for a NATS stream.

    Return None if no number is stored.
    """
    known = select(REPORT_QUEUE.c.messages).where(REPORT_QUEUE.c.stream == stream)
    return connection.execute(known).scalar()


def delete_empty_queues(connection: Connection) -> None:
    """Delete the rows that ``record_queue`` stored for NATS streams in which no message waits."""
    connection.execute(delete(REPORT_QUEUE).where(REPORT_QUEUE.c.messages == 0))


def _added(old: Any, new: Any) -> dict[str, Any]:
    return {
        "count": old.count + new.count,
        "first_at": case((old.first_at > new.first_at, new.first_at), else_=old.first_at),
        "last_at": _larger(old.last_at, new.last_at),
    }


def _larger(old: Any, new: Any) -> Any:
    """Return the SQL expression for the larger of two columns, such as two times.

    SQLite and PostgreSQL have different names for such a function.
    """
    return case((old < new, new), else_=old)
