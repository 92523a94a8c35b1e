"""Schedule probes, and run those of this service's own location.

Every target has its own moment in every interval, and is probed again sooner after a change.
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
from typing import TYPE_CHECKING
from uuid import uuid4

from certpin.errors import StoreError
from certpin_watch import telemetry
from certpin_watch.counters import COUNTERS
from certpin_watch.monitor.debounce import CONFIRMED
from certpin_watch.monitor.probing import Prober
from certpin_watch.monitor.results import Job
from certpin_watch.monitor.sightings import asking, end_others, keep_results, known
from certpin_watch.monitor.targets import charges, targets_of
from certpin_watch.store import leases

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from sqlalchemy import Connection

    from certpin_watch.monitor.results import Result
    from certpin_watch.monitor.settings import Settings
    from certpin_watch.monitor.sightings import Key, Known
    from certpin_watch.monitor.targets import Charge, Target
    from certpin_watch.snapshot import Watch
    from certpin_watch.store.leases import Lease


_WOBBLE = 10  # a moment moves by up to a tenth of the interval, or it would meet the same cron job


@dataclass(frozen=True, slots=True)
class Due:
    """A target that has to be asked from a vantage, for the moment ``slot``."""

    target: Target
    vantage: str
    slot: int

    @property
    def key(self) -> Key:
        """What it is known by."""
        return *self.target.key, self.vantage


def due(
    targets: Iterable[Target], known: Mapping[Key, Known], settings: Settings, now: int
) -> Iterator[Due]:
    """Whom to ask now, and for which moment. A target that nobody has asked yet is due at once."""
    for target in targets:
        for vantage in target.vantages:
            key = (*target.key, vantage)
            slot = slot_of(key, known.get(key), settings, now)
            if slot is not None:
                yield Due(target, vantage, slot)


def slot_of(key: Key, last: Known | None, settings: Settings, now: int) -> int | None:
    """The moment that is due, or ``None``. Never later than ``now``.

    A moment that was asked for in the future is of a clock that was set back: it does not count.
    """
    interval = int(settings.interval.total_seconds())
    regular = _regular(key, interval, now)
    if last is None or max(last.slot, last.at) > now:
        return regular
    sooner = last.at + _pause(last, int(settings.confirm.total_seconds()), interval)
    slots = [slot for slot in (regular, sooner) if last.slot < slot <= now]
    return max(slots, default=None)


def _regular(key: Key, interval: int, now: int) -> int:
    """The last of its own moments that has come: one an interval, each moved a little."""
    offset = _hash(key, "offset") % interval
    number = (now - offset) // interval
    moment = _moment(key, number, offset, interval)
    return moment if moment <= now else _moment(key, number - 1, offset, interval)


def _moment(key: Key, number: int, offset: int, interval: int) -> int:
    wobble = _hash(key, number) % max(interval // _WOBBLE, 1)
    return number * interval + offset + wobble


def _pause(last: Known, confirm: int, interval: int) -> int:
    """How long after a probe the next follows at the latest.

    What has just changed is looked at again before anybody is told. Who goes on changing, or does
    not answer, is asked again after 1, 2, 4, 8 … times as long, and in the end with the others.
    """
    if last.count >= CONFIRMED and not last.unreachable:
        return 2 * interval
    times = last.changes + (last.count - 1 if last.unreachable else 0)
    return min(confirm << min(times, 20), interval)


def _hash(key: Key, what: object) -> int:
    """The same in every process, unlike ``hash()``."""
    text = "\n".join(map(str, (*key, what)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


def job_of(due: Due, settings: Settings) -> Job:
    """All that has to be known to ask it, by whoever asks."""
    target = due.target
    return Job(
        host=target.host,
        port=target.port,
        way=target.way,
        vantage=due.vantage,
        slot=due.slot,
        connect=target.connect,
        starttls=target.starttls,
        every_address=target.every_address,
        anchors=target.trust.der if target.trust else None,
        strict=target.trust.strict if target.trust else None,
        timeout=settings.timeout.total_seconds(),
    )


log = logging.getLogger("certpin.watch.monitor")

LEASE = "monitor"
_AT_ONCE = 500  # results in one transaction
_HOLD = 2.0  # seconds that a result waits for others
_LEAST_LEASE = 60  # seconds


class LostLeaseError(Exception):
    """Another process asks by now."""


class Rounds:
    """For one thread. ``halt`` ends a round soon; what is stored by then is stored."""

    def __init__(self, watch: Watch, halt: threading.Event) -> None:
        self._watch = watch
        self._settings = watch.settings.monitor
        self._halt = halt
        self._prober = Prober(self._settings.window, self._seconds, halt.is_set)
        self._holder = f"{socket.gethostname()}/{os.getpid()}/{uuid4().hex[:12]}"
        # Between two results lie two attempts and a pause at most.
        self._lease_for = max(_LEAST_LEASE, int(6 * self._settings.timeout.total_seconds()))
        self._lease: Lease | None = None

    def go(self) -> int:
        """Probe from this service's own location, if it is this process's turn.

        Returns how many results it stored. Raises ``StoreError``.
        """
        watch, settings = self._watch, self._settings
        snapshot = watch.watched.snapshot()
        found = charges(snapshot.sets, settings, watch.clock())
        targets = targets_of(found)
        vantages = {vantage for target in targets for vantage in target.vantages}
        with watch.store.write() as connection:
            self._lease = leases.take(connection, LEASE, self._holder, self._now(), self._lease_for)
            if self._lease is None:
                return 0
            gap = int(settings.silent_after * settings.interval.total_seconds())
            asking(connection, vantages, watch.clock(), gap)
            if not snapshot.problems:  # with an unreadable pin file it is not known what is probed
                end_others(connection, _places(found))
        with watch.store.read() as connection:
            own = [
                replace(each, vantages=(settings.vantage,))
                for each in targets
                if settings.vantage in each.vantages
            ]
            seen = known(connection, settings.vantage)
            planned = list(due(own, seen, settings, self._now()))
        return self._round(planned)

    def let_go(self) -> None:
        """Leave it to others at once. Raises ``StoreError``."""
        lease, self._lease = self._lease, None
        if lease is not None:
            with self._watch.store.write() as connection:
                leases.release(connection, lease)

    def _round(self, planned: list[Due]) -> int:
        try:
            return self._ask([job_of(each, self._settings) for each in planned])
        except LostLeaseError:
            log.warning("another process asks the hosts by now: what was seen here is dropped")
            return 0

    def _ask(self, jobs: list[Job]) -> int:
        if not jobs:
            return 0
        with telemetry.span("certpin.probes", vantage=self._settings.vantage) as note:
            note(batch_size=len(jobs))
            return self._ask_each(jobs)

    def _ask_each(self, jobs: list[Job]) -> int:
        batch: list[Result] = []
        kept, begun = 0, time.monotonic()
        for result in self._prober.ask(jobs):
            batch.append(result)
            if len(batch) >= _AT_ONCE or time.monotonic() - begun > _HOLD:
                kept += self._keep(batch)
                batch, begun = [], time.monotonic()
        return kept + (self._keep(batch) if batch else 0)

    def _keep(self, batch: list[Result]) -> int:
        with self._watch.store.write() as connection:
            self._renew(connection)
            kept = keep_results(connection, batch, self._watch.clock())
        for seen in (seen for result in batch for seen in result.seen):
            COUNTERS.probed(seen.outcome, seen.took / 1_000_000)
        return kept

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


def _places(found: Iterable[Charge]) -> set[Key]:
    """Return every target with every location that probes it."""
    targets = (target for charge in found for target in charge.targets)
    return {(*target.key, vantage) for target in targets for vantage in target.vantages}


LOOK = 5.0  # seconds between two looks at who is due, at most
_AWAY = 5.0  # seconds until the store is asked again


async def run(watch: Watch, stop: asyncio.Event) -> None:
    """Ask who is due until ``stop`` is set. Ends soon then, and leaves nothing half done."""
    settings = watch.settings.monitor
    if not settings.enabled:
        await stop.wait()
        return
    await _rounds(watch, stop)


async def _rounds(watch: Watch, stop: asyncio.Event) -> None:
    halt = threading.Event()
    rounds = Rounds(watch, halt)
    pause = min(LOOK, watch.settings.monitor.confirm.total_seconds())
    asking = asyncio.create_task(_halt_with(stop, halt))
    try:
        while not stop.is_set():
            done = await asyncio.to_thread(_one, rounds)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _AWAY if done is None else pause)
    finally:
        halt.set()
        asking.cancel()
        with suppress(StoreError):  # it ends by itself
            await asyncio.to_thread(rounds.let_go)


def _one(rounds: Rounds) -> int | None:
    """A round, or ``None`` where the store is away: what was seen meanwhile is asked anew."""
    try:
        return rounds.go()
    except StoreError as exc:
        log.warning("nothing can be stored: %s", exc.problem)
        return None


async def _halt_with(stop: asyncio.Event, halt: threading.Event) -> None:
    await stop.wait()
    halt.set()


def locations(settings: Settings) -> frozenset[str]:
    """Every location that a host is probed from, this service's own included."""
    return frozenset(settings.vantages).union(*(each.vantages for each in settings.hosts))


def without_workers(settings: Settings, known: Collection[str]) -> list[str]:
    """The locations for which no worker has a valid token: ``known`` are those that one has."""
    if not settings.enabled:
        return []
    return sorted(locations(settings) - set(known) - {settings.vantage})
