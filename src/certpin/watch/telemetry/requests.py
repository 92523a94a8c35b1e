"""A span for each request, with the route that answered and not the path: names may stand in it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from certpin.watch.telemetry.spans import is_on, span, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from certpin.watch.telemetry.settings import Settings

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_ROUTE = "certpin.route"  # in a scope: a list, which whoever knows the route puts it into


@contextmanager
def begun(settings: Settings) -> Iterator[Callable[[Any], Any]]:
    """Telemetry for as long as the block runs; what it gets puts spans around an ASGI application.

    Raises ``ConfigError``.
    """
    from certpin.watch.metrics.counters import COUNTERS

    stop = start(settings, COUNTERS)
    try:
        yield TelemetryMiddleware if settings.endpoint else (lambda app: app)
    finally:
        stop()


class TelemetryMiddleware:
    """A span for each request: method, route and status."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http" or not is_on():
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        route: list[str] = []
        with span("certpin.request", http_request_method=method) as note:

            async def sent(message: Message) -> None:
                if message["type"] == "http.response.start":
                    note(http_response_status_code=message["status"])
                await send(message)

            try:
                await self._app({**scope, _ROUTE: route}, receive, sent)
            finally:
                note(http_route=route[0] if route else "other")


def name_route(scope: Scope, route: str | Iterable[BaseRoute]) -> None:
    """Say which route answers a request: by its name, or as the one of these that matches.

    It is named before anybody looks at who asks: what is refused has its route, too.
    """
    told = scope.get(_ROUTE)
    if told is None:
        return
    found = route if isinstance(route, str) else _template(scope, route)
    if found is not None:
        told.append(found)


def _template(scope: Scope, routes: Iterable[BaseRoute]) -> str | None:
    """``/hosts/{name}``, and not which host."""
    from starlette.routing import Match, Mount, Route  # not where settings alone are read

    for each in routes:
        if isinstance(each, Route | Mount) and each.matches(scope)[0] is not Match.NONE:
            return each.path
    return None
