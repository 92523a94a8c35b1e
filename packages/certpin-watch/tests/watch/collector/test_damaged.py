"""Check a service with a damaged SQLite file: once the damage is found, all reports are refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from starlette.routing import Router
from starlette.testclient import TestClient

from certpin_watch.health import ProcessHealth, health_routes
from tests.watch._damage import damage
from tests.watch.collector import bodies
from tests.watch.collector.asgi_client import post_all
from tests.watch.collector.server import create_tables, make_watch

if TYPE_CHECKING:
    from pathlib import Path

    from certpin_watch.context import Watch


def _post(watch: Watch, number: int) -> int:
    [status] = post_all(watch, [json.dumps(bodies.report(number)).encode()])
    return status


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the SQLite file of a store that has accepted a report."""
    watch = make_watch(f"sqlite:///{tmp_path}/w.db")
    create_tables(watch)
    assert _post(watch, 0) == 204
    watch.store.close()
    return tmp_path / "w.db"


@pytest.mark.medium
def test_report_is_refused_once_readiness_found_damage_elsewhere(path: Path) -> None:
    """The damaged table is not one to which reports are written, so a write alone would succeed."""
    damage(path, "audit")
    watch = make_watch(f"sqlite:///{path}")
    assert _post(watch, 1) == 204  # the damage is not known yet
    with TestClient(Router(health_routes(watch.store, ProcessHealth()))) as client:
        assert client.get("/readyz").status_code == 503
    assert _post(watch, 2) == 503
    watch.store.close()


def test_first_write_that_meets_damage_stops_all_others(path: Path) -> None:
    damage(path, "report_identities")
    watch = make_watch(f"sqlite:///{path}")
    assert _post(watch, 1) == 503
    assert watch.store.health.reason == "damaged"
    assert _post(watch, 2) == 503
    watch.store.close()


def test_new_process_with_a_restored_file_accepts_reports(path: Path) -> None:
    whole = path.read_bytes()
    damage(path, "report_identities")
    watch = make_watch(f"sqlite:///{path}")
    assert _post(watch, 1) == 503
    watch.store.close()
    for file in path.parent.glob("w.db-*"):
        file.unlink()
    path.write_bytes(whole)
    again = make_watch(f"sqlite:///{path}")
    assert _post(again, 2) == 204
    again.store.close()
