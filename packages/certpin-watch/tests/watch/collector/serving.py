"""The collector as a program of its own, for tests that kill it.

python -m tests.watch.collector.serving PORT STORE [--nats URL] [--stream-bytes N]
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

from certpin_watch.auth import settings as access_settings
from certpin_watch.collector import settings as collector_settings
from certpin_watch.collector import writer
from certpin_watch.collector.app import Collector, open_intake
from certpin_watch.secret import Secret
from certpin_watch.settings import ServiceSettings
from certpin_watch.snapshot import Watch, Watched
from certpin_watch.store import open_store
from certpin_watch.store.tables import METADATA

if TYPE_CHECKING:
    from collections.abc import Sequence


BEHIND = access_settings.Settings(behind_proxy=True)  # of this machine


def make_watch(
    store: str,
    nats: str | None = None,
    access: access_settings.Settings | None = None,
    **limits: Any,
) -> Watch:
    """A watch with a new store, and no pin sets."""
    settings = ServiceSettings(
        store=Secret(store),
        nats=Secret(nats) if nats else None,
        access=access or access_settings.Settings(),
        collector=collector_settings.CollectorSettings(**limits),
    )
    return Watch(settings, open_store(store), Watched(()))


def create_tables(watch: Watch) -> None:
    """Where there are none."""
    METADATA.create_all(watch.store.engine)


async def serve(watch: Watch, port: int, stop: asyncio.Event) -> None:
    """As ``certpin serve`` does: granian, embedded in this loop."""
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


async def _main(asked: argparse.Namespace) -> None:
    limits: dict[str, Any] = {
        "rate": 1_000_000,
        "burst": 10_000_000,
        "body_seconds": asked.body_seconds,
        "stream_bytes": asked.stream_bytes,
    }
    watch = make_watch(asked.store, asked.nats, BEHIND, **limits)
    create_tables(watch)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    if asked.role == "writer":
        await writer.run(watch, stop)
    else:
        await serve(watch, asked.port, stop)


def main(words: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("store")
    parser.add_argument("--nats")
    parser.add_argument("--stream-bytes", type=int, default=1024**3)
    parser.add_argument("--role", default="collector")
    parser.add_argument("--body-seconds", type=int, default=10)
    asked = parser.parse_args(words)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(asked))


if __name__ == "__main__":
    main()
