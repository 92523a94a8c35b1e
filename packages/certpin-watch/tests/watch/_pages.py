"""Serve the service's web pages with generated data of a year.

Browser tests, screenshots and measurements use this server.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from granian.constants import Interfaces
from granian.server.embed import Server
from starlette.applications import Starlette
from starlette.middleware import Middleware

from certpin_watch.application import HANDLERS
from certpin_watch.auth import pages as access
from certpin_watch.auth.access import AccessMiddleware
from certpin_watch.context import Watch
from certpin_watch.secret import Secret
from certpin_watch.settings import AlertSettings, NotificationSettings, ServiceSettings
from certpin_watch.snapshot import PinFiles
from certpin_watch.store import open_store
from certpin_watch.store.tables import METADATA
from certpin_watch.web import failures
from certpin_watch.web.routes import page_routes
from tests.servers._run import free_port, running
from tests.watch._year import Year, write_year

if TYPE_CHECKING:
    from collections.abc import Iterator


REPOSITORY = Path(__file__).parents[4]


@dataclass(frozen=True)
class Served:
    """A running web server: its settings and store, its data of a year, and its URL."""

    watch: Watch
    year: Year
    url: str


def a_year(
    folder: Path, *, hosts: int = 30, groups: int = 4000, url: str = ""
) -> tuple[Watch, Year]:
    """Create a store, fill it with generated data of a year, and write the pin files to ``folder``.

    Args:
        folder: for the pin files, and for the SQLite file of the store.
        hosts: the number of hosts.
        groups: the number of groups of reports.
        url: the database of the store instead of the SQLite file.
    """
    store = open_store(url or f"sqlite:///{folder / 'watch.db'}")
    METADATA.create_all(store.engine)
    year = write_year(store, folder, hosts=hosts, groups=groups)
    return Watch(ServiceSettings(pins=year.pins), store, PinFiles(year.pins)), year


def app_of(watch: Watch) -> Starlette:
    """Return an application that serves the web pages with access control, as the service does."""
    found = [*access.routes(watch), *page_routes(watch)]
    return Starlette(
        routes=found,
        middleware=[Middleware(AccessMiddleware, watch=watch, routes=found)],
        exception_handlers=HANDLERS,
    )


@contextmanager
def serving(
    watch: Watch, year: Year, *, every: int = 5, notifies: bool = False
) -> Iterator[Served]:
    """Run the web server on the store of ``watch`` in another process while the block runs.

    ``every`` is the number of seconds between two refreshes of the live page. Unless ``notifies``
    is true, no notification service is configured, and each page warns that no one receives alerts.
    """
    port = free_port()
    words = [sys.executable, "-m", "tests.watch._pages", str(port), str(every), str(int(notifies))]
    words += [watch.store.engine.url.render_as_string(hide_password=False), *map(str, year.pins)]
    with running(words, port, cwd=REPOSITORY, deadline=20):
        yield Served(watch, year, f"http://127.0.0.1:{port}")


async def _serve(watch: Watch, port: int) -> None:
    """Serve the pages with granian, as ``certpin serve`` does, until the process gets SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = Server(
        app_of(watch), port=port, interface=Interfaces.ASGINL, websockets=False, log_enabled=False
    )
    task = asyncio.create_task(server.serve())
    await stop.wait()
    server.stop()  # type: ignore[no-untyped-call]  # granian has types for most
    await task


def main(words: list[str]) -> None:
    """Serve the pages of the monitoring service in this process, which a test has started.

    Args:
        words: the port; the seconds between two loads of the page "live"; ``1`` if a
            service receives the alerts, or ``0``; the URL of the database; and the pin files.
    """
    port, every, notifies, store, *files = words
    failures.REFRESH = int(every)
    pins = tuple(map(Path, files))
    tell = (NotificationSettings("on-call", Secret("json://127.0.0.1")),) if notifies == "1" else ()
    settings = ServiceSettings(pins=pins, alerts=AlertSettings(tell=tell))
    watch = Watch(settings, open_store(store), PinFiles(pins))
    asyncio.run(_serve(watch, int(port)))


if __name__ == "__main__":
    main(sys.argv[1:])
