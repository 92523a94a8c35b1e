"""The whole service as one ASGI application, and the list of all pages."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Route, Router

from certpin_watch import telemetry
from certpin_watch.api import routes as api
from certpin_watch.auth import pages as access
from certpin_watch.auth.middleware import AccessMiddleware
from certpin_watch.auth.require import problem, require
from certpin_watch.health import HEALTHZ, READYZ, health_routes
from certpin_watch.html.render import static
from certpin_watch.metrics import exporter as metrics
from certpin_watch.permissions import ANYONE, READ, SILENCE
from certpin_watch.web import about, alerts, failures, hosts, live, pin_sets
from certpin_watch.web.request import endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from certpin_watch.health import ProcessHealth
    from certpin_watch.snapshot import Watch
    from certpin_watch.web.request import Asked


REPORTS = "/reports"  # where clients send to


def application(watch: Watch, collector: ASGIApp, health: ProcessHealth) -> ASGIApp:
    """The whole as one ASGI application. Raises ``ConfigError`` where a route lets anybody in."""
    routes = [
        *metrics.routes(watch),
        *api.routes(watch),
        *access.routes(watch),
        *page_routes(watch),
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


log = logging.getLogger("certpin.watch")


def _refused(request: Request, exc: Exception) -> Response:
    """No such page, or none with this method."""
    status = exc.status_code if isinstance(exc, HTTPException) else 500
    answer = problem(request, status, HTTPStatus(status).phrase, _WHY.get(status, ""))
    if isinstance(exc, HTTPException) and exc.headers:
        answer.headers.update(exc.headers)
    return answer


def _failed(request: Request, exc: Exception) -> Response:
    """A fault of the watch's own. The log has it; whoever asked gets nothing of it."""
    log.error("%s failed", request.scope.get("route"), exc_info=exc)
    return problem(request, 500, "The watch failed at this", "Its log says why.")


_WHY = {
    404: "Nothing is under this address.",
    405: "Nothing is done here with this method.",
}

HANDLERS: Mapping[Any, Any] = {HTTPException: _refused, Exception: _failed}


# A new page is one module, one template, and one line here.
_SEEN: tuple[tuple[str, Callable[[Asked], Response]], ...] = (
    ("/", hosts.fleet),
    ("/hosts/{name}", hosts.host),
    ("/failures", failures.failures_page),
    ("/failures/chains/{digest}", failures.met),
    ("/pin-sets", pin_sets.pin_sets_page),
    ("/pin-sets/{name}", pin_sets.pin_set),
    ("/alerts", alerts.alerts_page),
    ("/alerts/{number:int}", alerts.alert),
    ("/silences", alerts.silences_page),
    ("/live", live.live),
    ("/about", about.about),
)
_DONE: tuple[tuple[str, Callable[[Asked], Response]], ...] = (
    ("/silences", alerts.make),
    ("/silences/{number:int}/end", alerts.end),
    ("/alerts/{number:int}/acknowledge", alerts.acknowledge),
    ("/alerts/{number:int}/unacknowledge", alerts.unacknowledge),
)


def page_routes(watch: Watch) -> list[BaseRoute]:
    """The pages, what their forms do, and the files that they need."""
    return [
        *(Route(path, endpoint(watch, answer, READ), methods=["GET"]) for path, answer in _SEEN),
        *(Route(path, endpoint(watch, done, SILENCE), methods=["POST"]) for path, done in _DONE),
        # The page for signing in needs them, too; there is nothing of anybody's in them.
        Route("/static/{name}", require(ANYONE)(static), methods=["GET"]),
    ]
