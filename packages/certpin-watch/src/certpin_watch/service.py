"""``certpin serve``: opens what the parts share, begins them, serves, and ends all in order.

The order of the end: nobody new is sent here (``/readyz``), requests under way are answered, the
parts end, what was taken in is durable, the store is closed.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

from anyio.to_thread import current_default_thread_limiter

from certpin_watch import retention, telemetry
from certpin_watch.alerts import run as alerts
from certpin_watch.auth.listening import check_listening
from certpin_watch.collector import awake, writer
from certpin_watch.collector.app import Collector
from certpin_watch.collector.intake import open_intake
from certpin_watch.health import ProcessHealth
from certpin_watch.http_server import make_server, wait_until_open, wait_until_stopped
from certpin_watch.logs import logged
from certpin_watch.monitor import scheduler as monitor
from certpin_watch.nats_address import nats_address
from certpin_watch.parts import run_parts
from certpin_watch.port import check_free
from certpin_watch.secret import look_up_all
from certpin_watch.store.durability import weaknesses
from certpin_watch.store.queries.freshness import workers
from certpin_watch.store.schema import SchemaState, prepare, schema_state
from certpin_watch.web.app import application

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from granian.server.embed import Server

    from certpin_watch.parts import Part
    from certpin_watch.watch import Watch

# What works in the background. A new part is one line here.
PARTS: Mapping[str, Part] = {
    "alerts": alerts.run,
    "monitor": monitor.run,
    "retention": retention.run,
    "writer": writer.run,
}

# Pages that are made at a time, of the fifteen connections that a process has to PostgreSQL: where
# they are slow, reports are counted all the same, and alerts are looked at.
_PAGES_AT_ONCE = 8

log = logging.getLogger("certpin.watch")


def make_ready(watch: Watch) -> None:
    """Check that the service may start: its secrets, its schema, and its access control.

    A missing database is created last.

    Raises:
        ConfigError: a setting does not allow it.
        StoreError: the store is unreachable.
    """
    look_up_all(watch.settings)
    if watch.settings.nats is not None:
        nats_address(watch.settings.nats)
    telemetry.pairs_of(watch.settings.telemetry.headers)
    if not alerts.services(watch.settings.alerts):
        log.warning("%s", alerts.ALERTS_GO_NOWHERE)
    check_free(watch.settings.listen)
    if schema_state(watch.store).state is SchemaState.EMPTY:
        check_listening(watch.settings, watch.store)  # before a file is made for nothing
    prepare(watch.store)
    with watch.store.read() as connection:
        for each in weaknesses(connection):
            log.warning("%s", each)
        locations = {each.vantage for each in workers(connection, watch.clock())}
    for each in monitor.without_workers(watch.settings.monitor, locations):
        log.warning(
            "no worker has a token for the location %s, so that no host is probed from there\n"
            "  fix: certpin watch token add NAME --worker %s",
            *(each, each),
        )
    check_listening(watch.settings, watch.store)


async def serve(watch: Watch, stop: asyncio.Event, listening: Callable[[], None]) -> None:
    """Serve until ``stop`` is set. ``listening`` is called once requests are taken.

    Raises ``ConfigError`` where the address cannot be listened on.
    """
    health = ProcessHealth()
    current_default_thread_limiter().total_tokens = _PAGES_AT_ONCE
    async with open_intake(watch) as intake:
        health.needs["stream"] = intake.is_ready
        app = application(watch, Collector(watch, intake), health)
        with telemetry.begun(watch.settings.telemetry) as traced:
            server = make_server(
                watch.settings.listen, logged(traced(app), watch.settings), watch.settings.tls
            )
            every: dict[str, Part] = {**PARTS, "awake": partial(awake.run, takes=intake.is_ready)}
            parts = asyncio.create_task(run_parts(every, watch, stop, health))
            try:
                await _listen(server, watch, stop, health, listening)
            finally:
                stop.set()
                await parts


async def _listen(
    server: Server,
    watch: Watch,
    stop: asyncio.Event,
    health: ProcessHealth,
    listening: Callable[[], None],
) -> None:
    """Take requests until ``stop`` is set, or the server ends by itself."""
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stop.wait())
    try:
        await wait_until_open(watch.settings.listen, serving)
        listening()
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        health.stopping = True
        stopping.cancel()
        server.stop()  # type: ignore[no-untyped-call]
    await wait_until_stopped(serving)
