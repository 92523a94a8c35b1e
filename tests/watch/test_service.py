"""The service over its own socket: what a connection may not do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from certpin.watch import service
from certpin.watch.settings import Settings
from certpin.watch.watch import Watch
from certpin.watch.watched import Watched
from tests.servers._run import free_port

if TYPE_CHECKING:
    from certpin.watch.store import Store


@pytest.mark.slow
def test_a_connection_that_says_nothing_is_not_kept(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are so many, for reports and for everything: some thousand silent ones would be all."""
    monkeypatch.setattr(service, "PARTS", {})
    monkeypatch.setattr(service, "_SILENT", 1)
    address = ("127.0.0.1", free_port())
    watch = Watch(Settings(listen=address), sqlite_store, Watched([]))

    async def run() -> bytes:
        stop, open_ = asyncio.Event(), asyncio.Event()
        serving = asyncio.create_task(service.serve(watch, stop, open_.set))
        await open_.wait()
        reader, writer = await asyncio.open_connection(*address)
        try:
            return await asyncio.wait_for(reader.read(), 10)
        finally:
            writer.close()
            stop.set()
            await serving

    assert asyncio.run(run()) == b""
