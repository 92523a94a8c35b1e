"""The monitor as a part of ``certpin serve``: rounds of probes in a thread.

Other locations are probed by workers, which ask the API for jobs (``handout``).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from certpin.errors import StoreError
from certpin_watch.monitor.rounds import Rounds
from certpin_watch.queries.freshness import workers

if TYPE_CHECKING:
    from certpin_watch.monitor.settings import Settings
    from certpin_watch.watch import Watch

log = logging.getLogger("certpin.watch.monitor")

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


def without_workers(watch: Watch) -> list[str]:
    """The locations for which no worker has a valid token. Raises ``StoreError``."""
    settings = watch.settings.monitor
    if not settings.enabled:
        return []
    with watch.store.read() as connection:
        known = {each.vantage for each in workers(connection, watch.clock())}
    return sorted(locations(settings) - known - {settings.vantage})
