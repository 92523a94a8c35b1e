"""Batches into the store, each in one transaction; for the intake and for the writer alike."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from certpin.errors import CertpinError, StoreError
from certpin_watch import telemetry
from certpin_watch.collector.counting import Counted, Rules, count
from certpin_watch.collector.grouping import Room
from certpin_watch.collector.known import Known
from certpin_watch.collector.presences import Space, space_of
from certpin_watch.collector.refusals import NotDurableError
from certpin_watch.counters import COUNTERS
from certpin_watch.snapshot import Patterns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin_watch.collector.received import Received
    from certpin_watch.snapshot import Watch

_SETS_KEPT = 1.0  # seconds

_log = logging.getLogger("certpin.watch.collector")


class Committer:
    """Counts batches, and knows what it has seen. For one thread at a time.

    With ``drop``, a report that the database does not take is given up: whoever sent it is gone.
    """

    def __init__(self, watch: Watch, *, drop: bool = False) -> None:
        self._drop = drop
        self._store = watch.store
        self._watched = watch.watched
        self._settings = watch.settings.collector
        self._patterns = Patterns(named=watch.settings.monitor.named)
        self._space = Space()
        self._looked_at = -_SETS_KEPT
        self._known = Known()
        self._failing = False

    def commit(self, batch: Sequence[Received]) -> None:
        """Count it, durably. Raises ``NotDurableError``: nothing of it is counted then, or all."""
        start = time.perf_counter()
        try:
            counted = self._count(batch)
        except DataError:
            self._apart(batch)
            return
        except (CertpinError, SQLAlchemyError) as exc:
            self._tell(exc)
            # An IntegrityError, too, is the store's fault: no report has a value of that kind, and
            # tables of another version ask for one.
            refused = isinstance(exc, IntegrityError) or getattr(exc, "reason", "") == "failed"
            raise NotDurableError(
                "the store of the watch is away or full", refused=refused
            ) from exc
        self._learn(counted)
        COUNTERS.stored(counted.reports + counted.repeats, time.perf_counter() - start)

    def _count(self, batch: Sequence[Received]) -> Counted:
        settings = self._settings
        self._renew_sets()
        room = Room(
            settings.groups_per_hour,
            settings.chains_per_hour,
            self._patterns.share,
            settings.groups_per_day,
            settings.budget,
        )
        rules = Rules(room, settings.samples, settings.most_samples, self._space)
        with (
            telemetry.span("certpin.batch", batch_size=len(batch)),
            self._store.write() as connection,
        ):
            return count(connection, batch, rules, self._known)

    def _renew_sets(self) -> None:
        """See which pin sets are watched, once a second and not for each batch."""
        now = time.monotonic()
        if now - self._looked_at < _SETS_KEPT:
            return
        self._looked_at = now
        sets = self._watched.snapshot().sets
        self._patterns = self._patterns.renewed(sets)
        self._space = space_of(sets, self._settings.presences_per_day)

    def _learn(self, counted: Counted) -> None:
        self._known.learn(counted.hours)
        if self._failing:
            self._failing = False
            _log.info("the store takes reports again")
        COUNTERS.reported("counted", counted.reports)
        COUNTERS.reported("repeat", counted.repeats)
        COUNTERS.reported("folded", counted.folded)

    def _tell(self, exc: Exception) -> None:
        """Once, and not for each batch. A database's own words may have a password in them."""
        if not self._failing:
            self._failing = True
            reason = exc.reason if isinstance(exc, StoreError) else type(exc).__name__
            _log.warning("reports wait, because the store fails: %s", reason)

    def _apart(self, batch: Sequence[Received]) -> None:
        """A value that the database does not take must not stand in the way of all the others."""
        if len(batch) == 1:
            COUNTERS.reported("poisoned", 1)
            if self._drop:
                _log.error("the store does not take a report: it is given up")
                return
            raise NotDurableError("the store does not take this report", 3600)
        failure: NotDurableError | None = None
        for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
            try:
                self.commit(half)
            except NotDurableError as exc:
                failure = exc
        if failure is not None:
            raise failure
