"""The alerts as a part of ``certpin serve``: look, write, tell, until it stops."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from certpin.errors import StoreError
from certpin.pins import utc_now
from certpin_watch.alerts.alertmanager import SCHEMES, AlertmanagerService
from certpin_watch.alerts.look import Looker
from certpin_watch.alerts.message import Item, Message
from certpin_watch.alerts.service import Service
from certpin_watch.alerts.state import Alert
from certpin_watch.alerts.telling import Turn, send

if TYPE_CHECKING:
    from certpin_watch.alerts.settings import Settings, Tell
    from certpin_watch.settings import ServiceSettings
    from certpin_watch.snapshot import Watch

log = logging.getLogger("certpin.watch.alerts")

ALERTS_GO_NOWHERE = (
    "no service receives alerts: they are only logged and shown on the pages\n"
    "  fix: add [[alerts.tell]] to watch.toml (docs/alerts.md)"
)
_BETWEEN = 1.0  # seconds until a service is looked at again
_AWAY = 5.0  # seconds until a store is asked again that was away


def services(settings: Settings) -> tuple[Service | AlertmanagerService, ...]:
    """Return all services. Raises ``ConfigError`` if an address is none; it does not quote it."""
    return tuple(_service(each) for each in settings.tell)


def _service(tell: Tell) -> Service | AlertmanagerService:
    scheme = tell.url.reveal().partition("://")[0].lower()
    return AlertmanagerService(tell) if scheme in SCHEMES else Service(tell)


async def run(watch: Watch, stop: asyncio.Event) -> None:
    """Until ``stop`` is set. A message that is on its way then has a deadline.

    Raises ``ConfigError`` where a service cannot be told as the settings have it.
    """
    known = await asyncio.to_thread(services, watch.settings.alerts)
    looker = Looker(watch)
    async with asyncio.TaskGroup() as group:
        group.create_task(_look(watch, looker, stop))
        for each in known:
            group.create_task(_tell(watch, looker, Turn(watch, each), stop))


async def try_services(settings: ServiceSettings) -> dict[str, str]:
    """Send each service a message, and say what came of it: empty where it was taken.

    Raises ``ConfigError``.
    """
    known = await asyncio.to_thread(services, settings.alerts)
    message = _trial(int(utc_now().timestamp()), settings.public_url.rstrip("/"))
    deadline = settings.alerts.deadline.total_seconds()
    found = await asyncio.gather(*(send(each, message, deadline) for each in known))
    return {each.name: problem for each, problem in zip(known, found, strict=True)}


async def _look(watch: Watch, looker: Looker, stop: asyncio.Event) -> None:
    every = watch.settings.alerts.every.total_seconds()
    try:
        while not stop.is_set():
            pause = every
            try:
                await asyncio.to_thread(looker.look)
            except StoreError as exc:
                log.warning("nothing can be looked at: %s", exc.problem)
                pause = _AWAY
            await _wait(stop, pause)
    finally:
        with suppress(StoreError):  # it ends by itself
            await asyncio.to_thread(looker.let_go)


async def _tell(watch: Watch, looker: Looker, turn: Turn, stop: asyncio.Event) -> None:
    """The process that looks notifies, too."""
    while not stop.is_set():
        more = False
        try:
            if looker.holds(int(watch.clock().timestamp())):
                more = await turn.go()
                await turn.refresh()
        except StoreError as exc:
            log.warning("%s waits: %s", turn.service.name, exc.problem)
        if not more:
            await _wait(stop, _BETWEEN)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


def _trial(now: int, url: str) -> Message:
    alert = Alert(
        key="test",
        rule="test",
        severity="info",
        host="",
        pin_set="",
        summary="this is a test of certpin watch alerts --test: nothing is wrong",
        command="certpin watch alerts",
        opened_at=now,
        last_at=now,
    )
    return Message((Item("opened", alert, "no client is touched"),), now, url)
