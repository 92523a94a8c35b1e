"""The rounds of the monitor: who is due is asked, and what was seen is written down.

One process at a time does it, by a lease. The lease is renewed in the transactions that write:
who has lost it writes nothing.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

from certpin_watch import telemetry
from certpin_watch.metrics.counters import COUNTERS
from certpin_watch.monitor.jobs import job_of
from certpin_watch.monitor.probing import Prober
from certpin_watch.monitor.schedule import due
from certpin_watch.monitor.sightings import asking, end_others, keep_results, known
from certpin_watch.monitor.targets import charges, targets_of
from certpin_watch.store import leases

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from certpin_watch.monitor.schedule import Due, Key
    from certpin_watch.monitor.targets import Charge
    from certpin_watch.monitor.wire import Job, Result
    from certpin_watch.store.leases import Lease
    from certpin_watch.watch import Watch

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
        glance = watch.watched.glance()
        found = charges(glance.sets, settings, watch.clock())
        targets = targets_of(found)
        vantages = {vantage for target in targets for vantage in target.vantages}
        with watch.store.write() as connection:
            self._lease = leases.take(connection, LEASE, self._holder, self._now(), self._lease_for)
            if self._lease is None:
                return 0
            gap = int(settings.silent_after * settings.interval.total_seconds())
            asking(connection, vantages, watch.clock(), gap)
            if not glance.problems:  # with an unreadable pin file it is not known what is probed
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
