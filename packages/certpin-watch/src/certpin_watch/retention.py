"""The background task that deletes expired rows once an hour (``store.retention`` has the SQL).

The rows of each kind (reports, alerts, …) are deleted in batches, each in a separate transaction.
If a batch takes longer than the database allows, the next batch is smaller. If the deletion of one
kind fails, the other kinds are still deleted; the failure is stored, logged and shown on pages.

If the clock jumped ahead, nothing is deleted for a day (``check_clock``), because rows would
wrongly seem to be expired.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from certpin.errors import StoreError
from certpin_watch.context import pause
from certpin_watch.store.engine import REASONS
from certpin_watch.store.queries.capacity import repeat_window, report_queue
from certpin_watch.store.quota import BATCH
from certpin_watch.store.retention import check_clock, next_state, record_sweep, retention_steps

if TYPE_CHECKING:
    from certpin_watch.context import Watch
    from certpin_watch.store.retention import ClockState, Step

ROUND = 3600.0  # seconds between two rounds
PAUSE = 0.05  # seconds after each batch, in which other writers get their turn
_BATCH_DIVISOR = 8  # the next batch is this many times smaller if one took too long

_LOG = logging.getLogger("certpin.watch")


async def run(watch: Watch, stop: asyncio.Event) -> None:
    """Delete expired rows once an hour until ``stop`` is set.

    If the database is unavailable, deletion is tried again an hour later. Several processes may run
    this at the same time.
    """
    task = RetentionTask(watch, stop)
    while not stop.is_set():
        try:
            await task.round()
        except StoreError as exc:
            _LOG.warning("nothing was deleted by retention: %s", exc.problem)
        await pause(stop, ROUND)


@dataclass
class _Kind:
    """A kind of database row, such as reports or alerts, that this round has not finished yet.

    Attributes:
        name: the name of the kind.
        step: the function that deletes one batch of these rows.
        batch: the maximum number of rows in a batch.
    """

    name: str
    step: Step
    batch: int


class RetentionTask:
    """Deletes expired rows of the database, in one round an hour. A process has one instance.

    Args:
        watch: the settings, the store and the clock.
        stop: an event that ends a round early.
    """

    def __init__(self, watch: Watch, stop: asyncio.Event) -> None:
        self._watch = watch
        self._stop = stop
        # Also kept here, because the store may be unable to save it for days (a full disk).
        self._clock_state: ClockState | None = None

    async def round(self) -> None:
        """Delete expired rows of all kinds, and surplus rows of kinds with a maximum number.

        If the clock jumped ahead, nothing is deleted.

        Raises:
            StoreError: the store is unavailable.
        """
        left = await asyncio.to_thread(self._kinds)
        while left and not self._stop.is_set():
            # In turns, so that no kind waits until another has deleted millions of rows.
            for kind in left[:]:
                if self._stop.is_set():
                    return
                if not await asyncio.to_thread(self._delete, kind):
                    left.remove(kind)
                await pause(self._stop, PAUSE)
        await asyncio.to_thread(self._warn_of_short_window)

    def _kinds(self) -> list[_Kind]:
        """Return the kinds of rows to delete in this round.

        The list is empty if the clock jumped ahead, because rows would then seem to be expired.
        """
        store, settings, now = self._watch.store, self._watch.settings, self._watch.clock()
        at, previous = int(now.timestamp()), self._clock_state
        if previous is not None:
            self._clock_state = next_state(previous, at)
        with store.write() as connection:
            self._clock_state = check_clock(connection, previous, at)
            waiting = report_queue(connection, now)
        if (until := self._clock_state.held_until) is not None:
            _LOG.warning(_CLOCK_JUMPED, _minute(self._clock_state.at), _minute(until))
            return []
        delay = waiting.waits(now) if waiting else timedelta(0)
        limits = settings.collector
        steps = retention_steps(settings.retention, limits, now, delay, is_sqlite=store.is_sqlite)
        return [_Kind(name, step, BATCH) for name, step in steps.items()]

    def _delete(self, kind: _Kind) -> bool:
        """Delete one batch of rows of a kind. Return True if more rows are possibly left.

        If the database is too busy, the next batch is smaller. Any other failure of this kind is
        stored and logged, and the result is False.

        Raises:
            StoreError: the store is unavailable.
        """
        store, now = self._watch.store, int(self._watch.clock().timestamp())
        try:
            with store.write() as connection:
                if kind.step(connection, kind.batch):
                    return True
                record_sweep(connection, kind.name, now)
        except (StoreError, SQLAlchemyError) as exc:
            reason = getattr(exc, "reason", "failed")
            if reason == "away":
                raise
            if reason == "busy" and kind.batch > 1:
                kind.batch = max(1, kind.batch // _BATCH_DIVISOR)
                return True
            _LOG.warning("retention of %s failed: %s", kind.name, REASONS[reason][0])
            with store.write() as connection:
                record_sweep(connection, kind.name, now, reason)
        return False

    def _warn_of_short_window(self) -> None:
        """Log a warning if clients could send a report again after its identity was deleted.

        An identity is the stored digest that recognises a repeated report. Without it, the report
        would be counted twice.
        """
        thresholds = self._watch.settings.thresholds
        with self._watch.store.read() as connection:
            found = repeat_window(connection, self._watch.clock(), thresholds)
        if found.problem:
            _LOG.warning("%s", found.problem)


_CLOCK_JUMPED = (
    "the clock jumped ahead since %s, or the service did not run: nothing is deleted before %s. "
    "If the clock is wrong, correct it before then"
)


def _minute(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
