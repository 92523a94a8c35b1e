"""The whole application, as ``certpin serve`` puts it together."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from certpin.watch.access import routes as access
from certpin.watch.metrics import routes as metrics
from certpin.watch.settings import Settings
from certpin.watch.store import migrate, open_store
from certpin.watch.watch import Watch
from certpin.watch.watched import Watched
from certpin.watch.web.api import routes as api
from certpin.watch.web.app import application
from certpin.watch.web.health import Condition
from certpin.watch.web.pages import routes as pages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PARTS: tuple[Any, ...] = (metrics, api, access, pages)


async def _no_collector(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    folder = tmp_path / "data"
    folder.mkdir()
    store = open_store(f"sqlite:///{folder / 'watch.db'}")
    migrate(store)
    yield Watch(Settings(), store, Watched([]))
    store.close()


@pytest.fixture
def client(watch: Watch) -> TestClient:
    app = application(watch, _no_collector, Condition())
    here = ("127.0.0.1", 50_000)
    return TestClient(app, "http://127.0.0.1", follow_redirects=False, client=here)


def _routes(watch: Watch) -> list[tuple[str, str]]:
    """A method and a path of every route, with something in the place of its parameters."""
    found = [each for part in PARTS for each in part.routes(watch)]
    return [
        (method, re.sub(r"\{[^}]+\}", "1", route.path))
        for route in found
        for method in sorted(route.methods or {"GET"})
    ]


def test_with_the_store_away_nobody_gets_in_and_everybody_is_told(
    watch: Watch, client: TestClient, tmp_path: Path
) -> None:
    watch.store.close()
    shutil.rmtree(tmp_path / "data")
    routes = _routes(watch)
    assert len(routes) > 40
    for method, path in routes:
        answer = client.request(method, path, headers={"Accept": "application/json"})
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5"), (method, path)
    page = client.get("/", headers={"Accept": "text/html"})
    assert page.status_code == 503
    assert "The database is away" in page.text
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503


@pytest.mark.parametrize("path", ["/reports", "/reports/", "/reports/anything"])
def test_reports_have_a_way_in_of_their_own(client: TestClient, path: str) -> None:
    assert client.post(path).status_code == 418


@pytest.mark.parametrize("path", ["/reportsx", "/x/reports", "//reports", "/REPORTS"])
def test_nothing_else_goes_that_way(client: TestClient, path: str) -> None:
    assert client.post(path).status_code in {403, 404}


def test_what_is_not_there_is_a_page_or_a_problem(client: TestClient) -> None:
    page = client.get("/nothing", headers={"Accept": "text/html"})
    assert (page.status_code, "Nothing is under this address." in page.text) == (404, True)
    told = client.get("/nothing", headers={"Accept": "application/json"})
    assert told.headers["Content-Type"] == "application/problem+json"
    assert "default-src 'none'" in told.headers["Content-Security-Policy"]
