"""The collector as a separate program, for tests that kill it.

python -m tests.watch.collector.server PORT STORE [--nats URL] [--stream-bytes N]
    [--role collector|writer]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Any

from granian.constants import Interfaces
from granian.server.embed import Server

from certpin_watch.collector import writer
from certpin_watch.collector.app import Collector, open_intake
from certpin_watch.context import Watch
from certpin_watch.secret import Secret
from certpin_watch.settings import AuthSettings, CollectorSettings, ServiceSettings
from certpin_watch.snapshot import PinFiles
from certpin_watch.store import open_store
from certpin_watch.store.tables import METADATA

if TYPE_CHECKING:
    from collections.abc import Sequence


BEHIND = AuthSettings(behind_proxy=True)  # a proxy on this machine


def make_watch(
    store: str,
    nats: str | None = None,
    access: AuthSettings | None = None,
    **limits: Any,
) -> Watch:
    """Return a service context: settings, a store and no pin files. No tables are created.

    Args:
        store: the URL of the database.
        nats: the URL of the NATS server.
        access: the settings of access control.
        limits: settings of the collector.
    """
    settings = ServiceSettings(
        store=Secret(store),
        nats=Secret(nats) if nats else None,
        access=access or AuthSettings(),
        collector=CollectorSettings(**limits),
    )
    return Watch(settings, open_store(store), PinFiles(()))


def create_tables(watch: Watch) -> None:
    """Create the tables that are missing."""
    METADATA.create_all(watch.store.engine)


async def serve(watch: Watch, port: int, stop: asyncio.Event) -> None:
    """Serve the collector on a port until ``stop`` is set.

    The server is granian, embedded in this event loop, as in ``certpin serve``.
    """
    async with open_intake(watch) as intake:
        server = Server(
            Collector(watch, intake),
            port=port,
            interface=Interfaces.ASGINL,
            websockets=False,
            backlog=1024,
            log_enabled=False,
        )
        serving = asyncio.create_task(server.serve())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        server.stop()  # type: ignore[no-untyped-call]  # granian has types for most
        await serving


async def _main(options: argparse.Namespace) -> None:
    limits: dict[str, Any] = {
        "rate": 1_000_000,
        "burst": 10_000_000,
        "body_seconds": options.body_seconds,
        "stream_bytes": options.stream_bytes,
    }
    watch = make_watch(options.store, options.nats, BEHIND, **limits)
    create_tables(watch)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    if options.role == "writer":
        await writer.run(watch, stop)
    else:
        await serve(watch, options.port, stop)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the collector or the writer, as the command line requests, until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("store")
    parser.add_argument("--nats")
    parser.add_argument("--stream-bytes", type=int, default=1024**3)
    parser.add_argument("--role", default="collector")
    parser.add_argument("--body-seconds", type=int, default=10)
    options = parser.parse_args(argv)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(options))


if __name__ == "__main__":
    main()
