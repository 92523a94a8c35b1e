"""A span for each request, made by OpenTelemetry's ASGI instrumentation.

The instrumentation records host, path, query, address and agent of the client, and headers if an
environment variable says so. So it gets a request that has only a method, and the
application gets the real one. The route is added by ``name_route``: ``/hosts/{name}``, and never
which host.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from certpin_watch.telemetry.spans import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send

    from certpin_watch.counters import Counters
    from certpin_watch.telemetry.settings import Settings

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Keys of a scope: the real request, and the span of the request.
_REQUEST, _SPAN = "certpin.request", "certpin.span"


@contextmanager
def begun(
    settings: Settings, counters: Counters | None = None
) -> Iterator[Callable[[ASGIApp], ASGIApp]]:
    """Send telemetry while the block runs. Yields a function that traces an ASGI application.

    Without an endpoint the function returns the application itself. Raises ``ConfigError``.
    """
    from certpin_watch.counters import COUNTERS

    if not settings.endpoint:
        yield lambda app: app
        return
    made = Telemetry(settings, COUNTERS if counters is None else counters)
    try:
        yield lambda app: _traced(app, made.instrument)
    finally:
        made.stop()


def _traced(app: ASGIApp, instrument: Callable[[ASGIApp, Callable[..., None]], ASGIApp]) -> ASGIApp:
    """Put a span around each request, with method, route and status."""

    async def inside(shown: Scope, receive: Receive, send: Send) -> None:
        await app({**shown[_REQUEST], _SPAN: shown[_SPAN]}, receive, send)

    instrumented = instrument(inside, _begin)

    async def outside(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        await instrumented({"type": "http", "method": method, _REQUEST: scope}, receive, send)

    return outside


def _begin(span: Any, shown: Scope) -> None:
    """Keep the span of a request for ``name_route``: OpenTelemetry calls this hook."""
    span.set_attribute("http.route", "other")
    shown[_SPAN] = span


def name_route(scope: Scope, route: str | Iterable[BaseRoute]) -> None:
    """Record which route answers a request: by its name, or the first of these that matches.

    It is called before the access checks: a refused request has its route, too.
    """
    span = scope.get(_SPAN)
    if span is None:
        return
    found = route if isinstance(route, str) else _template(scope, route)
    if found is not None:
        span.set_attribute("http.route", found)


def _template(scope: Scope, routes: Iterable[BaseRoute]) -> str | None:
    """``/hosts/{name}``, and not which host."""
    from starlette.routing import Match, Mount, Route  # commands that only read settings skip it

    for each in routes:
        if isinstance(each, Route | Mount) and each.matches(scope)[0] is not Match.NONE:
            return each.path
    return None
