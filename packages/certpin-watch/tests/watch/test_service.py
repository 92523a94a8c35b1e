"""Check the service on a real socket, and how its background tasks are run and restarted."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from certpin_watch import http_server, service
from certpin_watch.context import Watch
from certpin_watch.health import ProcessHealth
from certpin_watch.settings import ServiceSettings
from certpin_watch.snapshot import PinFiles
from tests.servers._run import free_port
from tests.watch.collector import bodies

if TYPE_CHECKING:
    from certpin_watch.service import BackgroundTask
    from certpin_watch.store import Store


@pytest.mark.slow
def test_a_silent_connection_is_closed(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of connections is limited, so silent ones must not occupy them."""
    monkeypatch.setattr(service, "TASKS", {})
    monkeypatch.setattr(http_server, "_IDLE", 1)
    address = ("127.0.0.1", free_port())
    watch = Watch(ServiceSettings(listen=address), sqlite_store, PinFiles([]))

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
def test_the_service_can_listen_on_localhost(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "TASKS", {})
    port = free_port()
    watch = Watch(ServiceSettings(listen=("localhost", port)), sqlite_store, PinFiles([]))

    async def run() -> None:
        stop, open_ = asyncio.Event(), asyncio.Event()
        serving = asyncio.create_task(service.serve(watch, stop, open_.set))
        opened = asyncio.create_task(open_.wait())
        await asyncio.wait({serving, opened}, return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        await serving
        assert opened.done()

    asyncio.run(run())


@pytest.mark.slow
def test_a_request_with_two_host_headers_is_refused(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The HTTP server passes both headers to the application, which refuses the request."""
    monkeypatch.setattr(service, "TASKS", {})
    address = ("127.0.0.1", free_port())
    watch = Watch(ServiceSettings(listen=address), sqlite_store, PinFiles([]))
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


def test_hanging_pages_leave_database_connections_for_reports(
    postgres_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "TASKS", {})
    address = ("127.0.0.1", free_port())
    watch = Watch(ServiceSettings(listen=address), postgres_store, PinFiles([]))
    page = b"GET /silences HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = b"POST /reports HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    report = bodies.body(1)

    async def run() -> list[bytes]:
        stop, open_ = asyncio.Event(), asyncio.Event()
        serving = asyncio.create_task(service.serve(watch, stop, open_.set))
        await open_.wait()
        try:
            hanging = [await send(page) for _ in range(30)]
            await asyncio.to_thread(_wait_for_locks, postgres_store)
            reported = await send(head + b"Content-Length: %d\r\n\r\n" % len(report) + report)
            first = await reported.readline()
            await asyncio.to_thread(lock.rollback)
            # A page without an answer could use the store after it was closed.
            return [first, *[await each.readline() for each in hanging]]
        finally:
            for writer in writers:
                writer.close()
            await asyncio.to_thread(lock.rollback)
            stop.set()
            await serving

    async def send(request: bytes) -> asyncio.StreamReader:
        reader, writer = await asyncio.open_connection(*address)
        writers.append(writer)
        writer.write(request)
        return reader

    writers: list[asyncio.StreamWriter] = []
    with postgres_store.engine.connect() as lock:
        lock.execute(text("LOCK TABLE silences IN ACCESS EXCLUSIVE MODE"))
        reported, *pages = asyncio.run(run())
    assert reported == b"HTTP/1.1 204 No Content\r\n"
    assert pages == [b"HTTP/1.1 200 OK\r\n"] * 30


def _wait_for_locks(store: Store) -> None:
    """Wait until as many pages as the service makes at once wait for a PostgreSQL lock."""
    waiting, deadline = 0, time.monotonic() + 20
    while waiting < service._PAGES_AT_ONCE:
        assert time.monotonic() < deadline
        time.sleep(0.02)
        with store.read() as connection:
            statement = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            waiting = connection.execute(text(statement)).scalar_one()


def _run(tasks: dict[str, BackgroundTask], health: ProcessHealth, until: Any) -> None:
    """Run tasks until ``until`` returns, and then stop them."""

    async def main() -> None:
        stop = asyncio.Event()
        running = asyncio.create_task(service.run_tasks(tasks, _NOTHING, stop, health))
        async with asyncio.timeout(20):
            await until()
            stop.set()
            await running

    asyncio.run(main())


_NOTHING: Any = None


def test_a_failing_task_is_restarted_and_the_others_continue(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(service, "_HEALTHY_AFTER", 0.01)
    started, recovered, health = [], asyncio.Event(), ProcessHealth()

    async def failing(_: Any, stop: asyncio.Event) -> None:
        started.append("failing")
        if started.count("failing") < 3:
            raise OSError("no")
        seen_failing.append("failing" in health.failing)
        recovered.set()
        await stop.wait()

    async def steady(_: Any, stop: asyncio.Event) -> None:
        started.append("steady")
        await stop.wait()

    async def until_recovered() -> None:
        await recovered.wait()
        while health.failing:  # noqa: ASYNC110  # it is no event of asyncio's
            await asyncio.sleep(0.001)

    seen_failing: list[bool] = []
    with caplog.at_level(logging.CRITICAL):
        _run({"failing": failing, "steady": steady}, health, until_recovered)
    assert started.count("failing") == 3
    assert started.count("steady") == 1
    assert seen_failing == [True]
    assert health.failing == set()


def test_a_task_that_does_not_end_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "_STOP_TIMEOUT", 0.01)
    started = asyncio.Event()

    async def hanging(*_: Any) -> None:
        started.set()
        await asyncio.Event().wait()

    _run({"hanging": hanging}, ProcessHealth(), started.wait)
    assert "hanging does not end" in caplog.text


def test_without_tasks_it_ends_when_stopped() -> None:
    async def at_once() -> None:
        pass

    _run({}, ProcessHealth(), at_once)
