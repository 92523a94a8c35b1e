"""The service over its own socket: what a connection may not do."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from certpin_watch import http_server, service
from certpin_watch.settings import ServiceSettings
from certpin_watch.snapshot import Watch, Watched
from tests.servers._run import free_port
from tests.watch.collector import bodies

if TYPE_CHECKING:
    from certpin_watch.store import Store


@pytest.mark.slow
def test_a_connection_that_says_nothing_is_not_kept(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are so many, for reports and for everything: some thousand silent ones would be all."""
    monkeypatch.setattr(service, "TASKS", {})
    monkeypatch.setattr(http_server, "_IDLE", 1)
    address = ("127.0.0.1", free_port())
    watch = Watch(ServiceSettings(listen=address), sqlite_store, Watched([]))

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


@pytest.mark.slow
def test_two_hosts_are_refused_as_they_come_from_the_network(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server that reads the request hands both of them on."""
    monkeypatch.setattr(service, "TASKS", {})
    address = ("127.0.0.1", free_port())
    watch = Watch(ServiceSettings(listen=address), sqlite_store, Watched([]))
    request = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n%bConnection: close\r\n\r\n"

    async def ask(more: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(request % more)
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return answer.split(b"\r\n")[0]

    async def run() -> list[bytes]:
        stop, open_ = asyncio.Event(), asyncio.Event()
        serving = asyncio.create_task(service.serve(watch, stop, open_.set))
        await open_.wait()
        try:
            return [await ask(b""), await ask(b"Host: evil.example\r\n")]
        finally:
            stop.set()
            await serving

    assert asyncio.run(run()) == [b"HTTP/1.1 200 OK", b"HTTP/1.1 400 Bad Request"]


def test_pages_that_hang_leave_connections_for_reports(
    postgres_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "TASKS", {})
    address = ("127.0.0.1", free_port())
    watch = Watch(ServiceSettings(listen=address), postgres_store, Watched([]))
    page = b"GET /silences HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = b"POST /reports HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    report = bodies.body(1)

    async def run() -> bytes:
        stop, open_ = asyncio.Event(), asyncio.Event()
        serving = asyncio.create_task(service.serve(watch, stop, open_.set))
        await open_.wait()
        try:
            for _ in range(30):
                _, hanging = await asyncio.open_connection(*address)
                hanging.write(page)
                writers.append(hanging)
            await asyncio.to_thread(_wait_for_locks, postgres_store)
            reader, writer = await asyncio.open_connection(*address)
            writers.append(writer)
            writer.write(head + b"Content-Length: %d\r\n\r\n" % len(report) + report)
            return await reader.readline()
        finally:
            for writer in writers:
                writer.close()
            await asyncio.to_thread(lock.rollback)
            stop.set()
            await serving

    writers: list[asyncio.StreamWriter] = []
    with postgres_store.engine.connect() as lock:
        lock.execute(text("LOCK TABLE silences IN ACCESS EXCLUSIVE MODE"))
        assert asyncio.run(run()) == b"HTTP/1.1 204 No Content\r\n"


def _wait_for_locks(store: Store) -> None:
    """Until all that may hang does."""
    waiting, deadline = 0, time.monotonic() + 20
    while waiting < service._PAGES_AT_ONCE:
        assert time.monotonic() < deadline
        time.sleep(0.02)
        with store.read() as connection:
            statement = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            waiting = connection.execute(text(statement)).scalar_one()
