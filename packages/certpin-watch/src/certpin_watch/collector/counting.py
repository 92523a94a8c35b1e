"""Count a batch of reports in one transaction. A report that is sent again is not counted.

1. Insert the identity of each report, a digest that recognises the report. If it is stored already,
   the report is a repeat, and is not counted. On PostgreSQL, a report that arrives late gets a
   second identity, because the first one is deleted too early (see ``store.identities``).
2. Store new chains and certificates by digest.
3. Count new reports in their report groups. If too many groups of the hour are stored, a group with
   less detail is used ("folded", see ``grouping``).
4. Add the same numbers to the daily sums.
5. Record from which networks each chain was reported.
6. Store a few samples of each report group.
7. Count the clients that sent a presence, by day, version and app. With a *presence*, a client
   reports the version of the pin set that it holds.

The storage quota limits the bytes of chains and samples. A transaction that inserts a chain, a
group or a sample first locks the database row with the used bytes (``store.chains``), and then
computes the free bytes. So no other transaction uses them meanwhile. A transaction that only
increases the counts of stored rows does not wait for this lock.

Rows are written in the order of their keys, so that two writers can't deadlock. All steps are done
in the caller's transaction.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import astuple

from certpin_watch.addresses import provider_network
from certpin_watch.collector.decode import CountedFailure
from certpin_watch.collector.grouping import (
    CHAINS_LEFT_OUT,
    CountingLimits,
    GroupCounts,
    HourCache,
    PresenceLimits,
    RecentChains,
    ReportLimits,
    RowCache,
    chain_fits,
    choose_presence_rows,
    choose_rows,
    day_of,
    every_fold,
    fold,
    fold_step,
    group_key,
    group_of,
    presence_folds,
    step_with_reserve,
    trait_key,
)
from certpin_watch.collector.samples import OfferedSample, keep_samples
from certpin_watch.store import reports
from certpin_watch.store.chains import (
    ChainRecord,
    ReportedChain,
    add_usage,
    chain_record,
    insert_reported_chains,
    lock_chain_inserts,
    lock_usage,
    missing_chains,
    new_certificate_sizes,
)
from certpin_watch.store.identities import FIRST_DATED, HOUR, lowest_on_time, undated
from certpin_watch.store.reports import PresenceGroup, ReportGroup, ReportOrigin
from certpin_watch.store.tables.columns import TRAITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from certpin_watch.collector.decode import CountedPresence, ReceivedBody
    from certpin_watch.collector.grouping import SumKey

    # The digest for each list of certificates; None if there was no room for the chain.
    Digests = dict[tuple[bytes, ...], bytes | None]
    ChosenRows = dict[ReportGroup, tuple[bytes, ReportGroup]]

MAX_ORIGINS = 64  # origins that are recorded of a network in a day

_FULL_HOURS = 4  # a day may have as many sums as this number of full hours has groups

_wide_network = lru_cache(4096)(provider_network)


@dataclass(frozen=True)
class BatchResult:
    """The numbers of counted, repeated and folded reports of a batch, and the database rows used.

    Attributes:
        reports: how many reports were counted, presences included (a client sends one to report its
            pin-set version).
        repeats: how many reports were not counted, because they were counted before.
        folded: how many of the counted reports were stored with less detail, because of a limit.
        hours: the database rows that the transaction wrote or read, by hour, for
            ``RowCache.learn``.
    """

    reports: int = 0
    repeats: int = 0
    folded: int = 0
    hours: Mapping[int, HourCache] = field(default_factory=dict)


class NewFailure(NamedTuple):
    """A report of a failed connection that was not stored before, and its request body."""

    failure: CountedFailure
    body: ReceivedBody

    @property
    def hour(self) -> int:
        """The first second of the hour in which the report arrived, in seconds since 1970."""
        return self.body.at - self.body.at % HOUR


def count(
    connection: Connection, batch: Sequence[ReceivedBody], limits: CountingLimits, cache: RowCache
) -> BatchResult:
    """Count the reports of a batch that were not counted before.

    Args:
        connection: a transaction that may write.
        batch: request bodies in any order.
        limits: how many groups, chains and samples are stored.
        cache: a cache of rows that are in the database. After the commit, pass the ``hours`` of the
            result to ``cache.learn``.

    Returns:
        The numbers of counted, repeated and folded reports, and the rows to add to the cache.
    """
    failures, presences, repeats = _first_seen(connection, batch)
    learned: defaultdict[int, HourCache] = defaultdict(HourCache)
    alike = _alike(failures)
    chains = _store_chains(connection, [same[0] for same in alike], limits.reports, cache, learned)
    members: dict[ReportGroup, list[NewFailure]] = defaultdict(list)
    for same in alike:
        members[_group(same[0], chains)] += same
    offered = any(new.body.sample for new in failures)
    if limits.samples and offered:
        lock_usage(connection)
    chosen = _choose_rows(connection, list(members), limits.reports, cache)
    sums = _find_sums(connection, dict(chosen.values()), limits.reports, cache)
    _count_groups(connection, members, chosen, sums)
    _record_origins(connection, members, limits.reports, cache, learned)
    if offered:
        keep_samples(connection, _offered_samples(members, chosen), limits)
    _count_presences(connection, presences, limits.presences)
    for key, group in chosen.values():
        learned[group.hour].groups[key] = sums[key]
    folded = sum(len(members[original]) for original, (_, group) in chosen.items() if group.folded)
    return BatchResult(len(failures) + len(presences), repeats, folded, learned)


def _first_seen(
    connection: Connection, batch: Sequence[ReceivedBody]
) -> tuple[list[NewFailure], list[tuple[CountedPresence, int]], int]:
    """Store the identities of all reports of a batch, and return the reports that are not repeats.

    An identity is a digest that is equal each time that a report is sent. A report is a repeat if
    its identity is stored already, or is that of an earlier report in the batch.

    Returns:
        The reports of failed connections; the presences, with which clients report the version of
        their pins, each with its time of arrival; and the number of repeats.
    """
    bodies = [(record, body) for body in batch for record in body.records]
    owners: dict[bytes, int] = {}  # of each identity, the first report in this batch that has it
    repeats = set()
    earliest_on_time = FIRST_DATED  # SQLite: no report is late: rows expire by time of arrival
    if connection.dialect.name != "sqlite":
        earliest_on_time = lowest_on_time(max((body.at for body in batch), default=0))
    for number, (record, _) in enumerate(bodies):
        # An identity begins with the client's time, so identities are compared as times.
        is_late = FIRST_DATED <= record.identity < earliest_on_time
        keys = [record.identity, record.also] if record.also else [record.identity]
        for key in [*keys, *map(undated, keys)] if is_late else keys:
            if owners.setdefault(key, number) != number:
                repeats.add(number)
    if not bodies:
        return [], [], 0
    rows = [(key, bodies[owners[key]][1].at) for key in sorted(owners)]
    stored = owners.keys() - reports.insert_identities(connection, rows)
    repeats.update([owners[key] for key in stored])
    new = [pair for number, pair in enumerate(bodies) if number not in repeats]
    failures = [NewFailure(item, body) for item, body in new if isinstance(item, CountedFailure)]
    presences = [(item, body.at) for item, body in new if not isinstance(item, CountedFailure)]
    return failures, presences, len(bodies) - len(new)


def _alike(failures: Iterable[NewFailure]) -> list[list[NewFailure]]:
    """Group reports of failed connections that arrived in one hour and have equal fields.

    Such reports are counted together, in one database row. Identities are not compared, because
    they differ for each report. Return a list of reports for each group.
    """
    found: dict[tuple[Any, ...], list[NewFailure]] = defaultdict(list)
    for new in failures:
        # All fields but the identities, which are the first and the last.
        found[new.hour, *astuple(new.failure)[1:-1]].append(new)
    return list(found.values())


def _store_chains(
    connection: Connection,
    failures: Sequence[NewFailure],
    limits: ReportLimits,
    cache: RowCache,
    learned: defaultdict[int, HourCache],
) -> Digests:
    """Store the chains in these reports, while the limits on stored chains leave room.

    Args:
        connection: a transaction that may write.
        failures: the reports.
        limits: the limits on stored reports and chains.
        cache: a cache of rows that are in the database.
        learned: rows to add to the cache later, by hour. This function adds the digests of the
            chains that are not in ``cache``, and that it stores or finds in the database.

    Returns:
        A mapping of each chain (its certificates) to its digest. The digest is None if the chain
        was not stored, because there was no room.
    """
    chains: dict[tuple[bytes, ...], ChainRecord] = {(): chain_record(())}
    unknown: dict[bytes, ReportedChain] = {}
    hours: dict[bytes, int] = {}
    for new in failures:
        for certificates in (new.failure.served, new.failure.verified):
            if certificates in chains:
                continue
            chain = chains[certificates] = chain_record(certificates)
            if chain.digest not in cache.of(new.hour).chains:
                share = limits.share_of(new.failure.host)
                unknown[chain.digest] = ReportedChain(chain, new.body.at, new.body.source, share)
                hours[chain.digest] = new.hour
    refused = _keep_chains(connection, unknown, limits) if unknown else set()
    for digest in unknown.keys() - refused:
        learned[hours[digest]].chains.add(digest)
    return {
        certificates: None if chain.digest in refused else chain.digest
        for certificates, chain in chains.items()
    }


def _keep_chains(
    connection: Connection, unknown: dict[bytes, ReportedChain], limits: ReportLimits
) -> set[bytes]:
    """Store reported chains that are not in the database yet, while the limits leave room.

    Args:
        connection: a transaction that may write.
        unknown: the chains to store, by digest. Some may be stored already.
        limits: the limits on stored reports and chains.

    Returns:
        The digests of the chains that were not stored, because there was no room.
    """
    lock_chain_inserts(connection)
    absent = missing_chains(connection, {digest: new.chain for digest, new in unknown.items()})
    if not absent:
        return set()
    used = lock_usage(connection)
    absent = missing_chains(connection, absent)  # another process may have stored it meanwhile
    recent = RecentChains(used)
    since = max((unknown[digest].at for digest in absent), default=0) - HOUR
    # A row that is more than an hour ahead is from a clock that ran ahead: it would stay recent.
    for share, source, number in reports.new_chains_by_source(connection, since, since + 2 * HOUR):
        recent.add(share, source, number)
    kept: list[ReportedChain] = []
    sizes = new_certificate_sizes(connection, absent.values())
    for digest in sorted(absent):
        new = unknown[digest]
        size = new.chain.row_size + sum(sizes.get(key, 0) for key, _ in new.chain.by_digest)
        if chain_fits(new.share, new.source, size, recent, limits):
            kept.append(new)
            recent.add(new.share, new.source)
            recent.used += size
            for key, _ in new.chain.by_digest:
                sizes.pop(key, None)
    add_usage(connection, insert_reported_chains(connection, kept))
    return absent.keys() - {new.chain.digest for new in kept}


def _group(new: NewFailure, chains: Digests) -> ReportGroup:
    served, verified = chains[new.failure.served], chains[new.failure.verified]
    group = group_of(new.failure, new.body.at, served or b"", verified or b"")
    left_out = served is None or verified is None
    return group._replace(folded=CHAINS_LEFT_OUT) if left_out else group


def _choose_rows(
    connection: Connection, groups: Sequence[ReportGroup], limits: ReportLimits, cache: RowCache
) -> ChosenRows:
    """Choose for each report group the row of ``report_groups`` that counts its reports.

    The chosen row is the group itself or, if the hour or day is nearly full, a group with less
    detail. The database is queried only for groups that are not in ``cache``. ``limits`` has the
    maximum numbers of groups for an hour and for a day.

    Returns:
        The key and the fields of the chosen row, by the given group.
    """
    chosen: ChosenRows = {}
    unknown: dict[int, list[ReportGroup]] = defaultdict(list)
    for group in groups:
        key = group_key(group)
        if key in cache.of(group.hour).groups:
            chosen[group] = key, group
        else:
            unknown[group.hour].append(group)
    if unknown:
        lock_usage(connection)
    for hour, new in unknown.items():
        taken = GroupCounts(*reports.count_groups(connection, hour))
        uses = ((taken.hour, limits.groups), (taken.day, limits.groups_a_day))
        nearly_full = any(number + len(new) > limit // 4 for number, limit in uses)
        if nearly_full:
            taken.shares = _by_share(reports.groups_by_host(connection, hour), limits)
        keys = every_fold(new, limits) if nearly_full else {group_key(group) for group in new}
        stored = reports.existing_groups(connection, keys)
        chosen |= choose_rows(new, stored, taken, limits)
    return chosen


def _by_share(hosts: Iterable[tuple[str, int]], limits: ReportLimits) -> Counter[str]:
    found: Counter[str] = Counter()
    for host, number in hosts:
        found[limits.share_of(host)] += number
    return found


def _find_sums(
    connection: Connection,
    groups: Mapping[bytes, ReportGroup],
    limits: ReportLimits,
    cache: RowCache,
) -> dict[bytes, SumKey]:
    """Find the daily sum that counts the reports of each report group.

    A daily sum counts the reports of one day with equal fields. If the day already has too many
    sums, one with less detail than the group is used.

    A daily sum refers to two rows: a *place* has the host and the served chain, and *traits* have
    the other fields except the verified chain. Missing rows are inserted. The database is queried
    only for groups that are not in ``cache``. ``limits`` are the limits on stored reports.

    Returns:
        The row numbers of place and traits, by the key of the group.
    """
    cached = {key: cache.of(group.hour).groups for key, group in groups.items()}
    found = {key: hour[key] for key, hour in cached.items() if key in hour}
    unknown = {key: group for key, group in groups.items() if key not in found}
    if not unknown:
        return found
    folded = _fold_sums(connection, unknown, limits)
    traits = {key: tuple(getattr(sums, name) for name in TRAITS) for key, sums in folded.items()}
    places = {key: (sums.host, sums.served) for key, sums in folded.items()}
    # In the order of hours: the last day of each row is the one that is stored.
    ordered = sorted(unknown, key=lambda key: unknown[key].hour)
    days = {key: day_of(unknown[key].hour) for key in ordered}
    digests = {key: trait_key(values) for key, values in traits.items()}
    wanted = {digests[key]: (traits[key], day) for key, day in days.items()}
    trait_rows = reports.save_traits(connection, wanted)
    place_rows = reports.save_places(connection, {places[key]: day for key, day in days.items()})
    return found | {key: (place_rows[places[key]], trait_rows[digests[key]]) for key in unknown}


def _fold_sums(
    connection: Connection, groups: Mapping[bytes, ReportGroup], limits: ReportLimits
) -> dict[bytes, ReportGroup]:
    """Return the fields of the daily sum that counts each report group, by the key of the group.

    A daily sum counts the reports of one day with equal fields. If the day already has too many
    sums, the fields have less detail than those of the group. But some sums are reserved for each
    share: a monitored host, or all names that one pattern covers. So a flood of reports about one
    share doesn't affect the sums of others. ``limits`` knows the share of a host, and the limits.
    ``groups`` are the report groups, each by its key.
    """
    counts: dict[int, int] = {}
    shares: dict[int, Counter[str]] = {}
    found: dict[bytes, ReportGroup] = {}
    for key, group in groups.items():
        day = day_of(group.hour)
        if day not in counts:
            counts[day] = reports.count_day_sums(connection, day)
        step = fold_step(counts[day], limits.part_for(_FULL_HOURS * limits.groups, group.host))
        if step and day not in shares:
            shares[day] = _by_share(reports.day_sums_by_host(connection, day), limits)
        if step:
            step = step_with_reserve(step, group.host, shares[day], limits)
            shares[day][limits.share_of(group.host)] += 1
        found[key] = fold(group, step, limits)
        counts[day] += 1
    return found


def _count_groups(
    connection: Connection,
    members: Mapping[ReportGroup, Sequence[NewFailure]],
    chosen: ChosenRows,
    sums: Mapping[bytes, SumKey],
) -> None:
    rows: dict[bytes, dict[str, Any]] = {}
    for original, (key, group) in chosen.items():
        times = [body.at for _, body in members[original]]
        counts = {"count": len(times), "first_at": min(times), "last_at": max(times)}
        if (row := rows.get(key)) is None:
            rows[key] = {**group._asdict(), "key": key, **counts}
        else:
            row.update(_merged(row, counts))
    if rows:
        reports.add_to_groups(connection, [rows[key] for key in sorted(rows)])
        _add_to_sums(connection, rows, sums)


def _add_to_sums(
    connection: Connection, rows: Mapping[bytes, dict[str, Any]], sums: Mapping[bytes, SumKey]
) -> None:
    by_trait: Counter[tuple[int, int]] = Counter()
    by_place: dict[tuple[int, int, int], dict[str, int]] = {}
    for key, row in rows.items():
        (place_row, trait), day = sums[key], day_of(row["hour"])
        by_trait[day, trait] += row["count"]
        counts = {name: row[name] for name in ("count", "first_at", "last_at")}
        at = (place_row, day, trait)
        by_place[at] = _merged(by_place[at], counts) if at in by_place else counts
    reports.add_to_day_sums(connection, by_trait, by_place)


def _merged(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {
        "count": one["count"] + other["count"],
        "first_at": min(one["first_at"], other["first_at"]),
        "last_at": max(one["last_at"], other["last_at"]),
    }


def _record_origins(
    connection: Connection,
    members: Mapping[ReportGroup, Sequence[NewFailure]],
    limits: ReportLimits,
    cache: RowCache,
    learned: Mapping[int, HourCache],
) -> None:
    """Record which networks reported each chain of a monitored host, in the table of origins.

    The alert rules use these records to distinguish many reports of one network from reports of
    many networks. A network here is that of a whole provider (IPv4 /16, IPv6 /32), because one
    sender can have thousands of addresses within it. A report without a stored chain is recorded
    without the chain. The number of records is limited for each network and day.

    ``limits`` knows the monitored hosts. ``members`` has the new reports of each report group
    (equal reports of an hour). Networks that ``cache`` has for a chain are recorded already.
    ``learned`` collects the new ones, which are added to the cache later.
    """
    new = set()
    for group, failures in members.items():
        met = group.verified or group.served
        before, marks = cache.of(group.hour).marks, learned[group.hour].marks
        share = limits.share_of(group.host)
        for _, body in failures:
            mark = hash((body.source, group.host, met))
            if mark not in before and mark not in marks:
                marks.add(mark)
                new.add(ReportOrigin(day_of(body.at), _wide_network(body.source), share, met))
    origins = sorted(origin for origin in new if origin.share and origin.network)
    if not origins:
        return
    counts = reports.origins_by_network(connection, origins)
    kept = []
    for origin in origins:
        number = counts.get(origin[:2], 0)
        if number < MAX_ORIGINS:
            counts[origin[:2]] = number + 1
            kept.append(origin)
    reports.insert_origins(connection, kept)


def _offered_samples(
    members: Mapping[ReportGroup, Sequence[NewFailure]], chosen: ChosenRows
) -> list[OfferedSample]:
    return [
        OfferedSample(chosen[group][0], new.failure.host, new.body)
        for group, failures in members.items()
        for new in failures
        if new.body.sample
    ]


def _count_presences(
    connection: Connection,
    presences: Iterable[tuple[CountedPresence, int]],
    limits: PresenceLimits,
) -> None:
    """Count clients by day, pin-set version and app, from their presences.

    With a presence, a client reports the version that it holds. ``presences`` are pairs of a
    presence and its time of arrival, in seconds since 1970. ``limits`` is the maximum number of
    rows for a day.
    """
    reported = Counter(
        PresenceGroup(day_of(at), one.pin_set, one.version, one.app, one.app_version, one.platform)
        for one, at in presences
    )
    days: dict[int, list[PresenceGroup]] = defaultdict(list)
    for key in sorted(reported):
        days[key.day].append(key)
    counts: Counter[PresenceGroup] = Counter()
    for day, keys in days.items():
        folds = {folded for key in keys for folded in presence_folds(key)}
        stored = reports.existing_presences(connection, folds)
        number = reports.count_presence_rows(connection, day)
        for key, row in choose_presence_rows(keys, stored, number, limits).items():
            counts[row] += reported[key]
    reports.add_to_presences(connection, counts)
