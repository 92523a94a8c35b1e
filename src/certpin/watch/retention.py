"""Retention: what is past its time is deleted, a little at a time. The table ``[retention]``.

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
from typing import TYPE_CHECKING, Any

from certpin.errors import ConfigError, StoreError
from certpin.watch.access.throttle import FORGOTTEN_AFTER

if TYPE_CHECKING:
    from certpin.pinfile.fields import Table
    from certpin.watch.store import Store
    from certpin.watch.store.leap import Belief
    from certpin.watch.watch import Watch

DAY = 86_400  # seconds
NETWORKS = 2 * DAY  # from where failures were told is asked for today and yesterday alone
ROUND = 3600.0  # seconds between two rounds
PAUSE = 0.05  # seconds after each batch, in which whoever waits can write
_MOST_DAYS = 36_500
_MOST_WAITING = 30  # days that reports may wait in the stream, and still be known if sent again

_LOG = logging.getLogger("certpin.watch")


@dataclass(frozen=True)
class Settings:
    """For how many days each kind is kept.

    ``identities`` are what tells a report that is sent again from a new one: no shorter than
    clients may hold one back. ``sightings`` are those that no longer go on, ``alerts`` those that
    are resolved.
    """

    groups: int = 400
    samples: int = 30
    identities: int = 3
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


class _Work:
    def __init__(self, watch: Watch, stop: asyncio.Event) -> None:
        self._watch = watch
        self._stop = stop
        self._belief: Belief | None = None  # of this process: the disk may be full for days

    async def round(self) -> None:
        """Delete what is past its time or room, unless the clock leapt. Raises ``StoreError``."""
        store, clock = self._watch.store, self._watch.clock
        settings = self._watch.settings.collector
        limits = await asyncio.to_thread(self._limits)
        if limits is None:
            return
        for step in (
            lambda: bool(sweep(store, limits)),
            lambda: bool(make_room(store, settings.budget, settings.most_samples, clock())),
            lambda: give_back(store),
        ):
            while not self._stop.is_set() and await asyncio.to_thread(step):
                await _wait(self._stop, PAUSE)

    def _limits(self) -> dict[str, int] | None:
        from certpin.watch.facts.queue import queue
        from certpin.watch.store import leap

        now = self._watch.clock()
        mine = self._belief
        if mine is not None:
            self._belief = leap.judge(mine, int(now.timestamp()))
        with self._watch.store.write() as connection:
            self._belief = leap.believe(connection, mine, int(now.timestamp()))
            waiting = queue(connection, now)
        if (until := self._belief.held_until) is not None:
            _LOG.warning(_LEAPT, _day_of(self._belief.at), _day_of(until))
            return None
        waits = waiting.waits(now) if waiting else timedelta(0)
        limits = cutoffs(self._watch.settings.retention, now, waits)
        return limits | {"identities": max(limits["identities"], self._newest())}

    def _newest(self) -> int:
        """Of identities the newest alone are kept, where there are too many.

        Whoever sends very much makes the time shorter in which a repeat is known.
        """
        from certpin.watch.store.relief import newest_identities

        with self._watch.store.read() as connection:
            return newest_identities(connection, self._watch.settings.collector.most_identities)


_LEAPT = (
    "the clock leapt ahead since %s, or nobody watched since: nothing is deleted before %s. "
    "If the clock is wrong, put it right before then"
)


def _day_of(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


def sweep(store: Store, limits: dict[str, int]) -> int:
    """Delete one batch of each kind; how many rows. 0: nothing is left to do.

    Raises ``StoreError``.
    """
    from certpin.watch.store import sweeping

    steps: list[Any] = [*sweeping.rules(limits), sweeping.remove_chains]
    deleted = 0
    for step in steps:
        with store.write() as connection:  # one short transaction each
            deleted += step(connection)
    return deleted


def make_room(store: Store, budget: int, samples: int, now: datetime) -> int:
    """Delete a batch of what strangers had kept, where few bytes or samples are left; how many.

    Raises ``StoreError``.
    """
    from certpin.watch.store.relief import relieve, thin

    at = int(now.timestamp())
    with store.write() as connection:
        return relieve(connection, budget, at) or thin(connection, samples, at)


def give_back(store: Store) -> bool:
    """Give some free pages of an SQLite file back to the disk; whether there may be more.

    Raises ``StoreError``.
    """
    from certpin.watch.store import sweeping

    if not store.is_sqlite:
        return False
    with store.write() as connection:
        return sweeping.shrink(connection)
