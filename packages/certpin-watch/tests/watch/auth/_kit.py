"""A service with a few routes for every kind of access, and test clients that act as browsers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from certpin_watch.auth.access import AccessMiddleware, require
from certpin_watch.auth.credentials import hash_new_password, make_token
from certpin_watch.auth.pages import routes
from certpin_watch.context import Watch
from certpin_watch.settings import ServiceSettings
from certpin_watch.snapshot import PinFiles
from certpin_watch.store.accounts import add_account
from certpin_watch.store.tables.service import AUDIT

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from certpin_watch.store import Store

PASSWORD = "four words of a test"
PAGE = {"accept": "text/html"}
OWN = {"sec-fetch-site": "same-origin"}


class Clock:
    """A clock for the service under test. Calling it returns the time that the test has set."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **span: float) -> None:
        self.now += timedelta(**span)


async def _page(request: Request) -> Response:
    return HTMLResponse(f"<p>{request.state.identity.name}</p>")


async def _change(request: Request) -> Response:
    form = await request.form()
    return JSONResponse({"who": request.state.identity.name, "why": form.get("why")})


async def _file(_request: Request) -> Response:
    return Response("a file", media_type="text/css")


OTHERS: list[BaseRoute] = [
    Route("/", require("read")(_page)),
    Route("/metrics", require("metrics")(_page)),
    Route("/silences", require("silence")(_change), methods=["POST"]),
    Route("/health", require("anyone")(_page)),
    Route("/files", require("anyone")(_file)),
]


@dataclass
class Service:
    """A monitoring service with access control, and helpers that add accounts and tokens to its
    store.
    """

    store: Store
    clock: Clock
    settings: ServiceSettings = field(default_factory=ServiceSettings)

    def __post_init__(self) -> None:
        self.watch = Watch(self.settings, self.store, PinFiles(()), self.clock)
        self.routes = [*routes(self.watch), *OTHERS]
        self.app = AccessMiddleware(Starlette(routes=self.routes), self.watch, self.routes)

    def with_settings(self, **settings: Any) -> Service:
        """Return a service with the same store and other settings."""
        return Service(self.store, self.clock, ServiceSettings(**settings))

    def add(self, name: str, role: str = "viewer", password: str = PASSWORD) -> None:
        hashed = hash_new_password(password, name)
        with self.store.write() as connection:
            add_account(connection, name, role, hashed, self.clock())

    def token(self, *scopes: str, **more: Any) -> str:
        with self.store.write() as connection:
            made = make_token(connection, "test", scopes, by="test", now=self.clock(), **more)
        return made[1]

    def browser(
        self, base: str = "http://127.0.0.1:8460", address: str = "127.0.0.1", **headers: str
    ) -> TestClient:
        return TestClient(
            self.app,
            base_url=base,
            client=(address, 40000),
            headers={**PAGE, **OWN, **headers},
            follow_redirects=False,
        )

    def signed_in(self, name: str, **how: Any) -> TestClient:
        """Return a browser in which an account is signed in."""
        browser = self.browser(**how)
        answer = sign_in(browser, name)
        assert answer.status_code == 303, answer.text
        return browser

    def audit_log(self) -> list[tuple[str, str, str, str]]:
        """Return the entries of the audit log, oldest first.

        Each entry is a tuple of the actor, the action, its subject and its outcome.
        """
        with self.store.read() as connection:
            rows = connection.execute(select(AUDIT).order_by(AUDIT.c.id)).all()
        return [(row.who, row.what, row.subject, row.outcome) for row in rows]


def csrf_of(answer: Any) -> str:
    """Return the CSRF token in the forms of an HTML response; empty if there is none."""
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', answer.text)
    return found[1] if found else ""


def sign_in(browser: TestClient, name: str, password: str = PASSWORD, **more: str) -> Any:
    """Load the login form, submit it with the name and the password, and return the response."""
    csrf = csrf_of(browser.get("/login"))
    return browser.post("/login", data={"csrf": csrf, "name": name, "password": password, **more})


def post(browser: TestClient, path: str, page: str = "/account", **fields: Any) -> Any:
    """Load the page ``page`` for its CSRF token, post ``fields`` to ``path``, and return the
    response.
    """
    return browser.post(path, data={"csrf": csrf_of(browser.get(page)), **fields})
