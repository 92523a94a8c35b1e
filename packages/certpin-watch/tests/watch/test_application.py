"""The whole application, as ``certpin serve`` puts it together."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from certpin_watch.api import routes as api
from certpin_watch.application import application, metrics_routes
from certpin_watch.auth import pages as access
from certpin_watch.auth.credentials import make_token
from certpin_watch.context import Watch
from certpin_watch.health import ProcessHealth
from certpin_watch.secret import Secret
from certpin_watch.settings import AuthSettings, NotificationSettings, ServiceSettings
from certpin_watch.snapshot import PinFiles
from certpin_watch.store import migrate, open_store
from certpin_watch.web.routes import page_routes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROUTES: tuple[Any, ...] = (metrics_routes, api.routes, access.routes, page_routes)


async def _no_collector(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    folder = tmp_path / "data"
    folder.mkdir()
    store = open_store(f"sqlite:///{folder / 'watch.db'}")
    migrate(store)
    yield Watch(ServiceSettings(), store, PinFiles([]))
    store.close()


@pytest.fixture
def client(watch: Watch) -> TestClient:
    app = application(watch, _no_collector, ProcessHealth())
    here = ("127.0.0.1", 50_000)
    return TestClient(app, "http://127.0.0.1", follow_redirects=False, client=here)


def _routes(watch: Watch) -> list[tuple[str, str]]:
    """Return method and path of every route, with values for its parameters."""
    found = [route for routes in ROUTES for route in routes(watch)]
    return [
        (method, re.sub(r"\{[^}]+\}", "1", route.path))
        for route in found
        for method in sorted(route.methods or {"GET"})
    ]


@pytest.mark.medium
def test_without_the_store_every_route_answers_503(
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
    assert "The database is unavailable" in page.text
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503


@pytest.mark.medium
@pytest.mark.parametrize("digits", [4301, 60_000])
def test_a_number_of_any_length_in_a_path_is_no_defect(watch: Watch, digits: int) -> None:
    """Python converts 4300 digits at most, and a route is matched before access is checked."""
    settings = replace(watch.settings, public_url="https://watch.bank.example/")
    app = application(replace(watch, settings=settings), _no_collector, ProcessHealth())
    client = TestClient(app, "https://watch.bank.example", follow_redirects=False)
    paths = {route.path for routes in ROUTES for route in routes(watch) if "{" in route.path}
    assert len(paths) > 10
    for path in sorted(paths):
        number = re.sub(r"\{[^}]+\}", "9" * digits, path)
        assert client.get(number).status_code in {200, 401, 404, 405}, path


@pytest.mark.medium
@pytest.mark.parametrize("path", ["/reports", "/reports/", "/reports/anything"])
def test_reports_go_to_the_collector(client: TestClient, path: str) -> None:
    assert client.post(path).status_code == 418


@pytest.mark.medium
@pytest.mark.parametrize("path", ["/reportsx", "/x/reports", "//reports", "/REPORTS"])
def test_similar_paths_do_not_go_to_the_collector(client: TestClient, path: str) -> None:
    assert client.post(path).status_code in {403, 404}


def test_an_unknown_path_is_a_page_or_a_problem(client: TestClient) -> None:
    page = client.get("/nothing", headers={"Accept": "text/html"})
    assert (page.status_code, "There is nothing at this address." in page.text) == (404, True)
    problem = client.get("/nothing", headers={"Accept": "application/json"})
    assert problem.headers["Content-Type"] == "application/problem+json"
    assert "default-src 'none'" in problem.headers["Content-Security-Policy"]


@pytest.mark.medium
def test_a_request_that_names_two_hosts_is_refused(client: TestClient) -> None:
    """A request with two ``Host`` headers gets the status 400 (RFC 9112 section 3.2)."""
    for path in ("/", "/healthz", "/reports", "/api/v1/alerts"):
        twice = [("host", "127.0.0.1"), ("host", "evil.example")]
        assert client.get(path, headers=twice).status_code == 400, path
        assert client.get(path, headers=twice[:1]).status_code != 400, path


@pytest.mark.medium
def test_with_a_public_address_other_hosts_are_refused(watch: Watch) -> None:
    settings = replace(
        watch.settings,
        public_url="https://Watch.bank.example/",
        access=AuthSettings(hosts=frozenset({"watch.internal"})),
    )
    app = application(replace(watch, settings=settings), _no_collector, ProcessHealth())

    def status(base: str, path: str = "/", address: str = "192.0.2.1", **headers: str) -> int:
        client = TestClient(app, base, follow_redirects=False, client=(address, 50_000))
        return client.get(path, headers=headers).status_code

    for base in ("https://watch.bank.example", "https://watch.bank.example:8460"):
        assert status(base) == 401
    assert status("https://watch.internal") == 401
    for base in ("https://evil.example", "https://192.0.2.9", "https://127.0.0.1"):
        assert status(base) == status(base, "/api/v1/alerts") == 421, base
        assert status(base, "/healthz") == 200
        assert status(base, "/reports") == 418  # clients report under the name in their pin file
    assert status("http://127.0.0.1:8460", address="127.0.0.1") != 421  # on this machine
    with watch.store.write() as connection:
        _, token = make_token(connection, "prometheus", ["metrics"], by="anna", now=watch.clock())
    bearer = {"authorization": f"Bearer {token}"}
    assert status("http://10.0.0.7:8460", "/metrics", **bearer) == 200


@pytest.mark.medium
def test_every_page_warns_if_no_service_receives_alerts(watch: Watch, client: TestClient) -> None:
    pages = ("/", "/failures", "/pin-sets", "/alerts", "/silences", "/live", "/about", "/account")
    for path in pages:
        assert (
            "No service receives alerts" in client.get(path, headers={"accept": "text/html"}).text
        )
    alerts = replace(
        watch.settings.alerts, tell=(NotificationSettings("x", Secret("json://127.0.0.1")),)
    )
    settings = replace(watch.settings, alerts=alerts)
    app = application(replace(watch, settings=settings), _no_collector, ProcessHealth())
    page = TestClient(app, "http://127.0.0.1", client=("127.0.0.1", 50_000)).get("/").text
    assert "No service receives alerts" not in page
