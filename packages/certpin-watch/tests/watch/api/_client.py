"""A test client that sends requests to the service's API within this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from certpin_watch.api.routes import BASE, routes
from certpin_watch.auth.identity import Identity
from certpin_watch.permissions import READ
from tests.watch.store.queries import _world as world

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from certpin_watch.store import Store


TOKEN = {"Authorization": "Bearer good"}


class FixedIdentity:
    """ASGI middleware that sets the identity of each request.

    A request with the test's token has the identity ``identity``. All other requests are anonymous.
    """

    def __init__(self, app: ASGIApp, identity: Identity) -> None:
        self.app, self.identity = app, identity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = Headers(scope=scope).get("authorization") == TOKEN["Authorization"]
        scope.setdefault("state", {})["identity"] = self.identity if known else Identity()
        await self.app(scope, receive, send)


def app(store: Store, *scopes: str) -> Starlette:
    identity = Identity("test", kind="token", scopes=frozenset(scopes or {READ}))
    middleware = [Middleware(FixedIdentity, identity=identity)]
    return Starlette(routes=routes(world.watch(store)), middleware=middleware)


class Api:
    def __init__(self, store: Store, *scopes: str) -> None:
        self.client = TestClient(app(store, *scopes), headers=TOKEN)

    def get(self, path: str, status: int = 200, **headers: str) -> Any:
        found = self.client.get(BASE + path, headers=headers)
        assert found.status_code == status, found.text
        return found

    def json(self, path: str) -> Any:
        return self.get(path).json()

    def refused(self, path: str, status: int) -> str:
        found = self.get(path, status)
        assert found.headers["content-type"] == "application/problem+json"
        assert found.json()["status"] == status
        return str(found.json()["detail"])
