"""Check which routes each role and token may use, and that no route lacks a requirement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from certpin.errors import ConfigError, StoreError
from certpin_watch.auth import identity
from certpin_watch.auth.access import (
    AccessMiddleware,
    check_routes,
    every_route,
    require,
    requirement_of,
)
from certpin_watch.auth.identity import Identity
from certpin_watch.permissions import ROLES, SCOPES, scopes_of
from tests.watch.auth._kit import Clock, Service, csrf_of

if TYPE_CHECKING:
    from typing import Any

    from starlette.requests import Request

    from certpin_watch.store import Store

pytestmark = pytest.mark.slow  # every route, as each role

MEETS = {"anonymous": {"anyone"}} | {
    role: {"anyone", "signed-in", *may} for role, may in ROLES.items()
}


async def _bare(request: Request) -> Response:
    return PlainTextResponse("secret")


def _ask(browser: Any, route: Any) -> list[tuple[str, int]]:
    path = route.path
    csrf = csrf_of(browser.get("/account")) or csrf_of(browser.get("/login"))
    answers = []
    for method in sorted((getattr(route, "methods", None) or {"GET"}) - {"HEAD"}):
        data = {"csrf": csrf} if method == "POST" else None
        answers.append((method, browser.request(method, path, data=data).status_code))
    return answers


def test_each_role_reaches_exactly_its_routes(store: Store) -> None:
    service = Service(store, Clock())
    for role in ROLES:
        service.add(role, role)
    for who, meets in MEETS.items():
        for route in every_route(service.routes):
            if getattr(route, "path", "") == "/login":
                continue  # it refuses the empty name
            browser = service.browser() if who == "anonymous" else service.signed_in(who)
            for method, status in _ask(browser, route):
                refused = {401, 403} if who != "anonymous" or method == "POST" else {303}
                allowed = requirement_of(route) in meets
                assert (status not in refused) == allowed, (who, route, method, status)


def test_every_requirement_has_a_route(service: Service) -> None:
    found = {requirement_of(route) for route in every_route(service.routes)}
    assert found == {"anyone", "signed-in", *SCOPES}


def test_token_allows_exactly_its_scopes(service: Service) -> None:
    service.add("anna", "admin")
    with service.browser() as browser:
        for scope in SCOPES:
            bearer = {"authorization": f"Bearer {service.token(scope)}"}
            allowed = {
                "read": browser.get("/", headers=bearer).status_code == 200,
                "metrics": browser.get("/metrics", headers=bearer).status_code == 200,
                "silence": browser.post("/silences", headers=bearer).status_code == 200,
                "admin": browser.get("/tokens", headers=bearer).status_code == 200,
            }
            assert allowed == {other: other == scope for other in SCOPES}
            assert browser.get("/account", headers=bearer).status_code == 403


def test_unknown_requirement_is_never_met() -> None:
    assert not Identity(kind="local", scopes=ROLES["admin"]).may("everything")
    assert scopes_of("owner") == frozenset()
    with pytest.raises(ConfigError, match="no requirement"):
        require("everything")


def test_route_without_a_requirement_prevents_the_start(service: Service) -> None:
    inside = Mount("/in", routes=[Route("/bare", _bare)])
    for route in (Route("/bare", _bare), inside, Mount("/in", PlainTextResponse("secret"))):
        with pytest.raises(ConfigError, match="no requirement is declared"):
            AccessMiddleware(Starlette(), service.watch, [route])
    check_routes([Mount("/in", routes=[Route("/fine", require("read")(_bare))])])


def test_response_of_a_route_without_a_requirement_is_discarded(service: Service) -> None:
    service.app = AccessMiddleware(Starlette(routes=[Route("/bare", _bare)]), service.watch)
    answer = service.browser().get("/bare")
    assert (answer.status_code, "secret" in answer.text) == (403, False)
    assert "content-security-policy" in answer.headers
    assert service.browser().get("/none").status_code == 404


def test_route_refuses_requests_without_an_identity() -> None:
    from starlette.testclient import TestClient

    app = Starlette(routes=[Route("/", require("read")(_bare))])
    assert TestClient(app).get("/").status_code == 401


def test_a_websocket_is_refused(service: Service) -> None:
    from starlette.websockets import WebSocketDisconnect

    with (
        pytest.raises(WebSocketDisconnect) as caught,
        service.browser().websocket_connect("/"),
    ):
        pass
    assert caught.value.code == 1008


def test_refusal_suits_browsers_htmx_and_programs(service: Service) -> None:
    service.add("anna")
    browser = service.browser()
    page = browser.get("/?host=a.example")
    assert (page.status_code, page.headers["location"]) == (303, "/login?next=/%3Fhost%3Da.example")
    part = browser.get("/", headers={"hx-request": "true"})
    assert (part.status_code, part.headers["hx-redirect"]) == (401, "/login?next=/")
    program = browser.get("/", headers={"accept": "application/json"})
    assert program.status_code == 401
    assert program.headers["www-authenticate"].startswith("Bearer")
    assert program.headers["content-type"] == "application/problem+json"


def test_unavailable_database_gives_no_access(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: object) -> None:
        raise StoreError("the database is unavailable", reason="away")

    service.add("anna")
    browser = service.signed_in("anna")
    monkeypatch.setattr(identity, "find_session", unavailable)
    answer = browser.get("/")
    assert (answer.status_code, "anna" in answer.text) == (503, False)


def test_synchronous_endpoint_can_have_a_requirement(service: Service) -> None:
    def plain(request: Request) -> Response:
        return PlainTextResponse("fine")

    route = Route("/", require("anyone")(plain))
    service.app = AccessMiddleware(Starlette(routes=[route]), service.watch, [route])
    assert service.browser().get("/").text == "fine"
