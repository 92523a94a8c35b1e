"""The monitor as a part of ``certpin serve``: rounds in a thread, other vantages over JetStream."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from certpin.errors import ConfigError, StoreError
from certpin.watch.monitor.rounds import Round, Rounds

if TYPE_CHECKING:
    from certpin.watch.monitor.desk import Desk
    from certpin.watch.settings import Settings
    from certpin.watch.watch import Watch

log = logging.getLogger("certpin.watch.monitor")

_LOOK = 5.0  # seconds between two looks at who is due, at most
_AWAY = 5.0  # seconds until the store is asked again


async def run(watch: Watch, stop: asyncio.Event) -> None:
    """Ask who is due until ``stop`` is set. Ends soon then, and leaves nothing half done.

    Raises ``ConfigError`` where other vantages have to be asked and nothing leads to them.
    """
    settings = watch.settings.monitor
    if not settings.enabled:
        await stop.wait()
        return
    check_ways(watch.settings)
    if watch.settings.nats is None:
        await _rounds(watch, stop)
        return
    desk = _desk(watch)
    async with asyncio.TaskGroup() as group:
        group.create_task(desk.collect(stop))
        group.create_task(_rounds(watch, stop, desk))


def _desk(watch: Watch) -> Desk:
    try:
        from certpin.watch.monitor.desk import Desk
    except ModuleNotFoundError as exc:
        raise ConfigError(
            f"NATS needs the package {exc.name}", key="nats", fix="pip install 'certpin[cluster]'"
        ) from exc
    return Desk(watch)


async def _rounds(watch: Watch, stop: asyncio.Event, desk: Desk | None = None) -> None:
    halt = threading.Event()
    rounds = Rounds(watch, halt)
    pause = min(_LOOK, watch.settings.monitor.confirm.total_seconds())
    asking = asyncio.create_task(_halt_with(stop, halt))
    try:
        while not stop.is_set():
            done = await asyncio.to_thread(_one, rounds)
            if desk is not None and done is not None:
                await desk.hand_out(done.elsewhere)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _AWAY if done is None else pause)
    finally:
        halt.set()
        asking.cancel()
        with suppress(StoreError):  # it ends by itself
            await asyncio.to_thread(rounds.let_go)


def _one(rounds: Rounds) -> Round | None:
    """A round, or ``None`` where the store is away: what was seen meanwhile is asked anew."""
    try:
        return rounds.go()
    except StoreError as exc:
        log.warning("nothing can be stored: %s", exc.problem)
        return None


async def _halt_with(stop: asyncio.Event, halt: threading.Event) -> None:
    await stop.wait()
    halt.set()


def check_ways(settings: Settings) -> None:
    """See that every vantage can be asked: one of another machine needs NATS.

    Raises ``ConfigError``.
    """
    own = settings.monitor
    if not own.enabled or settings.nats is not None:
        return
    named = {*own.vantages, *(name for each in own.hosts for name in each.vantages)}
    if others := sorted(named - {own.vantage}):
        raise ConfigError(
            f"{others[0]!r} is another machine, and nothing leads to it",
            key="monitor.vantages",
            fix="set `nats`, and start there: certpin watch worker --vantage NAME --nats URL",
        )
