"""Read reports: groups and samples for pages and the API, counts and networks for the alert rules.

A group counts equal reports of one hour. A sample is a request body with reports, as it arrived.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime  # noqa: TC003  # msgspec reads the fields when it first encodes
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import exists, func, or_, select, tuple_

from certpin_watch.store.engine import pieces
from certpin_watch.store.identities import DAY, HOUR
from certpin_watch.store.queries import (
    Page,
    clamp_limit,
    hexadecimal,
    make_page,
    to_datetime,
    to_seconds,
)
from certpin_watch.store.queries.report_counts import (
    ReportFilter,
    group_conditions,
    plan_read,
    sum_conditions,
)
from certpin_watch.store.reports import OTHER
from certpin_watch.store.tables.observations import (
    DAY_PLACES,
    PRESENCES,
    REPORT_GROUPS,
    REPORT_NETWORKS,
    REPORT_PLACES,
    REPORT_SAMPLES,
    SIGHTINGS,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from typing import Any

    from sqlalchemy import ColumnElement, Connection, Row, Subquery

    from certpin_watch.store.queries.report_counts import Range

MAX_SAMPLES = 50  # of a page: each has up to `most_sample_bytes`
_MAX_SCANNED = 20_000  # samples that one page searches: twice as many as are stored by default
_MAX_HOSTS = 100  # of a day, in one SQL condition

_HOSTS_AT_ONCE = 500  # in one statement
HostChain = tuple[str, bytes]  # a host, and the digest of a chain


class Group(msgspec.Struct, frozen=True):
    """A report group: reports of failed connections that arrived in one hour and have equal fields.

    All texts are unverified claims of clients. Near a limit on groups, a group has less detail:
    some of its fields are then "other", empty or 0.

    Attributes:
        id: the number of the row.
        hour: the start of the hour.
        host: the host to which the clients connected.
        served: the digest of the chain that the server sent, in hexadecimal; empty if none is
            stored.
        verified: the digest of the chain that the clients verified; empty if none is stored.
        pin_set: the name of the clients' pin set; empty if the report's format has no such field.
        version: the version of this pin set; 0 if the format has no such field.
        app: the name of the app.
        app_version: the version of the app.
        platform: the platform of the app, such as "android".
        network: the kind of connection that the clients reported, such as "wifi"; if they reported
            none, the IP network that sent the reports.
        kind: the format of the reports: "certpin", "rfc7469", "trustkit" or "nel".
        decision: the decision of the clients: "refuse", "report" (accept and report) or "accept".
        reason: the reason of the failure, such as "mismatch" or "untrusted".
        count: the number of reports.
        first_at: when the first of them arrived.
        last_at: when the last of them arrived.
    """

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


class Sample(msgspec.Struct, frozen=True):
    """A request body with reports, as it arrived, without fields that identify a device.

    The collector stores the first few of each report group (equal reports of an hour).

    Attributes:
        id: the number of the row.
        received_at: the time of arrival.
        source: the network of the sender, as a shortened address.
        body: JSON as text, with escapes for bytes that aren't UTF-8.
        group: the group of the first report in the body; null if this group was deleted.
    """

    id: int
    received_at: datetime
    source: str
    body: str
    group: Group | None = None


def groups(
    connection: Connection,
    within: Range,
    *,
    only: ReportFilter | None = None,
    before: tuple[int, int] | None = None,
    limit: int = 100,
) -> Page[Group]:
    """Return a page of report groups in a time range; those of the newest hour are first.

    Args:
        connection: a connection that may read.
        within: the time range.
        only: the filter; None selects all groups.
        before: ``next`` of the previous page; None for the first page.
        limit: the size of the page.
    """
    limit, key = clamp_limit(limit), (REPORT_GROUPS.c.hour, REPORT_GROUPS.c.id)
    end = to_seconds(within.until)
    until = end if before is None else min(end, before[0] + 1)
    order = [column.desc() for column in key]
    rows: list[Row[Any]] = []
    for where in _spans(connection, to_seconds(within.since), until, only, limit + 1):
        statement = select(REPORT_GROUPS).where(*where)
        if before is not None:
            statement = statement.where(tuple_(*key) < before)
        statement = statement.order_by(*order).limit(limit + 1 - len(rows))
        rows += connection.execute(statement)
        if len(rows) > limit:
            break
    return make_page([_group(row) for row in rows], limit, [(row.hour, row.id) for row in rows])


def samples(
    connection: Connection,
    within: Range,
    *,
    only: ReportFilter | None = None,
    before: tuple[int, int] | None = None,
    limit: int = 20,
) -> Page[Sample]:
    """Return a page of samples (reports as they arrived) in a time range, newest first.

    With a filter, at most 20,000 samples are searched for one page. The page can then have fewer
    items than ``limit``, although there is a next page.

    Args:
        connection: a connection that may read.
        within: the time range.
        only: the filter for the reports in the samples; None selects all samples.
        before: ``next`` of the previous page; None for the first page.
        limit: the size of the page.
    """
    limit = max(1, min(limit, MAX_SAMPLES))
    scanned = _scanned_samples(within, only, before)
    found, order = select(scanned.c.id), (scanned.c.received_at.desc(), scanned.c.id.desc())
    if only not in (None, ReportFilter()):
        since, until = to_seconds(within.since) // HOUR * HOUR, to_seconds(within.until)
        same = REPORT_GROUPS.c.key == scanned.c.key
        found = found.where(exists().where(same, *group_conditions((since, until), only)))
    ids = connection.execute(found.order_by(*order).limit(limit + 1)).scalars().all()
    page = _sample_page(connection, ids, limit)
    if page.next is None and only not in (None, ReportFilter()):
        last = select(scanned.c.received_at, scanned.c.id)
        last = last.order_by(*order).offset(_MAX_SCANNED - 1)
        if (further := connection.execute(last).one_or_none()) is not None:
            return Page(page.items, tuple(further))
    return page


def _spans(
    connection: Connection, since: int, until: int, only: ReportFilter | None, needed: int
) -> Iterator[list[ColumnElement[bool]]]:
    """Yield the SQL conditions of several queries, which together select matching report groups.

    A report group counts the equal reports of an hour, a daily sum those of a day. The queries go
    back in time, so that the caller can stop when it has enough groups. Days for which the daily
    sums show no matching reports are not searched. The range is from ``since`` to ``until``, in
    seconds since 1970. ``only`` is the filter; None selects all groups. ``needed`` is the number of
    groups that the caller wants.
    """
    read = plan_read(since, until)
    if only in (None, ReportFilter()) or read.days is None:
        yield group_conditions((since // HOUR * HOUR, until), only)
        return
    begin, end = read.days
    yield group_conditions((end, until), only)
    for day, hosts in _days(connection, begin, end, only, needed):
        span = group_conditions((day, day + DAY), only)
        yield [*span, REPORT_GROUPS.c.host.in_(hosts)] if hosts else span
    yield group_conditions((since // HOUR * HOUR, begin), only)


def _days(
    connection: Connection, begin: int, end: int, only: ReportFilter | None, needed: int
) -> Iterator[tuple[int, list[str]]]:
    """Yield the days that have matching reports, newest first, with the hosts of these reports.

    Each day is given as its first second (Unix time), from ``begin`` to ``end``. An empty list of
    hosts means that the caller has to search all hosts of the day. It is yielded in three cases:
    there are too many hosts for a condition, the names of some are not stored, or not all of them
    were read.

    Args:
        connection: a connection that may read.
        begin: the first day.
        end: the day after the last one.
        only: the filter.
        needed: how many daily sums are read at once.
    """
    while True:
        where = sum_conditions(DAY_PLACES, (begin, end), only, listed=True)
        found = select(DAY_PLACES.c.day, REPORT_PLACES.c.host).where(*where)
        found = found.join(REPORT_PLACES, REPORT_PLACES.c.id == DAY_PLACES.c.place)
        rows = connection.execute(found.order_by(DAY_PLACES.c.day.desc()).limit(needed)).all()
        by_day: dict[int, set[str]] = defaultdict(set)
        for day, host in rows:
            by_day[day].add(host)
        for day, hosts in by_day.items():
            cut = len(rows) == needed and day == rows[-1].day
            usable = not cut and OTHER not in hosts and len(hosts) <= _MAX_HOSTS
            yield day, sorted(hosts) if usable else []
        if len(rows) < needed:
            return
        end = rows[-1].day


def _scanned_samples(
    within: Range, only: ReportFilter | None, before: tuple[int, int] | None
) -> Subquery:
    """Return an SQL subquery that selects the samples to search for one page, newest first.

    A sample is a request body with reports. The subquery selects only the ID, group and time of
    each sample, which are in an index, because reading the bodies of all these samples would take
    long.

    Args:
        within: the time range.
        only: the filter for the reports in the samples. The caller applies it. If there is a
            filter, the subquery selects more samples, because not all of them will match.
        before: the position after which the page begins; None for the first page.
    """
    table = REPORT_SAMPLES.c
    order = (table.received_at, table.id)
    since, until = to_seconds(within.since), to_seconds(within.until)
    statement = select(table.id, table.key, table.received_at)
    statement = statement.where(table.received_at >= since, table.received_at < until)
    if before is not None:
        statement = statement.where(table.received_at <= before[0], tuple_(*order) < before)
    max_scanned = MAX_SAMPLES + 1 if only in (None, ReportFilter()) else _MAX_SCANNED
    return statement.order_by(*(column.desc() for column in order)).limit(max_scanned).subquery()


def _sample_page(connection: Connection, ids: Sequence[int], limit: int) -> Page[Sample]:
    table = REPORT_SAMPLES.c
    order = (table.received_at.desc(), table.id.desc())
    rows = connection.execute(
        select(REPORT_SAMPLES).where(table.id.in_(ids)).order_by(*order)
    ).all()
    groups = _groups_by_key(connection, {row.key for row in rows})
    found = [
        Sample(
            row.id, to_datetime(row.received_at), row.source, _text(row.body), groups.get(row.key)
        )
        for row in rows
    ]
    return make_page(found, limit, [(row.received_at, row.id) for row in rows])


def _groups_by_key(connection: Connection, keys: Iterable[bytes]) -> dict[bytes, Group]:
    rows = connection.execute(select(REPORT_GROUPS).where(REPORT_GROUPS.c.key.in_(keys)))
    return {row.key: _group(row) for row in rows}


def _group(row: Row[Any]) -> Group:
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


def _text(body: bytes) -> str:
    return bytes(body).decode("utf-8", "backslashreplace")


def version_holders(connection: Connection, now: int) -> dict[tuple[str, int, str, str], int]:
    """Count the clients that hold each pin-set version, by pin set, version, app and app version.

    A client reports its version at most once a day. The number is that of today or that of
    yesterday, whichever is larger, because today's reports are incomplete. ``now`` is in seconds
    since 1970.
    """
    table = PRESENCES.c
    names = (table.pin_set, table.version, table.app, table.app_version)
    today = now - now % DAY
    rows = connection.execute(
        select(table.day, *names, func.sum(table.count))
        .where(table.day.in_((today, today - DAY)))
        .group_by(table.day, *names)
    )
    counts: dict[tuple[str, int, str, str], int] = {}
    for _, pin_set, version, app, app_version, count in rows:
        key = (pin_set, version, app, app_version)
        counts[key] = max(counts.get(key, 0), int(count))
    return dict(sorted(counts.items()))


def groups_of_day(
    connection: Connection, names: Sequence[str], now: int
) -> Iterator[tuple[Any, ...]]:
    """Count the failure reports of the last 24 hours by the values of some columns.

    ``names`` are the columns of ``report_groups``. Yield a tuple for each combination of values,
    the most frequent one first: the values, the number of reports with these values, and when the
    first of these reports arrived (seconds since 1970).
    """
    table = REPORT_GROUPS.c
    columns = [getattr(table, name) for name in names]
    total = func.sum(table.count)
    rows = connection.execute(
        select(*columns, total, func.min(table.first_at))
        .where(table.hour > now - DAY, table.hour <= now)
        .group_by(*columns)
        .order_by(total.desc())
    )
    for *values, reports, first_at in rows:
        yield (*values, int(reports), int(first_at))  # PostgreSQL sums to a decimal number


def failures_by_hour(
    connection: Connection, since: int, until: int
) -> Iterator[tuple[str, int, int]]:
    """Yield the number of reports of each host in each hour, as tuples of host, hour and number.

    The hours begin from ``since`` (inclusive) to ``until`` (exclusive), in seconds since 1970.
    """
    table = REPORT_GROUPS.c
    rows = connection.execute(
        select(table.host, table.hour, func.sum(table.count))
        .where(table.hour >= since, table.hour < until)
        .group_by(table.host, table.hour)
    )
    for host, hour, count in rows:
        yield host, hour, int(count)


def hours_with_reports(connection: Connection, until: int, span: int) -> frozenset[int]:
    """Return hours in which at least one report arrived, each as its first second (Unix time).

    The last one is the last hour with a report that begins before ``until``. The others are the
    hours with reports in the ``span`` seconds before it. The result is empty if there are none.
    """
    hour = REPORT_GROUPS.c.hour
    last = connection.scalar(select(func.max(hour)).where(hour < until))
    if last is None:
        return frozenset()
    rows = connection.scalars(select(hour).where(hour >= last - span, hour <= last).distinct())
    return frozenset(rows)


def observed_chains(connection: Connection, hosts: Iterable[str]) -> frozenset[HostChain]:
    """Return every chain that probes observed at these hosts, as pairs of host and digest.

    Both the served chains and the certification paths that were verified from them are included.
    """
    table = SIGHTINGS.c
    found: set[HostChain] = set()
    for piece in pieces(set(hosts), _HOSTS_AT_ONCE):
        rows = connection.execute(
            select(table.host, table.served, table.verified)
            .where(
                table.host.in_(piece),
                or_(table.served != b"", table.verified != b""),
            )
            .distinct()
        )
        for host, served, verified in rows:
            found |= {(host, served), (host, verified)}
    return frozenset(pair for pair in found if pair[1])


def reporting_networks(
    connection: Connection, chains: Collection[bytes], now: int, limit: int
) -> dict[HostChain, frozenset[str]]:
    """Return the IP networks from which each of these chains was reported since yesterday.

    Reports without a chain are included, with an empty digest. A *share* is the monitored host or
    pattern that a report is about. ``limit`` applies to each pair of share and chain, so that many
    reports about one chain can't hide reports about another.

    Args:
        connection: a connection that may read.
        chains: the digests of the chains.
        now: the time in seconds since 1970.
        limit: the maximum number of networks for each share and chain.

    Returns:
        The networks, by share and by the digest of the chain.
    """
    table = REPORT_NETWORKS.c
    reported = (
        select(table.share, table.met, table.network)
        .where(table.day >= now - now % DAY - DAY, table.met.in_(sorted({b"", *chains})))
        .distinct()
        .subquery()
        .c
    )
    place = func.row_number().over(
        partition_by=(reported.share, reported.met), order_by=reported.network
    )
    placed = (
        select(reported.share, reported.met, reported.network, place.label("place")).subquery().c
    )
    rows = connection.execute(
        select(placed.share, placed.met, placed.network).where(placed.place <= limit)
    )
    found: dict[HostChain, set[str]] = {}
    for share, met, network in rows:
        found.setdefault((share, bytes(met)), set()).add(network)
    return {key: frozenset(networks) for key, networks in found.items()}


def count_networks(connection: Connection, now: int) -> dict[str, int]:
    """Count the IP networks from which any report came since yesterday.

    The result maps the monitored host or pattern of the reports to the number of networks. ``now``
    is in seconds since 1970.
    """
    table = REPORT_NETWORKS.c
    rows = connection.execute(
        select(table.share, func.count(table.network.distinct()))
        .where(table.day >= now - now % DAY - DAY)
        .group_by(table.share)
    )
    return {share: int(number) for share, number in rows}
