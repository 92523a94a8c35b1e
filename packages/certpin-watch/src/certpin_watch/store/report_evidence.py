"""Read counts of reports for the alert rules: of the last day and week."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, or_, select

from certpin_watch.store.identities import DAY
from certpin_watch.store.tables.probes import SIGHTINGS
from certpin_watch.store.tables.reports import PRESENCES, REPORT_GROUPS, REPORT_NETWORKS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from typing import Any

    from sqlalchemy import Connection

_MAX_HOSTS = 500  # in one statement
HostChain = tuple[str, bytes]  # a host, and the digest of a chain


def version_holders(connection: Connection, now: int) -> dict[tuple[str, int, str, str], int]:
    """Count the clients that hold each version, by pin set, version, app and app version.

    The result is the larger of the numbers of today and yesterday.
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
    """Yield the number of reports of the last day with equal values, the largest number first.

    Each tuple has the values of the columns ``names``, the number of reports with these values, and
    when the first of them arrived (Unix seconds).
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
    """Yield host, hour and number of reports, from the hour ``since`` to before ``until``."""
    table = REPORT_GROUPS.c
    rows = connection.execute(
        select(table.host, table.hour, func.sum(table.count))
        .where(table.hour >= since, table.hour < until)
        .group_by(table.host, table.hour)
    )
    for host, hour, count in rows:
        yield host, hour, int(count)


def observed_chains(connection: Connection, hosts: Iterable[str]) -> frozenset[HostChain]:
    """Return the host and the digest of every chain that probes observed.

    These are the served chains and the chains that were verified from them.
    """
    ordered = sorted(set(hosts))
    table = SIGHTINGS.c
    found: set[HostChain] = set()
    for at in range(0, len(ordered), _MAX_HOSTS):
        rows = connection.execute(
            select(table.host, table.served, table.verified)
            .where(
                table.host.in_(ordered[at : at + _MAX_HOSTS]),
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
    """Return the networks that reported each of these chains since yesterday.

    Failures that were reported without a chain are included under an empty digest. The result is by
    share (a monitored host or pattern) and chain, with at most ``limit`` networks for each, so that
    many reports about one chain can't hide reports about another.
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
    """Count the networks that sent any report since yesterday, by share.

    A share is a monitored host or pattern.
    """
    table = REPORT_NETWORKS.c
    rows = connection.execute(
        select(table.share, func.count(table.network.distinct()))
        .where(table.day >= now - now % DAY - DAY)
        .group_by(table.share)
    )
    return {share: int(number) for share, number in rows}
