"""Health of the service, of workers and of writers."""

from __future__ import annotations

import asyncio
import threading
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from starlette.routing import Router
from starlette.testclient import TestClient

from certpin.errors import ConfigError, StoreError
from certpin_watch.counters import COUNTERS
from certpin_watch.health import ProcessHealth, health_app, health_routes, serve_health
from certpin_watch.monitor.worker import SERVICE
from certpin_watch.store import Store, open_store, prepare
from certpin_watch.store.engine import store_error
from tests.servers._run import free_port
from tests.watch._damage import damage

if TYPE_CHECKING:
    from pathlib import Path

LOOPBACK, ALL_ADDRESSES = ("127.0.0.1", 1), ("0.0.0.0", 1)


def _ask(store: Store, path: str, health: ProcessHealth | None = None) -> tuple[int, Any]:
    with TestClient(Router(health_routes(store, health or ProcessHealth()))) as client:
        answer = client.get(path)
    return answer.status_code, answer.json()


def test_ready_while_all_is_well(sqlite_store: Store) -> None:
    assert _ask(sqlite_store, "/healthz") == (200, {"status": "ok"})
    assert _ask(sqlite_store, "/readyz") == (200, {"status": "ok", "wrong": []})


def test_not_ready_with_a_failing_task_or_while_stopping(sqlite_store: Store) -> None:
    health = ProcessHealth(stopping=True, failing={"writer"})
    assert _ask(sqlite_store, "/readyz", health) == (
        503,
        {"status": "not ready", "wrong": ["part writer", "stopping"]},
    )
    assert _ask(sqlite_store, "/healthz", health)[0] == 200  # a restart would not help


@pytest.mark.medium
def test_not_ready_without_the_stream_of_reports(sqlite_store: Store) -> None:
    available = [False]
    health = ProcessHealth(needs={"stream": lambda: available[0]})
    assert _ask(sqlite_store, "/readyz", health)[1]["wrong"] == ["stream"]
    available[0] = True
    assert _ask(sqlite_store, "/readyz", health)[0] == 200


def test_not_ready_without_a_store(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    store = open_store(f"sqlite:///{folder / 'watch.db'}")
    folder.rmdir()
    status, found = _ask(store, "/readyz")
    assert status == 503
    assert found["wrong"] == ["store"]
    assert str(tmp_path) not in str(found)


def test_not_ready_while_the_store_refuses_writes(sqlite_store: Store) -> None:
    """A full disk can still be read."""
    with pytest.raises(StoreError), sqlite_store.write():
        raise store_error("full")
    assert _ask(sqlite_store, "/readyz") == (503, {"status": "not ready", "wrong": ["store"]})


@pytest.mark.medium
@pytest.mark.parametrize("table", ["leases", "report_groups"])
def test_not_ready_with_a_damaged_file(tmp_path: Path, table: str) -> None:
    path = tmp_path / "watch.db"
    first = open_store(f"sqlite:///{path}")
    prepare(first)
    first.close()
    damage(path, table)
    store = open_store(f"sqlite:///{path}")
    assert _ask(store, "/readyz") == (503, {"status": "not ready", "wrong": ["store"]})
    store.close()


def test_damage_that_a_page_found_stays_known(sqlite_store: Store) -> None:
    with pytest.raises(StoreError), sqlite_store.read():
        raise store_error("damaged")
    assert _ask(sqlite_store, "/readyz")[0] == 503


def test_not_ready_with_a_store_that_refuses_a_row(sqlite_store: Store) -> None:
    refusal = "BEGIN SELECT RAISE(ABORT, 'no'); END"
    with sqlite_store.write() as connection:
        connection.execute(text(f"CREATE TRIGGER refused BEFORE INSERT ON leases {refusal}"))
    assert _ask(sqlite_store, "/readyz")[0] == 503


def test_a_store_that_others_write_to_is_ready(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("certpin_watch.store.engine.BUSY", 0.01)
    with sqlite_store.write():
        assert _ask(sqlite_store, "/readyz")[0] == 200


@pytest.mark.medium
def test_many_requests_check_the_store_once(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any client may request ``/readyz`` without a login, so the check of the store is cached."""
    checked: list[Store] = []
    monkeypatch.setattr("certpin_watch.health._try_store", checked.append)
    monkeypatch.setattr("certpin_watch.health._FRESH", 3600.0)
    with TestClient(Router(health_routes(sqlite_store, ProcessHealth()))) as client:
        assert [client.get("/readyz").status_code for _ in range(20)] == [200] * 20
    assert checked == [sqlite_store]


def test_a_store_that_hangs_occupies_one_thread(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[Store] = []
    released = threading.Event()

    def hang(store: Store) -> None:
        checked.append(store)
        released.wait(10)

    monkeypatch.setattr("certpin_watch.health._try_store", hang)
    monkeypatch.setattr("certpin_watch.health._FRESH", 0.0)
    monkeypatch.setattr("certpin_watch.health._TIMEOUT", 0.01)
    with TestClient(Router(health_routes(sqlite_store, ProcessHealth()))) as client:
        assert [client.get("/readyz").status_code for _ in range(5)] == [503] * 5
        released.set()
    assert len(checked) == 1


def test_a_worker_is_ready_once_the_service_answers() -> None:
    available = [False]
    health = ProcessHealth(needs={SERVICE: lambda: available[0]})
    with TestClient(health_app(ALL_ADDRESSES, health, None)) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        refused = client.get("/readyz")
        assert (refused.status_code, refused.json()["wrong"]) == (503, ["service"])
        available[0] = True
        assert client.get("/readyz").status_code == 200


@pytest.mark.medium
def test_a_writer_needs_its_store_too(sqlite_store: Store, tmp_path: Path) -> None:
    with TestClient(health_app(LOOPBACK, ProcessHealth(), sqlite_store)) as client:
        assert client.get("/readyz").status_code == 200
    with pytest.raises(StoreError), sqlite_store.write():
        raise store_error("full")
    with TestClient(health_app(LOOPBACK, ProcessHealth(), sqlite_store)) as client:
        refused = client.get("/readyz")
    assert (refused.status_code, refused.json()["wrong"]) == (503, ["store"])
    assert str(tmp_path) not in refused.text


def test_only_this_machine_can_read_the_counters() -> None:
    COUNTERS.probed("verified", 0.1)
    with TestClient(health_app(LOOPBACK, ProcessHealth(), None)) as client:
        assert 'certpin_probes_total{outcome="verified"}' in client.get("/metrics").text
    for address in (ALL_ADDRESSES, ("192.0.2.7", 1), ("::", 1)):
        with TestClient(health_app(address, ProcessHealth(), None)) as client:
            assert client.get("/metrics").status_code == 404


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_health_is_served_during_the_block_and_needs_a_free_port(host: str) -> None:
    address = (host, free_port())

    def status() -> int:
        url = f"http://127.0.0.1:{address[1]}/healthz"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)

    async def work() -> None:
        async with serve_health(address, need=SERVICE) as health:
            assert health.lacking == ["service"]
            assert await asyncio.to_thread(status) == 200
            with pytest.raises(ConfigError, match="cannot be listened on"):
                async with serve_health(address):
                    pass

    asyncio.run(work())
    with pytest.raises(OSError, match="refused"):
        status()


def test_a_server_that_cannot_listen_is_an_error_of_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another process may take the port after the check that it is free."""
    address = ("127.0.0.1", free_port())
    stopped: list[bool] = []

    class FailingServer:
        async def serve(self) -> None:
            raise RuntimeError("address in use")

        def stop(self) -> None:
            stopped.append(True)

    monkeypatch.setattr("certpin_watch.health.make_server", lambda *_: FailingServer())

    async def work() -> None:
        async with serve_health(address):
            pytest.fail("the block runs")

    with pytest.raises(ConfigError, match="cannot be listened on: address in use"):
        asyncio.run(work())
    assert stopped == [True]
