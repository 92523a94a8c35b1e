"""OpenTelemetry: request traces, spans of the service's own work, and its counters as metrics.

    with telemetry.span("certpin.probes", vantage="eu") as note:
        ...
        note(outcome="verified")

OpenTelemetry's packages are loaded only if the table ``[telemetry]`` names an endpoint; ``_otel``
has the code that needs them.

A span is exported only with the attributes in a fixed list, and without events. It never contains
the content of a report, a host, an address, a query, a header or the message of an error. The
header ``traceparent`` of a request is ignored, so that a client can't add spans to a trace of its
choice.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from certpin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send

    from certpin_watch.counters import Counters
    from certpin_watch.secret import Secret
    from certpin_watch.settings import TelemetrySettings

_EXPORT_TIMEOUT = 5  # seconds for one export, and for the last one at shutdown
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Keys of an ASGI scope: the real request, and the span of the request.
_REQUEST, _SPAN = "certpin.request", "certpin.span"


@contextmanager
def exporting(
    settings: TelemetrySettings, counters: Counters
) -> Iterator[Callable[[ASGIApp], ASGIApp]]:
    """Export traces and metrics to the endpoint in the settings while the ``with`` block runs.

    Args:
        settings: the table ``[telemetry]``.
        counters: the Prometheus counters, which are exported as metrics.

    Yields:
        A function that traces the requests of an ASGI application. Without an endpoint it returns
        the application unchanged.

    Raises:
        ConfigError: OpenTelemetry is not installed, or the headers are invalid.
    """
    if not settings.endpoint:
        yield lambda app: app
        return
    telemetry = _Telemetry(settings, counters)
    try:
        yield lambda app: _trace_requests(app, telemetry.instrument)
    finally:
        telemetry.stop()


@contextmanager
def span(name: str, **attributes: Any) -> Iterator[Callable[..., None]]:
    """Record the ``with`` block as an OpenTelemetry span, or do nothing if telemetry is off.

    Args:
        name: the span's name.
        attributes: the attributes of the span. ``batch_size=12``, for example, is exported as
            ``certpin.batch.size``.

    Yields:
        A function that adds attributes to the span.
    """
    if not _active:
        yield _ignore_attributes
        return
    with _active[-1].span(name, attributes) as note:
        yield note


def name_route(scope: Scope, route: str | Iterable[BaseRoute]) -> None:
    """Add the route of a request, such as ``/hosts/{name}``, to the request's span.

    Call this before the access checks, so that the span of a refused request has its route, too.

    Args:
        scope: the request.
        route: the route's path, or a list of routes, of which the first match is recorded.
    """
    span = scope.get(_SPAN)
    if span is None:
        return
    path = route if isinstance(route, str) else _matching_path(scope, route)
    if path is not None:
        span.set_attribute("http.route", path)


def parse_headers(headers: Secret | None) -> dict[str, str]:
    """Parse the HTTP headers for exports, as in ``NAME=VALUE,NAME=VALUE``.

    Returns:
        The values, by lower-case name.

    Raises:
        ConfigError: the text has a different form. The error doesn't contain the text.
    """
    text = headers.reveal() if headers else ""
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    if not all(name.strip() and equals for name, equals, _ in pairs):
        raise ConfigError(
            "these are no headers", key="telemetry.headers", fix="write NAME=VALUE,NAME=VALUE"
        )
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


class _Telemetry:
    """The running export of traces and metrics to an OpenTelemetry collector (OTLP over HTTP)."""

    def __init__(self, settings: TelemetrySettings, counters: Counters) -> None:
        try:
            from certpin_watch import _otel
        except ModuleNotFoundError as exc:
            raise ConfigError(
                "OpenTelemetry is not installed",
                key="telemetry.endpoint",
                fix="pip install 'certpin[otel]'",
            ) from exc
        self._exporter = _otel.Exporter(settings, parse_headers(settings.headers), _EXPORT_TIMEOUT)
        self.instrument = self._exporter.instrument
        self._unsubscribe = counters.listen(self._exporter.count)
        _active.append(self)

    @contextmanager
    def span(self, name: str, attributes: dict[str, Any]) -> Iterator[Callable[..., None]]:
        """Record the ``with`` block as a span. Yield a function that adds attributes to the span.

        If the block raises an exception, the span is marked as failed, and the exception is raised
        again.
        """
        with self._exporter.span(name) as span:

            def note(**more: Any) -> None:
                span.set_attributes(
                    {f"certpin.{name.replace('_', '.')}": value for name, value in more.items()}
                )

            note(**attributes)
            try:
                yield note
            except BaseException:
                self._exporter.mark_failed(span)
                raise

    def stop(self) -> None:
        """Export the queued spans and metrics, within a time limit, and stop exporting."""
        _active.remove(self)
        self._unsubscribe()
        self._exporter.stop()


_active: list[_Telemetry] = []


def _ignore_attributes(**more: Any) -> None:
    del more


def _trace_requests(
    app: ASGIApp, instrument: Callable[[ASGIApp, Callable[..., None]], ASGIApp]
) -> ASGIApp:
    """Return an ASGI application that passes requests to ``app``, and records a span of each.

    The span has only method, route and status. OpenTelemetry's instrumentation would also record
    the host, path and query of a request, the address and agent of the client, and headers if an
    environment variable asks for them. So the instrumentation gets a request that has only a
    method, and ``app`` gets the real request.

    ``instrument`` wraps an ASGI application with OpenTelemetry's instrumentation.
    """

    async def inside(shown: Scope, receive: Receive, send: Send) -> None:
        await app({**shown[_REQUEST], _SPAN: shown[_SPAN]}, receive, send)

    instrumented = instrument(inside, _keep_span)

    async def outside(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        await instrumented({"type": "http", "method": method, _REQUEST: scope}, receive, send)

    return outside


def _keep_span(span: Any, shown: Scope) -> None:
    """Store the span of a request in an ASGI scope, where ``name_route`` finds it later.

    OpenTelemetry calls this hook for each request.

    Args:
        span: the span.
        shown: the ASGI scope that OpenTelemetry gets instead of the real one: it has only the
            method. ``_trace_requests`` copies the span from it to the scope that the application
            gets.
    """
    span.set_attribute("http.route", "other")
    shown[_SPAN] = span


def _matching_path(scope: Scope, routes: Iterable[BaseRoute]) -> str | None:
    """Return the path of the first route that matches a request, such as ``/hosts/{name}``.

    Return None if no route matches.
    """
    from starlette.routing import Match, Mount, Route  # commands that only read settings skip it

    for route in routes:
        if isinstance(route, Route | Mount) and route.matches(scope)[0] is not Match.NONE:
            return route.path
    return None
