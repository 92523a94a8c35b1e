"""Store probe results as sightings (periods of equal results), and confirm changes.

A sighting is extended while probes have equal results, and ends when a probe has another result.
Each result contains the *slot* (the planned time) of its probe. A result is ignored if a result for
this slot or a later one is already stored, so a result that arrives twice is stored once.

A single odd probe causes no alert: a change is confirmed when two consecutive probes saw it
(``debounce``). If a server alternates between two chains, both chains are confirmed. For example, a
name can resolve to several servers, one of which is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from certpin_watch.store import probes
from certpin_watch.store.chains import insert_observed_chains, lock_chain_inserts, lock_usage
from certpin_watch.store.probes import SightingRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from certpin_watch.monitor.results import AddressResult, ProbeResult
    from certpin_watch.store.probes import ProbeKey

CONFIRMED = 2  # probes in a row that must see the same

_SAME = ("outcome", "served", "verified", "tls", "problem", "code")  # or it is a new sighting


@dataclass(frozen=True, slots=True)
class LastProbe:
    """The last probe of a target from a location, which decides when the next one is due.

    Attributes:
        slot: the planned time of the probe, in Unix seconds.
        at: the actual time of the probe, in Unix seconds.
        count: how many consecutive probes, up to this one, had the same result.
        changes: the number of consecutive results, directly before the current one, that only one
            probe had. With each of these probes, the result changed.
        unreachable: True if the server was unreachable.
    """

    slot: int
    at: int
    count: int = CONFIRMED
    changes: int = 0
    unreachable: bool = False


def last_probes(connection: Connection, location: str) -> dict[ProbeKey, LastProbe]:
    """Return the last probe of each target from a location.

    If each address of a host is probed separately, there is a last probe of each address. They are
    merged into one, so that the next probe is due as soon as one of the addresses needs it.

    Args:
        connection: a read transaction.
        location: the location.

    Returns:
        The last probe by target and location. Targets that were never probed from this location are
        missing.
    """
    found: dict[ProbeKey, LastProbe] = {}
    rows = probes.latest_sightings_from(connection, location)
    for key, outcome, slot, at, count, changes in rows:
        last = LastProbe(slot, at, count, changes, unreachable=outcome == "unreachable")
        before = found.get(key)
        found[key] = last if before is None else _due_sooner(before, last)
    return found


def record_results(connection: Connection, results: Sequence[ProbeResult], now: datetime) -> int:
    """Store probe results as new or extended sightings (periods of equal results).

    The chains in the results are stored, too.

    Args:
        connection: a write transaction.
        results: the results, in any order.
        now: the current time.

    Returns:
        The number of results that were not stored before.
    """
    probes.lock_sightings(connection)
    by_target: dict[ProbeKey, list[ProbeResult]] = {}
    for result in sorted(results, key=lambda result: result.slot):
        by_target.setdefault(result.key, []).append(result)
    rounds = max(map(len, by_target.values()), default=0)
    if rounds > 1:
        # Rare. The second round would lock the quota after rows of the first: a deadlock.
        lock_chain_inserts(connection)
        lock_usage(connection)
    recorded = 0
    for number in range(rounds):
        batch = [queue[number] for queue in by_target.values() if len(queue) > number]
        recorded += _record(connection, batch, now)
    return recorded


@dataclass(frozen=True, slots=True)
class ConfirmedSighting:
    """A period of equal probe results of one server that at least two probes confirm.

    Attributes:
        row: the stored row of the period.
        before: the latest earlier period with a verified chain that differs from that of ``row``;
            None if there is none.
        changed_at: when the verified chain of ``row`` was first seen after ``before``, in Unix
            seconds.
    """

    row: SightingRow
    before: SightingRow | None = None
    changed_at: int = 0


def debounce(rows: Iterable[SightingRow], recent: int) -> tuple[ConfirmedSighting, ...]:
    """Return the confirmed sightings of one server address, as one location observes it.

    Consecutive sightings with equal results are first merged into one. Two kinds of sightings are
    confirmed:

    1. The latest sighting with at least two probes, if the address is still probed.
    2. Sightings with a result that occurred in several separate sightings since ``recent``: the
       server alternates between results.

    Args:
        rows: all sightings of the location and address.
        recent: a time in Unix seconds. Sightings that ended earlier are not of the second kind.

    Returns:
        The confirmed sightings, one for each result; empty if nothing is confirmed.
    """
    runs = _runs(sorted(rows, key=lambda row: (row.first_at, row.last_at)))
    believed: dict[tuple[object, ...], ConfirmedSighting] = {}
    for at, run in enumerate(runs):
        if _is_believed(runs, at, recent):
            believed.pop(_content(run), None)
            believed[_content(run)] = _with_before(runs, at)
    return tuple(believed.values())


def _content(row: SightingRow) -> tuple[object, ...]:
    """Return the values that must be equal for two sightings to count as the same.

    A sighting is a period of equal probe results. The values are the outcome, both chains and
    OpenSSL's error number. For an unreachable server, it is only the outcome, because the reason
    why it is unreachable can vary.
    """
    if row.outcome == "unreachable":
        return (row.outcome,)
    return row.outcome, row.served, row.verified, row.code


def _runs(rows: Sequence[SightingRow]) -> list[SightingRow]:
    """Merge consecutive sightings into one if their ``_content`` is equal.

    A sighting is a period of equal probe results. ``rows`` must be sorted by time.
    """
    runs: list[SightingRow] = []
    for row in rows:
        if runs and _content(runs[-1]) == _content(row):
            count = runs[-1].count + row.count
            runs[-1] = replace(row, first_at=runs[-1].first_at, count=count)
        else:
            runs.append(row)
    return runs


def _is_believed(runs: list[SightingRow], at: int, recent: int) -> bool:
    """Return True if several probes confirm the sighting ``runs[at]``, as ``debounce`` explains.

    A sighting is a period of equal probe results.

    Args:
        runs: the merged sightings (``_runs``) of one location and address, by time.
        at: the index of the sighting.
        recent: a time in Unix seconds. To find out if a result occurs several times, only sightings
            that ended at this time or later are counted.
    """
    run = runs[at]
    again = [
        other for other in runs if _content(other) == _content(run) and other.last_at >= recent
    ]
    if len(again) >= CONFIRMED and run.last_at >= recent:
        return True
    if not runs[-1].latest:  # the name doesn't resolve to this address any more
        return False
    confirmed = [index for index, other in enumerate(runs) if other.count >= CONFIRMED]
    return bool(confirmed) and at == confirmed[-1]


def _with_before(runs: list[SightingRow], at: int) -> ConfirmedSighting:
    """Return ``runs[at]`` as confirmed, with the last earlier sighting that had a different chain.

    The result also has the time of the change: when the chain of ``runs[at]`` was first seen after
    that earlier sighting. Only verified chains are compared. Sightings without a verified chain, as
    when the server was unreachable, are skipped. ``runs`` are sightings (periods of equal probe
    results) sorted by time.
    """
    run, changed = runs[at], runs[at].first_at
    for other in reversed(runs[:at]):
        if other.verified == run.verified:
            changed = other.first_at
        elif other.verified:
            return ConfirmedSighting(run, other, changed)
    return ConfirmedSighting(run, None, changed)


def _record(connection: Connection, results: list[ProbeResult], now: datetime) -> int:
    """Store results, at most one for each target, as new or extended periods of equal results.

    Returns:
        The number of results that were not stored before.
    """
    moment = int(now.timestamp())
    latest = _latest(connection, results)
    fresh = [result for result in results if _is_new(result, latest[result.key].values(), moment)]
    pairs = [(result, seen) for result in fresh for seen in result.seen]
    # One call for all chains: a second one in this transaction would lock the quota too late.
    chains = [
        result.chain(indexes) for result, seen in pairs for indexes in (seen.served, seen.verified)
    ]
    digests = insert_observed_chains(connection, chains, now)
    removed = {result.key: _removed(result, latest[result.key]) for result in fresh}
    extended: list[SightingRow] = []
    ended = [row for rows in removed.values() for row in rows]
    new: list[SightingRow] = []
    for (result, seen), *digest_pair in zip(pairs, digests[::2], digests[1::2], strict=True):
        row = _row(result, seen, digest_pair, moment)
        before = latest[result.key].get(seen.edge)
        if before is not None and _is_same(before, row):
            extended.append(_extended(before, row, moment))
            continue
        if before is not None:
            ended.append(before)
        changes = _changes([before] if before else removed[result.key])
        new.append(replace(row, changes=changes) if changes else row)
    probes.write_sightings(connection, extended, ended, new)
    probes.note_results(connection, {result.location for result in fresh}, moment)
    return len(fresh)


def _latest(
    connection: Connection, results: list[ProbeResult]
) -> dict[ProbeKey, dict[str, SightingRow]]:
    """Return the current sightings of the targets of these results, by target and address.

    A sighting is a period of equal probe results. It is current if it has not ended.
    """
    found: dict[ProbeKey, dict[str, SightingRow]] = {result.key: {} for result in results}
    for row in probes.latest_sightings(connection, {result.host for result in results}):
        found.setdefault(row.key, {})[row.edge] = row
    return found


def _is_new(result: ProbeResult, rows: Iterable[SightingRow], now: int) -> bool:
    """Return True if a result has to be stored: no result of the same or a later probe is stored.

    The slot of the result (the planned time of its probe) must be later than the slots of the
    current sightings (periods of equal results), and not in the future. A sighting with a slot in
    the future is ignored, because it was stored before the clock was set back.

    Args:
        result: the result.
        rows: the current sightings of its target.
        now: the time in Unix seconds.
    """
    if result.slot > now:
        return False
    return all(row.slot < result.slot or row.slot > now for row in rows)


def _removed(result: ProbeResult, rows: dict[str, SightingRow]) -> list[SightingRow]:
    """Return the current sightings at addresses that are not in the latest result.

    A sighting is a period of equal probe results. The host no longer resolves to these addresses,
    so the sightings have to end.

    Args:
        result: the latest result, with the addresses to which the host resolves now.
        rows: the current sightings, by address.
    """
    edges = {seen.edge for seen in result.seen}
    return [row for edge, row in rows.items() if edge not in edges]


def _row(
    result: ProbeResult, seen: AddressResult, digests: Sequence[bytes], moment: int
) -> SightingRow:
    # The clock of a worker may be wrong: the probe was made after its slot, and before now.
    at = min(max(result.at, result.slot), moment)
    served, verified = digests
    return SightingRow(
        host=result.host,
        port=result.port,
        location=result.location,
        way=result.way,
        edge=seen.edge,
        address=seen.address,
        outcome=seen.outcome,
        served=served,
        verified=verified,
        tls=seen.tls,
        problem=seen.problem,
        code=seen.code,
        first_at=at,
        last_at=at,
        slot=result.slot,
        took=seen.took,
    )


def _extended(before: SightingRow, row: SightingRow, now: int) -> SightingRow:
    # A row that began in the future was written while the clock ran ahead.
    first = min(before.first_at, now)
    return replace(row, id=before.id, first_at=first, last_at=max(row.last_at, first))


def _is_same(before: SightingRow, row: SightingRow) -> bool:
    return all(getattr(before, name) == getattr(row, name) for name in _SAME)


def _changes(ended: list[SightingRow]) -> int:
    """Return how many sightings with only one probe directly precede a new sighting.

    This is the value ``changes`` of the new sighting (a period of equal probe results). The result
    is 0 if each of those that the new one replaces had at least two probes. A large number means
    that the server keeps changing.

    Args:
        ended: the sightings that the new one replaces. Each has the value ``changes`` for those
            before it.
    """
    return max((row.changes + 1 for row in ended if row.count < CONFIRMED), default=0)


def _due_sooner(one: LastProbe, other: LastProbe) -> LastProbe:
    return LastProbe(
        max(one.slot, other.slot),
        max(one.at, other.at),
        min(one.count, other.count),
        max(one.changes, other.changes),
        unreachable=one.unreachable and other.unreachable,
    )
