"""``certpin serve``: check the settings, start the tasks and the server, and stop them in order.

At the end ``/readyz`` fails first, so that load balancers send no new requests. Then running
requests are answered, the background tasks end, accepted reports that still wait are stored, and
the store closes.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

from anyio.to_thread import current_default_thread_limiter

from certpin.support.text import printable
from certpin_watch import retention, telemetry
from certpin_watch.addresses import origin_of
from certpin_watch.alerts import run as alerts
from certpin_watch.alerts.services import make_services
from certpin_watch.application import application
from certpin_watch.auth.identity import check_listening
from certpin_watch.collector import writer
from certpin_watch.collector.app import Collector, open_intake
from certpin_watch.collector.intake import note_listening
from certpin_watch.context import pause
from certpin_watch.counters import COUNTERS
from certpin_watch.health import ProcessHealth
from certpin_watch.http_server import (
    check_free,
    make_server,
    resolve_listen,
    wait_until_open,
    wait_until_stopped,
)
from certpin_watch.logs import log_requests
from certpin_watch.monitor import scheduler as monitor
from certpin_watch.secret import look_up_all
from certpin_watch.settings import nats_address, nats_authorities
from certpin_watch.store.connections import risky_settings
from certpin_watch.store.queries.freshness import workers
from certpin_watch.store.schema import SchemaState, prepare, schema_state

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from granian.server.embed import Server

    from certpin_watch.context import Watch

    BackgroundTask = Callable[[Watch, asyncio.Event], Awaitable[None]]

# A new background task is one line here.
TASKS: Mapping[str, BackgroundTask] = {
    "alerts": alerts.run,
    "monitor": monitor.run,
    "retention": retention.run,
    "writer": writer.run,
}

# Pages that are made at a time, of the fifteen connections that a process has to PostgreSQL: if
# pages are slow, reports are still counted and alerts are still evaluated.
_PAGES_AT_ONCE = 8
_FIRST_PAUSE, _MAX_PAUSE = 1.0, 60.0  # seconds before a task that failed is restarted
_HEALTHY_AFTER = 10.0  # seconds for which a task has run when it counts as healthy
_STOP_TIMEOUT = 20.0  # seconds in which the tasks must end

log = logging.getLogger("certpin.watch")


def make_ready(watch: Watch) -> None:
    """Check the settings, and prepare the database, before the service starts.

    A missing database is created. An old SQLite file is migrated, and that is logged. Problems with
    which the service can run, such as a location without a worker, are only logged.

    Raises:
        ConfigError: a setting is invalid or unsafe, a secret can't be read, two pin sets have the
            same name, or another process listens on the address.
        StoreError: the store is unreachable.
    """
    look_up_all(watch.settings)
    watch.pin_files.check_names()
    if watch.settings.nats is not None:
        nats_address(watch.settings.nats)
        nats_authorities(watch.settings.nats_ca)
    telemetry.parse_headers(watch.settings.telemetry.headers)
    if not make_services(watch.settings.alerts):
        log.warning("%s", alerts.NO_SERVICES)
    check_free(watch.settings.listen)
    if schema_state(watch.store).state is SchemaState.EMPTY:
        check_listening(watch.settings, watch.store)  # before a useless file is created
    if (done := prepare(watch.store)) and done.copy:
        log.info(
            "migrated the database from schema %s to %s; the old file was copied to %s",
            *(done.before, done.after, printable(str(done.copy))),
        )
    with watch.store.read() as connection:
        for weakness in risky_settings(connection):
            log.warning("%s", weakness)
        served = {worker.vantage for worker in workers(connection, watch.clock())}
    for location in monitor.locations_without_worker(watch.settings.monitor, served):
        log.warning(
            "no worker has a token for the location %s, so that no host is probed from there\n"
            "  fix: certpin watch token add NAME --worker %s%s",
            *(location, location, watch.settings.same_database),
        )
    check_listening(watch.settings, watch.store)


async def serve(watch: Watch, stop: asyncio.Event, listening: Callable[[], None]) -> None:
    """Run the web server and all background tasks until ``stop`` is set.

    Args:
        watch: the settings, the store, the pin files and the clock. The caller closes the store.
        stop: an event; set it to end the service.
        listening: called when the server accepts requests.

    Raises:
        ConfigError: the process can't listen on the address.
    """
    settings = watch.settings
    health, proxies = ProcessHealth(), settings.access.believed
    current_default_thread_limiter().total_tokens = _PAGES_AT_ONCE
    async with open_intake(watch) as intake:
        health.needs["stream"] = intake.is_ready
        health.troubles["stream"] = lambda: intake.trouble
        app = application(watch, Collector(watch, intake), health)
        with telemetry.exporting(settings.telemetry, COUNTERS) as traced:
            logged = log_requests(
                traced(app),
                settings.log,
                lambda scope: origin_of(scope, proxies).source,
            )
            address = resolve_listen(settings.listen)
            server = make_server(address, logged, settings.tls)
            tasks: dict[str, BackgroundTask] = {
                **TASKS,
                "awake": partial(note_listening, is_ready=intake.is_ready),
            }
            background = asyncio.create_task(run_tasks(tasks, watch, stop, health))
            try:
                await _listen(server, address, stop, health, listening)
            finally:
                stop.set()
                await background


async def _listen(
    server: Server,
    address: tuple[str, int],
    stop: asyncio.Event,
    health: ProcessHealth,
    listening: Callable[[], None],
) -> None:
    """Run the web server until ``stop`` is set, or the server ends because of an error.

    ``listening`` is called when the server accepts requests on ``address`` (IP address and port).
    ``health.stopping`` is set before the server stops.
    """
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stop.wait())
    try:
        await wait_until_open(address, serving)
        listening()
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        health.stopping = True
        stopping.cancel()
        server.stop()  # type: ignore[no-untyped-call]
    await wait_until_stopped(serving)


async def run_tasks(
    tasks: Mapping[str, BackgroundTask], watch: Watch, stop: asyncio.Event, health: ProcessHealth
) -> None:
    """Run all background tasks until ``stop`` is set, and wait until they have ended.

    If a task fails, it is restarted, and ``health`` lists it as failing until it runs well again.
    If a task doesn't end in time after ``stop`` is set, it is cancelled.

    Args:
        tasks: maps the name of each task to its function.
        watch: the argument of each function.
        stop: ends the tasks.
        health: the state of this process.
    """
    running = [
        asyncio.create_task(_keep_running(name, task, watch, stop, health), name=name)
        for name, task in tasks.items()
    ]
    await stop.wait()
    if not running:
        return
    _, hanging = await asyncio.wait(running, timeout=_STOP_TIMEOUT)
    for task in hanging:
        log.error("%s does not end, and is cancelled", task.get_name())
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def _keep_running(
    name: str, task: BackgroundTask, watch: Watch, stop: asyncio.Event, health: ProcessHealth
) -> None:
    """Run one background task until it ends. If it fails, restart it after a pause.

    The pause gets longer with each failure, and short again after the task has run well for a
    while.

    Args:
        name: the name of the task.
        task: the task's function.
        watch: the argument of the function: settings, store, pin files and clock.
        stop: ends the task, and the pause before a restart.
        health: the state of this process, which lists a task that fails under its name.
    """
    seconds = _FIRST_PAUSE
    while not stop.is_set():
        running = asyncio.ensure_future(task(watch, stop))
        try:
            if (await asyncio.wait({running}, timeout=_HEALTHY_AFTER))[1]:
                health.failing.discard(name)
                seconds = _FIRST_PAUSE
            await running
        except Exception:  # the other tasks go on; a restart may help
            log.exception("%s failed, and is restarted", name)
            health.failing.add(name)
            await pause(stop, seconds)
            seconds = min(2 * seconds, _MAX_PAUSE)
        else:
            return
        finally:
            running.cancel()
