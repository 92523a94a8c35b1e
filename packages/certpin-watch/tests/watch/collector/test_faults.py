"""Processes are killed, connections cut and disks filled: each accepted report counts once."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import shutil
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from certpin_watch.store import open_store
from scripts.record import FORBIDDEN
from tests.servers import disk
from tests.servers._run import accepts, free_port, running
from tests.servers.nats import nats
from tests.watch._sums import assert_sums_are_right
from tests.watch.collector.load_clients import Clients, counted, missing
from tests.watch.collector.network import line

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from certpin_watch.store import Store

pytestmark = pytest.mark.slow
_SERVING = [sys.executable, "-m", "tests.watch.collector.server"]
_RANDOM = random.Random(20270101)  # when processes are killed


@contextlib.contextmanager
def _serve(port: int, store: str, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    with running([*_SERVING, str(port), store, *more], port, stop=signal.SIGKILL) as process:
        yield process


@contextlib.contextmanager
def _writer(port: int, store: str, nats_url: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a writer, which moves reports from the NATS stream to the store, and yield its process.

    The writer listens on no port. ``port`` is a port of another server, which is open already.
    """
    argv = [*_SERVING, "0", store, "--nats", nats_url, "--role", "writer"]
    with running(argv, port, stop=signal.SIGKILL) as process:
        yield process


def _assert_counted(store: Store, clients: Clients, deadline: float = 60.0) -> None:
    """Check that every accepted report is counted in the end, and none twice."""
    until = time.monotonic() + deadline
    while absent := missing(store, clients.accepted):
        assert time.monotonic() < until, f"{len(absent)} of {len(clients.accepted)} are missing"
        time.sleep(0.05)
    total, known = counted(store)
    assert total == known
    assert_sums_are_right(store)


def test_collector_that_is_killed_under_load_loses_no_accepted_report(tmp_path: Path) -> None:
    url, port = f"sqlite:///{tmp_path}/w.db", free_port()
    with Clients(port) as clients:
        for _ in range(2):
            with _serve(port, url) as process:
                clients.wait_for(_RANDOM.randrange(50, 300))
                process.kill()
        with _serve(port, url):
            clients.wait_for(50)
    assert clients.refused
    store = open_store(url)
    _assert_counted(store, clients)
    store.close()


@pytest.mark.peer("unshare")
def test_full_disk_under_the_service_loses_no_accepted_report(tmp_path: Path) -> None:
    """The whole service, on a disk that is full for a while."""
    if not disk.allowed():
        pytest.skip(f"left out: {FORBIDDEN}to mount file systems")
    (tmp_path / "small").mkdir()
    (tmp_path / "watch.toml").write_text(
        f'store = "sqlite:///{tmp_path}/small/w.db"\npins = ["{tmp_path}/pins.toml"]\n'
        "[collector]\nrate = 1000000\nburst = 1000000\n"
    )
    port = free_port()
    with disk.small_disk(tmp_path / "small", 8 * 1024**2) as small:
        argv = [*small.inside(), sys.executable, "-m", "tests.watch._hasty", "serve"]
        argv += ["--config", str(tmp_path / "watch.toml"), "--listen", f"127.0.0.1:{port}"]
        with running(argv, port, deadline=60), Clients(port) as clients:
            clients.wait_for(100)
            small.fill()
            clients.wait_for_refusals(20)
            _wait_for_text(port, "/readyz", '"wrong":["store"]')
            _wait_for_text(port, "/", "Nothing can be stored now: the disk of the database is full")
            _wait_for_text(port, "/healthz", "ok")
            small.free()
            clients.wait_for(50)
            _wait_for_text(port, "/readyz", '"wrong":[]')
        shutil.copy(small.outside / "w.db", tmp_path / "w.db")
    store = open_store(f"sqlite:///{tmp_path}/w.db")
    _assert_counted(store, clients)
    store.close()


def _wait_for_text(port: int, path: str, words: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    page, until = "", time.monotonic() + 30
    while words not in page:
        assert time.monotonic() < until, page
        connection.request("GET", path, headers={"Accept": "text/html"})
        page = connection.getresponse().read().decode()
    connection.close()


def test_postgresql_crash_under_load_loses_no_accepted_report(
    new_database: Callable[[], str],
) -> None:
    """The test kills one process of PostgreSQL, which then ends its others and recovers from its
    log.
    """
    url, port = new_database(), free_port()
    store = open_store(url)
    with _serve(port, url), Clients(port) as clients:
        for _ in range(2):
            clients.wait_for(_RANDOM.randrange(50, 150))
            os.kill(_backend(store), signal.SIGKILL)
            clients.wait_for_refusals(1)
            clients.wait_for(50)
    _assert_counted(store, clients)
    store.close()


def _backend(store: Store) -> int:
    """Return the ID of the PostgreSQL process that serves the collector's connection."""
    query = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND query NOT LIKE '%pg_stat%' LIMIT 1"
    )
    with store.read() as connection:
        return int(connection.execute(text(query)).scalar_one())


def test_killing_collector_writer_and_nats_and_cutting_the_network_loses_no_report(
    tmp_path: Path,
) -> None:
    url, port, nats_port = f"sqlite:///{tmp_path}/w.db", free_port(), free_port()
    stored = tmp_path / "nats"
    with contextlib.ExitStack() as ends, line(nats_port) as cable:
        through = f"nats://127.0.0.1:{cable.port}"
        direct = f"nats://127.0.0.1:{nats_port}"
        server = ends.enter_context(contextlib.ExitStack())
        collector = ends.enter_context(contextlib.ExitStack())
        counting = ends.enter_context(contextlib.ExitStack())
        broker = server.enter_context(nats(stored, port=nats_port))
        collector.enter_context(_serve(port, url, "--nats", through))
        worker = counting.enter_context(_writer(port, url, direct))
        with Clients(port) as clients:
            clients.wait_for(_RANDOM.randrange(50, 200))
            worker.kill()
            clients.wait_for(_RANDOM.randrange(50, 200))
            worker = counting.enter_context(_writer(port, url, direct))
            cable.open.clear()  # longer than JetStream may take to answer
            time.sleep(5.5)
            cable.open.set()
            clients.wait_for(_RANDOM.randrange(50, 200))
            broker.process.kill()
            server.close()
            assert not accepts(nats_port)
            server.enter_context(nats(stored, port=nats_port))
            clients.wait_for(_RANDOM.randrange(50, 200))
            collector.close()
            collector.enter_context(_serve(port, url, "--nats", through))
            clients.wait_for(50)
        assert clients.refused
        store = open_store(url)
        _assert_counted(store, clients)
        store.close()
