"""Every route as every role: what lets whom in, and that a route without a word lets in nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from certpin.errors import ConfigError, StoreError
from certpin_watch.auth import identity
from certpin_watch.auth.identity import Identity
from certpin_watch.auth.middleware import AccessMiddleware
from certpin_watch.auth.require import (
    check_routes,
    every_route,
    require,
    requirement_of,
)
from certpin_watch.permissions import ROLES, SCOPES, scopes_of
from tests.watch.auth._kit import Clock, House, csrf_of

if TYPE_CHECKING:
    from typing import Any

    from starlette.requests import Request

    from certpin_watch.store import Store

pytestmark = pytest.mark.slow  # every route, as each role

MEETS = {"nobody": {"anyone"}} | {
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


def test_each_role_gets_what_is_meant_for_it_and_nothing_else(store: Store) -> None:
    house = House(store, Clock())
    for role in ROLES:
        house.add(role, role)
    for who, meets in MEETS.items():
        for route in every_route(house.routes):
            if getattr(route, "path", "") == "/login":
                continue  # it answers with what it thinks of an empty name
            browser = house.browser() if who == "nobody" else house.signed_in(who)
            for method, status in _ask(browser, route):
                refused = {401, 403} if who != "nobody" or method == "POST" else {303}
                allowed = requirement_of(route) in meets
                assert (status not in refused) == allowed, (who, route, method, status)


def test_the_crawl_meets_a_route_of_every_requirement(house: House) -> None:
    found = {requirement_of(route) for route in every_route(house.routes)}
    assert found == {"anyone", "signed-in", *SCOPES}


def test_a_token_may_do_what_its_scopes_say(house: House) -> None:
    house.add("anna", "admin")
    with house.browser() as browser:
        for scope in SCOPES:
            bearer = {"authorization": f"Bearer {house.token(scope)}"}
            allowed = {
                "read": browser.get("/", headers=bearer).status_code == 200,
                "metrics": browser.get("/metrics", headers=bearer).status_code == 200,
                "silence": browser.post("/silences", headers=bearer).status_code == 200,
                "admin": browser.get("/tokens", headers=bearer).status_code == 200,
            }
            assert allowed == {each: each == scope for each in SCOPES}
            assert browser.get("/account", headers=bearer).status_code == 403


def test_nobody_meets_a_requirement_that_nobody_knows() -> None:
    assert not Identity(kind="local", scopes=ROLES["admin"]).may("everything")
    assert scopes_of("owner") == frozenset()
    with pytest.raises(ConfigError, match="no requirement"):
        require("everything")


def test_a_route_that_says_nothing_is_refused_before_the_watch_starts(house: House) -> None:
    for route in (Route("/bare", _bare), Mount("/in", routes=[Route("/bare", _bare)])):
        with pytest.raises(ConfigError, match="no requirement is declared"):
            AccessMiddleware(Starlette(), house.watch, [route])
    check_routes([Mount("/in", routes=[Route("/fine", require("read")(_bare))])])


def test_the_answer_of_a_route_that_says_nothing_is_thrown_away(house: House) -> None:
    house.app = AccessMiddleware(Starlette(routes=[Route("/bare", _bare)]), house.watch)
    answer = house.browser().get("/bare")
    assert (answer.status_code, "secret" in answer.text) == (403, False)
    assert "content-security-policy" in answer.headers
    assert house.browser().get("/none").status_code == 404


def test_a_route_is_closed_where_nobody_looked_who_asks() -> None:
    from starlette.testclient import TestClient

    app = Starlette(routes=[Route("/", require("read")(_bare))])
    assert TestClient(app).get("/").status_code == 401


def test_a_websocket_is_refused(house: House) -> None:
    from starlette.websockets import WebSocketDisconnect

    with (
        pytest.raises(WebSocketDisconnect) as caught,
        house.browser().websocket_connect("/"),
    ):
        pass
    assert caught.value.code == 1008


def test_strangers_are_told_where_to_sign_in_each_in_their_own_way(house: House) -> None:
    house.add("anna")
    browser = house.browser()
    page = browser.get("/?host=a.example")
    assert (page.status_code, page.headers["location"]) == (303, "/login?next=/%3Fhost%3Da.example")
    part = browser.get("/", headers={"hx-request": "true"})
    assert (part.status_code, part.headers["hx-redirect"]) == (401, "/login?next=/")
    program = browser.get("/", headers={"accept": "application/json"})
    assert program.status_code == 401
    assert program.headers["www-authenticate"].startswith("Bearer")
    assert program.headers["content-type"] == "application/problem+json"


def test_while_the_database_is_away_nobody_is_anybody(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StoreError("it is away", reason="away")

    house.add("anna")
    browser = house.signed_in("anna")
    monkeypatch.setattr(identity, "find_session", away)
    answer = browser.get("/")
    assert (answer.status_code, "anna" in answer.text) == (503, False)


def test_a_synchronous_endpoint_can_ask_for_something_too(house: House) -> None:
    def plain(request: Request) -> Response:
        return PlainTextResponse("fine")

    route = Route("/", require("anyone")(plain))
    house.app = AccessMiddleware(Starlette(routes=[route]), house.watch, [route])
    assert house.browser().get("/").text == "fine"
