"""The pages on a real server, with a year behind them: for browsers, pictures and measurements."""

from __future__ import annotations

import asyncio
import queue
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from granian.constants import Interfaces
from granian.server.embed import Server
from starlette.applications import Starlette
from starlette.middleware import Middleware

from certpin.watch.access.middleware import AccessMiddleware
from certpin.watch.facts.rollup import Rollup
from certpin.watch.settings import Settings
from certpin.watch.store import open_store
from certpin.watch.store.tables import METADATA
from certpin.watch.watch import Watch
from certpin.watch.watched import Watched
from certpin.watch.web.pages.answering import missing
from certpin.watch.web.pages.routes import routes
from tests.watch._year import Year, write_year

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response


@dataclass(frozen=True)
class Served:
    """A watch and where its pages are."""

    watch: Watch
    year: Year
    url: str


def a_year(folder: Path, *, hosts: int = 30, groups: int = 4000) -> tuple[Watch, Year]:
    """A watch with a year in its store."""
    store = open_store(f"sqlite:///{folder / 'watch.db'}")
    METADATA.create_all(store.engine)
    year = write_year(store, folder, hosts=hosts, groups=groups)
    Rollup(store).add_up(year.now)
    return Watch(Settings(pins=year.pins), store, Watched(year.pins)), year


def app_of(watch: Watch) -> Starlette:
    """The pages behind the way in, as the service puts them together."""
    found = routes(watch)

    async def not_there(request: Request, _: Exception) -> Response:
        return missing(request)

    return Starlette(
        routes=found,
        middleware=[Middleware(AccessMiddleware, watch=watch, routes=found)],
        exception_handlers={404: not_there},
    )


@contextmanager
def serving(watch: Watch, year: Year) -> Iterator[Served]:
    """Granian in a thread of this process, until the block ends."""
    port = _free_port()
    begun: queue.SimpleQueue[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = queue.SimpleQueue()

    async def run() -> None:
        server = Server(
            app_of(watch), port=port, interface=Interfaces.ASGINL, websockets=False,
            log_enabled=False,
        )  # fmt: skip
        stop, task = asyncio.Event(), asyncio.create_task(server.serve())
        begun.put((asyncio.get_running_loop(), stop))
        await stop.wait()
        server.stop()  # type: ignore[no-untyped-call]  # granian has types for most
        await task

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    loop, stop = begun.get(timeout=20)
    try:
        _wait_for(port)
        yield Served(watch, year, f"http://127.0.0.1:{port}")
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def _wait_for(port: int) -> None:
    until = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            return
