"""Decide when each target is probed, and run the probes from this service's own location.

Every target is probed once in each interval, and sooner after a change. The planned time of a probe
is its *slot*. The regular slots of different targets are spread over the interval. At other
locations, workers run the probes: they get their jobs through ``handout``.

Several processes of the service can share a store, but only one of them probes: the one that has
the *lease*, which is a row in the store.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from certpin.errors import StoreError
from certpin_watch import telemetry
from certpin_watch.context import pause
from certpin_watch.monitor.probing import Prober, count_probes
from certpin_watch.monitor.results import ProbeJob
from certpin_watch.monitor.sightings import CONFIRMED, last_probes, record_results
from certpin_watch.monitor.targets import distinct_targets, monitored_policies
from certpin_watch.store import leases, probes
from certpin_watch.store.instances import Deference, InstanceFiles, compare_files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from sqlalchemy import Connection

    from certpin_watch.context import Watch
    from certpin_watch.monitor.results import ProbeResult
    from certpin_watch.monitor.sightings import LastProbe
    from certpin_watch.monitor.targets import MonitoredPolicy, Target
    from certpin_watch.settings import MonitorSettings
    from certpin_watch.store.leases import HeldLease
    from certpin_watch.store.probes import ProbeKey

log = logging.getLogger("certpin.watch.monitor")

MAX_PAUSE = 5.0  # seconds between two rounds, at most
_STORE_PAUSE = 5.0  # seconds until the next round if the store is unreachable
_LEASE = "monitor"
_MIN_LEASE = 60  # seconds
_MAX_BATCH = 500  # results in one transaction
_MAX_WAIT = 2.0  # seconds that a result waits for others
_JITTER = 10  # a slot moves by up to a tenth of the interval, or it could always meet a cron job


async def run(watch: Watch, stop: asyncio.Event) -> None:
    """Probe all targets that are due from this machine, again and again, until ``stop`` is set.

    The probes run in a thread. When ``stop`` is set, unfinished probes end soon. If the settings
    disable the monitor, this only waits for ``stop``.

    Args:
        watch: the settings, the store, the pin files and the clock.
        stop: ends the probing.
    """
    settings = watch.settings.monitor
    if not settings.enabled:
        await stop.wait()
        return
    halt = threading.Event()
    scheduler = Scheduler(watch, halt)
    seconds = min(MAX_PAUSE, settings.confirm.total_seconds())
    halting = asyncio.create_task(_halt_at(stop, halt))
    try:
        while not stop.is_set():
            stored = await asyncio.to_thread(_try_round, scheduler)
            await pause(stop, _STORE_PAUSE if stored is None else seconds)
    finally:
        halt.set()
        halting.cancel()
        with suppress(StoreError):  # the lease expires anyway
            await asyncio.to_thread(scheduler.release)


async def _halt_at(stop: asyncio.Event, halt: threading.Event) -> None:
    await stop.wait()
    halt.set()


def _try_round(scheduler: Scheduler) -> int | None:
    """Run one round: probe the targets that are due, and return the number of stored results.

    ``scheduler`` runs the probes. If the store can't be used, log that and return None. The targets
    are then probed in a later round.
    """
    try:
        return scheduler.run_round()
    except StoreError as exc:
        log.warning("nothing can be stored: %s", exc.problem)
        return None


class LostLeaseError(Exception):
    """The process lost the lease, which is the right to probe, so it must not store results.

    The round of probes ends, and its remaining results are dropped.
    """


class Scheduler:
    """Runs rounds of probes from this service's own location. Not thread-safe.

    A lease ensures that one process at a time probes. Each transaction that stores results also
    renews the lease, and fails if the process has lost it, so that nothing is stored then.

    Args:
        watch: settings, store, pin files and clock.
        halt: set it to end a round soon. Results that were stored before are kept.
    """

    def __init__(self, watch: Watch, halt: threading.Event) -> None:
        self._watch = watch
        self._settings = watch.settings.monitor
        self._prober = Prober(self._settings.window, self._seconds, halt.is_set)
        self._holder = f"{socket.gethostname()}/{os.getpid()}/{uuid4().hex[:12]}"
        self._lease_for = _lease_seconds(self._settings)
        self._lease: HeldLease | None = None
        self._deference = Deference(self._lease_for)

    def run_round(self) -> int:
        """Probe the targets that are due, if this process gets the lease, the right to probe.

        Returns:
            The number of stored results. It is 0 if another process has the lease, or if this
            process leaves the lease to one with newer pin files (``Deference``). It is also 0 if
            another process takes the lease during the round.

        Raises:
            StoreError: the store can't be used.
        """
        watch, settings = self._watch, self._settings
        snapshot = watch.pin_files.snapshot()
        policies = monitored_policies(snapshot.sets, settings, watch.clock())
        targets = distinct_targets(policies)
        with watch.store.write() as connection:
            mine = InstanceFiles.of(watch.process, watch.settings, snapshot.sets)
            files = compare_files(connection, mine, self._now())
            if not self._deference.may_hold(self._now(), is_outdated=files.is_outdated):
                self._give_lease_back(connection)
                return 0
            self._lease = leases.take(
                connection, _LEASE, self._holder, self._now(), self._lease_for
            )
            if self._lease is None:
                return 0
            locations = {location for target in targets for location in target.locations}
            max_gap = int(settings.silent_after * settings.interval.total_seconds())
            probes.note_scheduled(connection, locations, watch.clock(), max_gap)
            probed, current = _probe_keys(policies), probes.current_sightings(connection)
            awaited = probed
            if snapshot.problems or files.differences:
                # The targets of an unreadable pin file are not known, nor those that only another
                # instance knows.
                awaited = probed | probes.awaited_since(connection).keys()
            else:
                probes.end_other_sightings(connection, current, probed)
            probes.note_awaited(connection, awaited - set(current.values()), watch.clock())
        with watch.store.read() as connection:
            own = targets_at(targets, settings.location)
            last = last_probes(connection, settings.location)
            planned = list(due_probes(own, last, settings, self._now()))
        try:
            return self._probe([make_job(probe, settings) for probe in planned])
        except LostLeaseError:
            log.warning("another process probes the hosts now: results of this one are dropped")
            return 0

    def release(self) -> None:
        """Release the lease, the right to probe, so that another process takes it at once.

        Raises:
            StoreError: the store can't be used. The lease then ends by itself.
        """
        if self._lease is not None:
            with self._watch.store.write() as connection:
                self._give_lease_back(connection)

    def _give_lease_back(self, connection: Connection) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            leases.release(connection, lease)

    def _probe(self, jobs: list[ProbeJob]) -> int:
        if not jobs:
            return 0
        batch: list[ProbeResult] = []
        stored, begun = 0, time.monotonic()
        with telemetry.span("certpin.probes", vantage=self._settings.location) as note:
            note(batch_size=len(jobs))
            for result in self._prober.probe(jobs):
                batch.append(result)
                if len(batch) >= _MAX_BATCH or time.monotonic() - begun > _MAX_WAIT:
                    stored += self._store(batch)
                    batch, begun = [], time.monotonic()
            return stored + (self._store(batch) if batch else 0)

    def _store(self, batch: list[ProbeResult]) -> int:
        with self._watch.store.write() as connection:
            self._renew(connection)
            stored = record_results(connection, batch, self._watch.clock())
        count_probes(batch)
        return stored

    def _renew(self, connection: Connection) -> None:
        lease = self._lease
        if lease is not None:
            lease = leases.renew(connection, lease, self._now(), self._lease_for)
        self._lease = lease
        if lease is None:
            raise LostLeaseError

    def _seconds(self) -> float:
        return self._watch.clock().timestamp()

    def _now(self) -> int:
        return int(self._seconds())


def first_round(settings: MonitorSettings) -> timedelta:
    """Return how long after the start of a process every target should have been probed.

    Usually that is the interval between two probes of a target, because another process possibly
    has the lease (the right to probe) and probes at its own times. But it is always longer than a
    lease: if a process was killed while it had the lease, no target is probed until the lease ends.
    """
    return max(settings.interval, timedelta(seconds=_lease_seconds(settings) + MAX_PAUSE))


def _lease_seconds(settings: MonitorSettings) -> int:
    # Two attempts and a pause, at most, lie between two results.
    return max(_MIN_LEASE, int(6 * settings.timeout.total_seconds()))


def _probe_keys(policies: Iterable[MonitoredPolicy]) -> set[ProbeKey]:
    targets = (target for policy in policies for target in policy.targets)
    return {(*target.key, location) for target in targets for location in target.locations}


@dataclass(frozen=True, slots=True)
class DueProbe:
    """A probe of a target (a server) that one location has to run now.

    ``slot`` is the planned time of the probe, in Unix seconds.
    """

    target: Target
    location: str
    slot: int


def targets_at(targets: Iterable[Target], location: str) -> list[Target]:
    """Return the targets (servers) that are probed from a location (a machine).

    Each returned target has only this location in ``locations``.
    """
    return [
        replace(target, locations=(location,)) for target in targets if location in target.locations
    ]


def due_probes(
    targets: Iterable[Target],
    last: Mapping[ProbeKey, LastProbe],
    settings: MonitorSettings,
    now: int,
) -> Iterator[DueProbe]:
    """Yield the probes of these targets that are due at ``now``, each with its slot (planned time).

    Two processes with the same arguments plan the same slots. So if both run a probe, its result is
    stored only once. If several slots of a target were missed, only the last one is due.

    Args:
        targets: the targets, with the locations that probe them.
        last: the last probe of each target and location. A target without a probe is due at once.
        settings: the interval, and the pause after a change.
        now: the time in Unix seconds.
    """
    for target in targets:
        for location in target.locations:
            key = (*target.key, location)
            slot = due_slot(key, last.get(key), settings, now)
            if slot is not None:
                yield DueProbe(target, location, slot)


def due_slot(
    key: ProbeKey, last: LastProbe | None, settings: MonitorSettings, now: int
) -> int | None:
    """Return the slot (planned time) of the probe that is due for a target; None if none is due.

    Args:
        key: the target and the location.
        last: the last probe; None if there was none. If it is in the future, it was made before the
            clock was set back, and doesn't count.
        settings: the interval, and the pause after a change.
        now: the time in Unix seconds. The result is not later than this.
    """
    interval = int(settings.interval.total_seconds())
    regular = _regular_slot(key, interval, now)
    if last is None or max(last.slot, last.at) > now:
        return regular
    sooner = last.at + _pause(last, int(settings.confirm.total_seconds()), interval)
    slots = [slot for slot in (regular, sooner) if last.slot < slot <= now]
    return max(slots, default=None)


def _regular_slot(key: ProbeKey, interval: int, now: int) -> int:
    """Return the latest regular probe time of a target that is not after ``now``, in Unix seconds.

    Each interval has one such time, which differs between targets, so that they are not all probed
    at once. ``key`` identifies the target and the location; ``interval`` is in seconds.
    """
    offset = _hash(key, "offset") % interval
    number = (now - offset) // interval
    slot = _slot(key, number, offset, interval)
    return slot if slot <= now else _slot(key, number - 1, offset, interval)


def _slot(key: ProbeKey, number: int, offset: int, interval: int) -> int:
    jitter = _hash(key, number) % max(interval // _JITTER, 1)
    return number * interval + offset + jitter


def _pause(last: LastProbe, confirm: int, interval: int) -> int:
    """Return the seconds from the last probe of a target to an additional, earlier probe.

    After a change, the pause is ``confirm``, so that a second probe soon shows if the change lasts.
    If the target keeps changing, or is unreachable, the pause doubles with each probe, up to
    ``interval``. If the last result is confirmed, the pause is two intervals: then the next regular
    probe comes first.

    Args:
        last: the last probe.
        confirm: the pause after a change, in seconds.
        interval: the regular pause, in seconds.
    """
    if last.count >= CONFIRMED and not last.unreachable:
        return 2 * interval
    times = last.changes + (last.count - 1 if last.unreachable else 0)
    return min(confirm << min(times, 20), interval)


def _hash(key: ProbeKey, purpose: object) -> int:
    """Return a 64-bit hash of a target's key and a purpose, to spread probes over the time.

    It is equal in every process, unlike Python's ``hash()`` of a text, so that all processes plan
    the same times. Pass a different ``purpose`` for each use: then the hashes of one target for
    different uses are independent.
    """
    text = "\n".join(map(str, (*key, purpose)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


def make_job(probe: DueProbe, settings: MonitorSettings) -> ProbeJob:
    """Return the job for a due probe: it has everything that a worker needs to run the probe."""
    target = probe.target
    return ProbeJob(
        host=target.host,
        port=target.port,
        way=target.way,
        location=probe.location,
        slot=probe.slot,
        connect=target.connect,
        starttls=target.starttls,
        every_address=target.every_address,
        anchors=target.trust.der if target.trust else None,
        strict=target.trust.strict if target.trust else None,
        timeout=settings.timeout.total_seconds(),
    )


def all_locations(settings: MonitorSettings) -> frozenset[str]:
    """Return the names of all locations (machines) that probe a host, from the monitor's settings.

    The service's own location is included if it probes.
    """
    return frozenset(settings.locations).union(*(host.locations for host in settings.hosts))


def locations_without_worker(settings: MonitorSettings, known: Collection[str]) -> list[str]:
    """Return the locations that should probe hosts, but for which no worker has a token.

    The result is empty if the monitor is disabled.

    Args:
        settings: the monitor's settings. The service's own location needs no worker.
        known: the locations for which a worker has a valid token.
    """
    if not settings.enabled:
        return []
    return sorted(all_locations(settings) - set(known) - {settings.location})
