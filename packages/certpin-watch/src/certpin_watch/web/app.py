"""All that is served, put together: reports on their own way in, all else behind the door."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Router

from certpin_watch import telemetry
from certpin_watch.auth import routes as access
from certpin_watch.auth.middleware import AccessMiddleware
from certpin_watch.health import HEALTHZ, READYZ, health_routes
from certpin_watch.metrics import exporter as metrics
from certpin_watch.web.api import routes as api
from certpin_watch.web.errors import HANDLERS
from certpin_watch.web.pages import routes as pages

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from certpin_watch.health import ProcessHealth
    from certpin_watch.snapshot import Watch

REPORTS = "/reports"  # where clients send to


def application(watch: Watch, collector: ASGIApp, health: ProcessHealth) -> ASGIApp:
    """The whole as one ASGI application. Raises ``ConfigError`` where a route lets anybody in."""
    routes = [
        *metrics.routes(watch),
        *api.routes(watch),
        *access.routes(watch),
        *pages.routes(watch),
    ]
    inside = Starlette(routes=routes, exception_handlers=HANDLERS)
    inside.state.health = health  # pages say what this process lacks
    # It would send a browser to whichever host the request names.
    inside.router.redirect_slashes = False
    door = AccessMiddleware(inside, watch, routes)

    checks = Router(health_routes(watch.store, health))

    async def whole(scope: Scope, receive: Receive, send: Send) -> None:
        if _names_two_hosts(scope):
            await _AMBIGUOUS(scope, receive, send)
            return
        # Before everything else: reports come by the thousand, and need no login.
        path = scope["path"] if scope["type"] == "http" else ""
        if path == REPORTS or path.startswith(f"{REPORTS}/"):
            telemetry.name_route(scope, REPORTS)
            await collector(scope, receive, send)
        elif path in {HEALTHZ, READYZ}:
            telemetry.name_route(scope, path)
            await checks(scope, receive, send)
        else:
            telemetry.name_route(scope, routes)
            await door(scope, receive, send)

    return whole


_AMBIGUOUS = PlainTextResponse("The request names more than one host.\n", 400)


def _names_two_hosts(scope: Scope) -> bool:
    """RFC 9112 section 3.2: a server and a proxy in front may each believe another of them."""
    return [name for name, _ in scope.get("headers", ())].count(b"host") > 1
