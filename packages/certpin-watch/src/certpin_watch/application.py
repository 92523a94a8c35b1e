"""The whole service as one ASGI application: reports, health, metrics, API, login and pages.

Requests for ``/reports`` go directly to the collector: clients have no login, and can send
thousands of reports. Health checks need no login either. All other requests pass
``AccessMiddleware``, which checks them.
"""

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
from certpin_watch.auth.access import AccessMiddleware, problem, require
from certpin_watch.health import HEALTHZ, READYZ, health_routes
from certpin_watch.health import METRICS as METRICS_PATH
from certpin_watch.metrics.exporter import metrics_endpoint
from certpin_watch.permissions import METRICS
from certpin_watch.web.routes import page_routes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from certpin_watch.context import Watch
    from certpin_watch.health import ProcessHealth

REPORTS = "/reports"  # clients send reports here

log = logging.getLogger("certpin.watch")


def application(watch: Watch, collector: ASGIApp, health: ProcessHealth) -> ASGIApp:
    """Build the ASGI application of ``certpin serve``.

    Args:
        watch: the settings, the store, the pin files and the clock of the service.
        collector: the ASGI application that receives reports.
        health: the state of this process, for the health checks and the pages.

    Raises:
        ConfigError: a route does not declare which users may request it.
    """
    routes = [
        *metrics_routes(watch),
        *api.routes(watch),
        *access.routes(watch),
        *page_routes(watch),
    ]
    inside = Starlette(routes=routes, exception_handlers=HANDLERS)
    inside.state.health = health
    # A redirect would send the browser to the host in the request, which an attacker may choose.
    inside.router.redirect_slashes = False
    guarded = AccessMiddleware(inside, watch, routes)
    checks = Router(health_routes(watch.store, health))

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if _names_two_hosts(scope):
            await _AMBIGUOUS(scope, receive, send)
            return
        path = scope["path"] if scope["type"] == "http" else ""
        if path == REPORTS or path.startswith(f"{REPORTS}/"):
            telemetry.name_route(scope, REPORTS)
            await collector(scope, receive, send)
        elif path in {HEALTHZ, READYZ}:
            telemetry.name_route(scope, path)
            await checks(scope, receive, send)
        else:
            telemetry.name_route(scope, routes)
            await guarded(scope, receive, send)

    return serve


def metrics_routes(watch: Watch) -> list[BaseRoute]:
    """Return the route ``/metrics``, which requires the scope ``metrics``."""
    endpoint = require(METRICS)(metrics_endpoint(watch))
    return [Route(METRICS_PATH, endpoint, methods=["GET"])]


_AMBIGUOUS = PlainTextResponse("The request names more than one host.\n", 400)


def _names_two_hosts(scope: Scope) -> bool:
    """Return True if a request has several Host headers, which RFC 9112, section 3.2, forbids.

    Such a request is refused. Otherwise a proxy in front of the service could use one of the
    headers, and the service another.
    """
    return [name for name, _ in scope.get("headers", ())].count(b"host") > 1


def _http_error(request: Request, exc: Exception) -> Response:
    """Return the response to a request with an unknown path or a wrong method.

    Browsers get an error page, programs a problem as in RFC 9457. ``exc`` has the status.
    """
    status = exc.status_code if isinstance(exc, HTTPException) else 500
    answer = problem(request, status, HTTPStatus(status).phrase, _DETAILS.get(status, ""))
    if isinstance(exc, HTTPException) and exc.headers:
        answer.headers.update(exc.headers)
    return answer


def _internal_error(request: Request, exc: Exception) -> Response:
    """Log an unexpected error, and return a response (status 500) without any text of the error.

    The error can contain secrets or texts from the network.
    """
    log.error("%s failed", request.scope.get("route"), exc_info=exc)
    return problem(request, 500, "The monitoring service failed", "Its log contains the reason.")


_DETAILS = {
    404: "There is nothing at this address.",
    405: "This address does not accept the method of the request.",
}

HANDLERS: Mapping[Any, Any] = {HTTPException: _http_error, Exception: _internal_error}
