"""The service's side of the worker API: hand out probe jobs that are due, and store results.

A worker is a program that probes from another location. It gets the *lease* of a job: the right to
run the job for ``LEASE`` seconds. The lease is a row of the store, one for each target and
location, so that several services with one database hand out each job once. If a worker dies, its
jobs go to another worker. A result is stored only if its worker holds the job, and only once: the
transaction that stores the result locks the lease, and marks the job as done.

The location comes from the token, never from the body. NOT checked: that a worker really made the
observations that it posts. An attacker who controls a worker can post false results for the
worker's location, and for no other location.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from sqlalchemy.exc import DataError, IntegrityError

from certpin_watch.monitor.probing import count_probes
from certpin_watch.monitor.results import MAX_BYTES, MAX_REQUEST, JobBatch, encode
from certpin_watch.monitor.scheduler import (
    MAX_PAUSE,
    all_locations,
    due_probes,
    make_job,
    targets_at,
)
from certpin_watch.monitor.sightings import last_probes, record_results
from certpin_watch.monitor.targets import distinct_targets, monitored_policies
from certpin_watch.store import leases

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from certpin_watch.context import Watch
    from certpin_watch.monitor.results import Fate, JobRequest, ProbeJob, ProbeResult
    from certpin_watch.monitor.targets import Target
    from certpin_watch.settings import MonitorSettings
    from certpin_watch.store.leases import WorkerIdentity
    from certpin_watch.store.probes import ProbeKey

log = logging.getLogger("certpin.watch.monitor")

LEASE = 60  # seconds after a worker's last request until its jobs go to another
_UNFIT_PAUSE = 600  # seconds until the next probe of a target, if no database accepted its result
_CLOCK_MARGIN = 600  # seconds beyond these: no lease of a good clock ends later
_IDLE = 60.0  # seconds until a worker asks again that can have no jobs


def hand_out_jobs(watch: Watch, worker: WorkerIdentity, request: JobRequest) -> JobBatch:
    """Return the next probe jobs for a worker: due at its location, and held by no other worker.

    Args:
        watch: the settings, the store, the pin files and the clock.
        worker: the worker, identified by its token.
        request: how many jobs the worker accepts, and the jobs that it holds or returns. The leases
            of held jobs (the right to run them) are renewed, and those of returned jobs are
            deleted. A job in the request that another worker holds is ignored.

    Returns:
        The new jobs, and when to ask again. If the settings allow no jobs for the worker's
        location, there are none, and ``note`` has the reason.

    Raises:
        StoreError: the store can't be used.
    """
    settings = watch.settings.monitor
    now = int(watch.clock().timestamp())
    if note := _obstacle(settings, worker.location):
        return JobBatch(worker.location, LEASE, _IDLE, note=note)
    planned = _planned(watch, worker.location, now) if request.max_jobs else []
    jobs: list[ProbeJob] = []
    if planned or request.held or request.returned:
        with watch.store.write() as connection:
            leases.lock_jobs(connection)
            leases.renew_jobs(connection, worker, request.held, now + LEASE)
            leases.return_jobs(connection, worker, request.returned)
            jobs = _claim(connection, worker, planned[: request.max_jobs], now)
            leases.forget_jobs(connection, now - LEASE)
    wait = min(MAX_PAUSE, settings.confirm.total_seconds())
    return JobBatch(worker.location, LEASE, wait, tuple(jobs))


def store_results(
    watch: Watch, worker: WorkerIdentity, results: Sequence[ProbeResult]
) -> list[Fate]:
    """Store the results of jobs that this worker holds. All other results are dropped.

    Args:
        watch: the settings, the store, the pin files and the clock.
        worker: the worker, identified by its token.
        results: the results that the worker sent.

    Returns:
        What happened to each result, such as "kept" or "repeat", in the order of ``results``.

    Raises:
        StoreError: the store can't be used. Nothing is stored, and the worker has to send the
            results again.
    """
    probed = _probed(watch)
    fates: list[Fate] = ["kept"] * len(results)
    for at, result in enumerate(results):
        if result.location != worker.location:
            fates[at] = "foreign"
        elif not _fits(result, probed):
            fates[at] = "unasked"
    good = [at for at, fate in enumerate(fates) if fate == "kept"]
    for at, fate in zip(good, _store(watch, worker, [results[at] for at in good]), strict=True):
        fates[at] = fate
    _note(worker, results, fates)
    return fates


def _obstacle(settings: MonitorSettings, location: str) -> str:
    """Return the reason why workers get no probe jobs for a location; empty if they get jobs.

    The reason is a setting, such as a disabled monitor.
    """
    if not settings.enabled:
        return "the service makes no probes: monitor.enabled is false in its watch.toml"
    if location == settings.location:
        return (
            f"the service itself probes from {location}: make a token for another location, or "
            "change monitor.vantage in its watch.toml"
        )
    if location not in all_locations(settings):
        return (
            f"no host is probed from {location}: add it to monitor.vantages in the service's "
            "watch.toml"
        )
    return ""


def _planned(watch: Watch, location: str, now: int) -> list[ProbeJob]:
    """Return the probe jobs that are due at a location and held by no worker.

    If they don't fit into one response, the rest is left for the next request. A job with more than
    ``MAX_BYTES`` is never returned; the alert rule ``not-probed`` reports it. ``now`` is in Unix
    seconds.
    """
    settings = watch.settings.monitor
    targets = targets_at(_targets(watch), location)
    found: list[ProbeJob] = []
    size = 0
    with watch.store.read() as connection:
        leased = leases.leased_jobs(connection, now, _latest_end(now))
        last = last_probes(connection, location)
        for probe in due_probes(targets, last, settings, now):
            job = make_job(probe, settings)
            weight = len(encode(job))
            if job.identity in leased or weight > MAX_BYTES:  # `not-probed` reports large ones
                continue
            size += weight
            if size > MAX_REQUEST - MAX_BYTES:
                break
            found.append(job)
    return found


def _claim(
    connection: Connection, worker: WorkerIdentity, jobs: list[ProbeJob], now: int
) -> list[ProbeJob]:
    """Take a lease for each of these jobs that no other worker holds, and return those jobs.

    A lease is a row in the store that reserves a job for a worker for a time.

    Args:
        connection: a write transaction.
        worker: the worker that gets the jobs.
        jobs: the jobs to take.
        now: the current time, in Unix seconds.
    """
    wanted = {job.identity: job for job in jobs}
    taken = leases.claim_jobs(
        connection,
        worker,
        {identity: job.slot for identity, job in wanted.items()},
        now=now,
        until=now + LEASE,
        latest=_latest_end(now),
    )
    return [job for identity, job in wanted.items() if identity in taken]


def _latest_end(now: int) -> int:
    """Return the latest time, in Unix seconds, at which a valid lease of a job can end.

    A lease is the right of a worker to run the job. A stored lease that ends later is ignored,
    because it was written while the clock was ahead.
    """
    return now + max(LEASE, _UNFIT_PAUSE) + _CLOCK_MARGIN


def _store(watch: Watch, worker: WorkerIdentity, results: list[ProbeResult]) -> list[Fate]:
    """Store results. If the database refuses some of them, store all others.

    ``worker`` is the worker that sent them.

    Returns:
        What happened to each result, in the order of ``results``: "unfit" if the database refused
        it, else a value such as "kept".

    Raises:
        StoreError: the store can't be used.
    """
    if not results:
        return []
    try:
        return _store_all(watch, worker, results)
    except (DataError, IntegrityError):  # of one result: halves find it
        if len(results) == 1:
            _give_up(watch, worker, results[0])
            return ["unfit"]
    middle = len(results) // 2
    return _store(watch, worker, results[:middle]) + _store(watch, worker, results[middle:])


def _store_all(watch: Watch, worker: WorkerIdentity, results: list[ProbeResult]) -> list[Fate]:
    now = watch.clock()
    with watch.store.write() as connection:
        leases.lock_jobs(connection)
        holders = leases.job_holders(connection, [result.identity for result in results])
        fates: list[Fate] = []
        for result in results:
            identity = result.identity
            fates.append(_fate(holders.get(identity), worker, result))
            if fates[-1] == "kept":  # another result for the same job is a repeat
                holders[identity] = leases.finished(result.slot)
        fresh = [result for result, fate in zip(results, fates, strict=True) if fate == "kept"]
        record_results(connection, fresh, now)
        done = {result.identity: result.slot for result in fresh}
        leases.finish_jobs(connection, done, int(now.timestamp()))
    return fates


def _fate(holder: str | None, worker: WorkerIdentity, result: ProbeResult) -> Fate:
    # A lease that is over counts as long as no other worker has the job.
    if holder == worker.holder(result.slot):
        return "kept"
    return "repeat" if holder == leases.finished(result.slot) else "not-held"


def _give_up(watch: Watch, worker: WorkerIdentity, result: ProbeResult) -> None:
    """Mark a probe job as done although the database refuses its result.

    No worker gets the job again for ``_UNFIT_PAUSE`` seconds. Otherwise the job would be handed
    out, and its result refused, again and again. Nothing changes if ``worker`` does not hold the
    job any more.
    """
    identity, slot = result.identity, result.slot
    with watch.store.write() as connection:
        leases.lock_jobs(connection)
        holders = leases.job_holders(connection, [identity])
        if holders.get(identity) == worker.holder(slot):
            until = int(watch.clock().timestamp()) + _UNFIT_PAUSE
            leases.finish_jobs(connection, {identity: slot}, until)


def _targets(watch: Watch) -> tuple[Target, ...]:
    sets, settings = watch.pin_files.snapshot().sets, watch.settings.monitor
    return distinct_targets(monitored_policies(sets, settings, watch.clock()))


def _probed(watch: Watch) -> dict[ProbeKey, bool]:
    """Return which probes exist: all pairs of a target and a location that probes it, as keys.

    A result that a worker posts is accepted only for one of these pairs. A target is a host, a port
    and a way to connect. The value of a pair is True if every address of the host is probed
    separately, else False.
    """
    return {
        (*target.key, location): target.every_address
        for target in _targets(watch)
        for location in target.locations
    }


def _fits(result: ProbeResult, probed: Mapping[ProbeKey, bool]) -> bool:
    """Return True if a result is for a monitored target, and has results for the right addresses.

    Any other result is not stored. If every address of the host is probed separately, any addresses
    are right. Otherwise the result must have exactly one entry in ``seen``, and its ``edge`` (the
    address that the probe had to use) must be empty.

    Args:
        result: a result that a worker sent.
        probed: maps each monitored target and location to True if every address is probed
            separately, else to False.
    """
    every = probed.get(result.key)
    return every or (every is not None and [seen.edge for seen in result.seen] == [""])


def _note(worker: WorkerIdentity, results: Sequence[ProbeResult], fates: Sequence[Fate]) -> None:
    """Count stored results in the Prometheus metrics, and log the number of dropped results.

    ``worker`` is the worker that sent them. ``fates`` has what happened to each result, such as
    "kept", in the order of ``results``.
    """
    count_probes(result for result, fate in zip(results, fates, strict=True) if fate == "kept")
    for fate, count in Counter(fates).items():
        if fate not in {"kept", "repeat"}:
            log.warning(
                "%d results of %s, a worker of the location %s, are dropped: %s",
                *(count, worker.token, worker.location, _REASONS[fate]),
            )


_REASONS: dict[Fate, str] = {
    "foreign": "they are for another location than its token",
    "unasked": "this service does not probe those hosts in that way",
    "not-held": "it does not hold those jobs",
    "unfit": "no database takes them",
}
