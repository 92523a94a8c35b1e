"""What a worker or a writer says of its own health, and to whom."""

from __future__ import annotations

import asyncio
import urllib.request
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from certpin.errors import ConfigError, StoreError
from certpin_watch.metrics.counters import COUNTERS
from certpin_watch.monitor.worker import SERVICE
from certpin_watch.store.failures import store_error
from certpin_watch.vitals import answering, application
from certpin_watch.web.health import Condition
from tests.servers._run import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from certpin_watch.store import Store

HERE, ANYWHERE = ("127.0.0.1", 1), ("0.0.0.0", 1)


def test_a_worker_is_ready_once_the_service_answers() -> None:
    there = [False]
    condition = Condition(needs={SERVICE: lambda: there[0]})
    with TestClient(application(ANYWHERE, condition, None)) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        refused = client.get("/readyz")
        assert (refused.status_code, refused.json()["wrong"]) == (503, ["service"])
        there[0] = True
        assert client.get("/readyz").status_code == 200


def test_a_writer_needs_its_store_too(sqlite_store: Store, tmp_path: Path) -> None:
    with TestClient(application(HERE, Condition(), sqlite_store)) as client:
        assert client.get("/readyz").status_code == 200
    with pytest.raises(StoreError), sqlite_store.write():
        raise store_error("full")
    with TestClient(application(HERE, Condition(), sqlite_store)) as client:
        refused = client.get("/readyz")
    assert (refused.status_code, refused.json()["wrong"]) == (503, ["store"])
    assert str(tmp_path) not in refused.text


def test_what_it_counts_is_for_this_machine_alone() -> None:
    COUNTERS.probed("verified", 0.1)
    with TestClient(application(HERE, Condition(), None)) as client:
        assert 'certpin_probes_total{outcome="verified"}' in client.get("/metrics").text
    for elsewhere in (ANYWHERE, ("192.0.2.7", 1), ("::", 1)):
        with TestClient(application(elsewhere, Condition(), None)) as client:
            assert client.get("/metrics").status_code == 404


def test_it_answers_while_it_works_and_not_where_somebody_else_does() -> None:
    address = ("127.0.0.1", free_port())

    def status() -> int:
        url = "http://{}:{}/healthz".format(*address)
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)

    async def work() -> None:
        async with answering(address, need=SERVICE) as condition:
            assert condition.lacking == ["service"]
            assert await asyncio.to_thread(status) == 200
            with pytest.raises(ConfigError, match="cannot be listened on"):
                async with answering(address):
                    pass

    asyncio.run(work())
    with pytest.raises(OSError, match="refused"):
        status()
