"""All that is served, put together: reports on their own way in, everything else behind the door."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette

from certpin.watch import metrics
from certpin.watch.access import routes as access
from certpin.watch.access.middleware import AccessMiddleware
from certpin.watch.web import api, health, pages

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from certpin.watch.watch import Watch
    from certpin.watch.web.health import Condition

REPORTS = "/reports"  # where clients send to


def application(watch: Watch, collector: ASGIApp, condition: Condition) -> ASGIApp:
    """The whole as one ASGI application. Raises ``ConfigError`` where a route lets anybody in."""
    routes = [
        *health.routes(watch, condition),
        *metrics.routes(watch),
        *api.routes(watch),
        *access.routes(watch),
        *pages.routes(watch),
    ]
    inside = Starlette(routes=routes, exception_handlers=pages.HANDLERS)
    door = AccessMiddleware(inside, watch, routes)

    async def whole(scope: Scope, receive: Receive, send: Send) -> None:
        # Before everything else: reports come by the thousand, and need no login.
        is_report = scope["type"] == "http" and f"{scope['path']}/".startswith(f"{REPORTS}/")
        await (collector if is_report else door)(scope, receive, send)

    return whole
