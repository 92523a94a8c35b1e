from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from certpin.errors import StoreError
from certpin_watch.settings import Settings
from certpin_watch.store import Store, open_store, prepare
from certpin_watch.store.failures import store_error
from certpin_watch.watch import Watch
from certpin_watch.watched import Watched
from certpin_watch.web.health import Condition, health
from tests.watch._damage import damage

if TYPE_CHECKING:
    from pathlib import Path


def _ask(store: Store, path: str, condition: Condition | None = None) -> tuple[int, Any]:
    watch = Watch(Settings(), store, Watched([]))
    with TestClient(health(watch, condition or Condition())) as client:
        answer = client.get(path)
    return answer.status_code, answer.json()


def test_it_is_ready_while_all_is_well(sqlite_store: Store) -> None:
    assert _ask(sqlite_store, "/healthz") == (200, {"status": "ok"})
    assert _ask(sqlite_store, "/readyz") == (200, {"status": "ok", "wrong": []})


def test_it_is_not_ready_with_a_part_that_fails_or_while_it_stops(sqlite_store: Store) -> None:
    condition = Condition(stopping=True, failing={"writer"})
    assert _ask(sqlite_store, "/readyz", condition) == (
        503,
        {"status": "not ready", "wrong": ["part writer", "stopping"]},
    )
    assert _ask(sqlite_store, "/healthz", condition)[0] == 200  # to begin it anew helps nobody


def test_it_is_not_ready_without_the_stream_that_reports_wait_in(sqlite_store: Store) -> None:
    there = [False]
    condition = Condition(needs={"stream": lambda: there[0]})
    assert _ask(sqlite_store, "/readyz", condition)[1]["wrong"] == ["stream"]
    there[0] = True
    assert _ask(sqlite_store, "/readyz", condition)[0] == 200


def test_it_is_not_ready_without_its_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    store = open_store(f"sqlite:///{folder / 'watch.db'}")
    folder.rmdir()
    status, found = _ask(store, "/readyz")
    assert status == 503
    assert found["wrong"] == ["store"]
    assert str(tmp_path) not in str(found)  # it gives nothing away


def test_it_is_not_ready_while_its_store_takes_nothing(sqlite_store: Store) -> None:
    """A full disk is read as ever."""
    with pytest.raises(StoreError), sqlite_store.write():
        raise store_error("full")
    assert _ask(sqlite_store, "/readyz") == (503, {"status": "not ready", "wrong": ["store"]})


@pytest.mark.parametrize("table", ["leases", "report_groups"])
def test_it_is_not_ready_with_a_damaged_file(tmp_path: Path, table: str) -> None:
    path = tmp_path / "watch.db"
    first = open_store(f"sqlite:///{path}")
    prepare(first)
    first.close()
    damage(path, table)
    store = open_store(f"sqlite:///{path}")
    assert _ask(store, "/readyz") == (503, {"status": "not ready", "wrong": ["store"]})
    store.close()


def test_damage_that_a_page_met_stays(sqlite_store: Store) -> None:
    with pytest.raises(StoreError), sqlite_store.read():
        raise store_error("damaged")
    assert _ask(sqlite_store, "/readyz")[0] == 503


def test_it_is_not_ready_with_a_store_that_takes_no_row(sqlite_store: Store) -> None:
    refusal = "BEGIN SELECT RAISE(ABORT, 'no'); END"
    with sqlite_store.write() as connection:
        connection.execute(text(f"CREATE TRIGGER refused BEFORE INSERT ON leases {refusal}"))
    assert _ask(sqlite_store, "/readyz")[0] == 503


def test_a_store_that_others_are_writing_to_is_ready(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("certpin_watch.store.engine.BUSY", 0.01)
    with sqlite_store.write():
        assert _ask(sqlite_store, "/readyz")[0] == 200


def test_however_many_ask_at_once_the_store_is_asked_once(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody may ask, without a login."""
    asked: list[Store] = []
    monkeypatch.setattr("certpin_watch.web.health._ask", asked.append)
    monkeypatch.setattr("certpin_watch.web.health._FRESH", 3600.0)
    with TestClient(health(Watch(Settings(), sqlite_store, Watched([])), Condition())) as client:
        assert [client.get("/readyz").status_code for _ in range(20)] == [200] * 20
    assert asked == [sqlite_store]


def test_a_store_that_hangs_holds_one_thread(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Store] = []
    go_on = threading.Event()

    def hangs(store: Store) -> None:
        asked.append(store)
        go_on.wait(10)

    monkeypatch.setattr("certpin_watch.web.health._ask", hangs)
    monkeypatch.setattr("certpin_watch.web.health._FRESH", 0.0)
    monkeypatch.setattr("certpin_watch.web.health._PATIENCE", 0.01)
    with TestClient(health(Watch(Settings(), sqlite_store, Watched([])), Condition())) as client:
        assert [client.get("/readyz").status_code for _ in range(5)] == [503] * 5
        go_on.set()
    assert len(asked) == 1
