"""Retention: what is past its time is deleted, a little at a time. The table ``[retention]``.

Each kind of row is deleted by itself, in batches that are committed one by one. If a batch takes
longer than the database allows, the next one is smaller; if a kind fails, the others go on, and the
store, the log and the pages say so (``store/sweeps.py``).

What is deleted is gone: SQLite overwrites it (``secure_delete``), and pages that became free are
given back to the disk. PostgreSQL's autovacuum does that by itself.

Chains and certificates go when nothing names them any more. So whoever names a chain either inserts
it in the same transaction (``ON CONFLICT DO NOTHING``), or has done so within the last twelve
hours: the row that named it then is kept for a day at least, and the chain with it. What nobody
but clients has met may go sooner, where the budget for it is nearly used up (``store/relief.py``).

Where the clock leapt ahead, nothing is deleted for a day (``store/leap``).
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from certpin.errors import ConfigError, StoreError
from certpin_watch.auth.throttle import FORGOTTEN_AFTER

if TYPE_CHECKING:
    from certpin.pinfile.fields import Table
    from certpin_watch.settings import ServiceSettings
    from certpin_watch.snapshot import Watch
    from certpin_watch.store.leap import Belief
    from certpin_watch.store.sweeping import Step

DAY = 86_400  # seconds
NETWORKS = 2 * DAY  # from where failures were told is asked for today and yesterday alone
ROUND = 3600.0  # seconds between two rounds
PAUSE = 0.05  # seconds after each batch, in which whoever waits can write
_SMALLER = 8  # times smaller is the next batch if one took longer than the database allows
_MOST_DAYS = 36_500
_MOST_WAITING = 30  # days that reports may wait in the stream, and still be known if sent again

_LOG = logging.getLogger("certpin.watch")


@dataclass(frozen=True)
class Settings:
    """For how many days each kind is kept.

    ``identities`` are what tells a report that is sent again from a new one: longer than clients
    hold one back (``[collector] client_days``). ``sightings`` are those that no longer go on,
    ``alerts`` those that are resolved.
    """

    groups: int = 400
    samples: int = 30
    identities: int = 8
    presences: int = 400
    sightings: int = 400
    alerts: int = 400
    audit: int = 400


KNOWN = tuple(sorted(field.name for field in fields(Settings)))


def read(table: Table) -> Settings:
    """Read the table. Raises ``ConfigError``."""
    return Settings(**{name: _days(table, name) for name in KNOWN if name in table.data})


def _days(table: Table, name: str) -> int:
    days = table.integer(name)
    if not 1 <= days <= _MOST_DAYS:
        raise ConfigError(
            f"{days} is not right", key=table.under(name), fix=f"1 to {_MOST_DAYS} days"
        )
    return days


def cutoffs(settings: Settings, now: datetime, waits: timedelta = timedelta(0)) -> dict[str, int]:
    """Of each kind, the moment before which nothing is kept. Pure.

    ``waits`` is for how long reports wait to be counted. Each of them may be there twice, so that
    what tells repeats is kept for as much longer.
    """
    at = int(now.timestamp())
    found = {name: max(0, at - getattr(settings, name) * DAY) for name in KNOWN}
    longer = min(int(waits.total_seconds()), _MOST_WAITING * DAY)
    found["identities"] = max(0, found["identities"] - longer)
    return found | {"guesses": max(0, at - int(FORGOTTEN_AFTER)), "networks": max(0, at - NETWORKS)}


async def run(watch: Watch, stop: asyncio.Event) -> None:
    """Delete once an hour what is past its time, until ``stop`` is set.

    Where the database is away, the next round does it. Several processes may do it at once.
    """
    work = _Work(watch, stop)
    while not stop.is_set():
        try:
            await work.round()
        except StoreError as exc:
            _LOG.warning("nothing was deleted by retention: %s", exc.problem)
        await _wait(stop, ROUND)


def kinds(
    settings: ServiceSettings, limits: dict[str, int], now: int, waits: int, *, is_sqlite: bool
) -> dict[str, Step]:
    """Return the steps of each kind: of each table, and of what else is bounded.

    Args:
        settings: those of the service.
        limits: the cut-offs of each kind (``cutoffs``).
        now: seconds since 1970.
        waits: seconds for which reports wait in a queue before they are stored.
        is_sqlite: whether the store is an SQLite file.
    """
    from certpin_watch.store import identities, partitions, relief, sweeping

    collector, past = settings.collector, limits["identities"]
    found: dict[str, Step] = {
        "identity_hours": identities.HourCount(past, now, waits),
        "report_identities": lambda connection, batch: identities.delete_past(
            connection, past, collector.most_identities, now, batch
        ),
        **sweeping.steps(limits),
        "budget": lambda connection, batch: relief.relieve(
            connection, collector.budget, now, batch
        ),
        "most_samples": lambda connection, batch: relief.thin(
            connection, collector.most_samples, now, batch
        ),
    }
    if is_sqlite:
        return found | {"file": sweeping.shrink}
    return found | {
        "partitions": lambda connection, _: partitions.make_next(connection, now),
        "old_partitions": lambda connection, _: identities.drop_past(
            connection, past, collector.most_identities, now
        ),
    }


@dataclass
class _Kind:
    """A kind in a round. ``batch`` is how many rows it deletes at once, fewer if that is slow."""

    name: str
    step: Step
    batch: int


class _Work:
    def __init__(self, watch: Watch, stop: asyncio.Event) -> None:
        self._watch = watch
        self._stop = stop
        self._belief: Belief | None = None  # of this process: the disk may be full for days

    async def round(self) -> None:
        """Delete expired and excess rows, unless the clock leapt.

        Raises ``StoreError`` if the store is away.
        """
        left = await asyncio.to_thread(self._kinds)
        while left and not self._stop.is_set():
            # In turns: none waits until another has deleted millions of rows.
            for kind in left[:]:
                if self._stop.is_set():
                    return
                if not await asyncio.to_thread(self._delete, kind):
                    left.remove(kind)
                await _wait(self._stop, PAUSE)
        await asyncio.to_thread(self._report_window)

    def _kinds(self) -> list[_Kind]:
        """Return the kinds to delete from; none while the clock is not believed."""
        from certpin_watch.store import leap
        from certpin_watch.store.queries.capacity import report_queue
        from certpin_watch.store.sweeping import BATCH

        store, settings, now = self._watch.store, self._watch.settings, self._watch.clock()
        at, mine = int(now.timestamp()), self._belief
        if mine is not None:
            self._belief = leap.judge(mine, at)
        with store.write() as connection:
            self._belief = leap.believe(connection, mine, at)
            waiting = report_queue(connection, now)
        if (until := self._belief.held_until) is not None:
            _LOG.warning(_LEAPT, _day_of(self._belief.at), _day_of(until))
            return []
        waits = waiting.waits(now) if waiting else timedelta(0)
        limits = cutoffs(settings.retention, now, waits)
        longest = min(int(waits.total_seconds()), _MOST_WAITING * DAY)
        found = kinds(settings, limits, at, longest, is_sqlite=store.is_sqlite)
        return [_Kind(name, step, BATCH) for name, step in found.items()]

    def _delete(self, kind: _Kind) -> bool:
        """Delete a batch. Return True if more may be left.

        Raises ``StoreError`` if the store is away.
        """
        from sqlalchemy.exc import SQLAlchemyError

        from certpin_watch.store import sweeps
        from certpin_watch.store.failures import REASONS

        store, now = self._watch.store, int(self._watch.clock().timestamp())
        try:
            with store.write() as connection:
                if kind.step(connection, kind.batch):
                    return True
                sweeps.note(connection, kind.name, now)
        except (StoreError, SQLAlchemyError) as exc:
            reason = getattr(exc, "reason", "failed")
            if reason == "away":
                raise
            if reason == "busy" and kind.batch > 1:
                kind.batch = max(1, kind.batch // _SMALLER)
                return True
            _LOG.warning("retention of %s failed: %s", kind.name, REASONS[reason][0])
            with store.write() as connection:
                sweeps.note(connection, kind.name, now, reason)
        return False

    def _report_window(self) -> None:
        """Warn if repeats are recognised for a shorter time than clients send them."""
        from certpin_watch.store.queries.capacity import repeat_window

        bounds = self._watch.settings.thresholds.intake
        with self._watch.store.read() as connection:
            found = repeat_window(connection, self._watch.clock(), bounds)
        if found.problem:
            _LOG.warning("%s", found.problem)


_LEAPT = (
    "the clock leapt ahead since %s, or nobody watched since: nothing is deleted before %s. "
    "If the clock is wrong, put it right before then"
)


def _day_of(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
