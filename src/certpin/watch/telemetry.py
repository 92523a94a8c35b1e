"""OpenTelemetry: the table ``[telemetry]``, traces, and the counters of the watch as its metrics.

    with telemetry.span("certpin.probe", vantage="eu") as note:
        ...
        note(outcome="verified")

Nothing of OpenTelemetry is loaded unless the table names an endpoint. Attributes are of a list that
stands here, and are words of the watch's own: never what a report says, never an address, a query,
a header, the words of an error. Who calls from outside joins no trace: ``traceparent`` is not read.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from certpin.errors import ConfigError, InputError
from certpin.pins.policy import is_report_address
from certpin.rotation import parse_duration
from certpin.watch.secret import read_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from certpin.pinfile.fields import Table
    from certpin.watch.metrics.counters import Counters
    from certpin.watch.secret import Secret

KNOWN: tuple[str, ...] = ("endpoint", "headers", "interval", "sampling", "service_name")

# What a span may say. A name that is not here is a mistake of a programmer, and is left out.
ATTRIBUTES = frozenset(
    {
        "http.request.method",
        "http.response.status_code",
        "http.route",
        "certpin.batch.size",
        "certpin.channel",
        "certpin.outcome",
        "certpin.rule",
        "certpin.vantage",
    }
)
_LONGEST = 100  # characters of a value
# Parts of the watch by the beginning of their paths: the door hides which route answered.
_PARTS = frozenset({"alerts", "api", "healthz", "hosts", "login", "metrics", "readyz", "reports"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PATIENCE = 5  # seconds for one export, and for the last one at the end
_LEAST_INTERVAL = timedelta(seconds=1)


@dataclass(frozen=True)
class Settings:
    """What stands in the table; each has a default. Without an endpoint there is no telemetry.

    ``headers`` are NAME=VALUE pairs with commas between. ``sampling`` is the share of traces that
    is sent, ``interval`` how often metrics are.
    """

    endpoint: str = ""
    headers: Secret | None = None
    service_name: str = "certpin-watch"
    sampling: float = 1.0
    interval: timedelta = timedelta(seconds=60)


def read(table: Table) -> Settings:
    """Read the table. Raises ``ConfigError``."""
    endpoint = table.text("endpoint", "")
    if endpoint and not is_report_address(endpoint):
        raise ConfigError(
            "this is not an https:// address",
            key=table.under("endpoint"),
            fix="http:// is for a collector on this machine alone",
        )
    return Settings(
        endpoint.rstrip("/"),
        read_secret(table, "headers") if "headers" in table.data else None,
        table.text("service_name", "certpin-watch"),
        _share(table),
        _interval(table),
    )


def pairs_of(headers: Secret | None, key: str = "telemetry.headers") -> dict[str, str]:
    """The headers by their names. Raises ``ConfigError``, which has none of them in it."""
    text = headers.reveal() if headers else ""
    pairs = [each.partition("=") for each in text.split(",") if each.strip()]
    if not all(name.strip() and equals for name, equals, _ in pairs):
        raise ConfigError("these are no headers", key=key, fix="write NAME=VALUE,NAME=VALUE")
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _share(table: Table) -> float:
    value = table.data.get("sampling", 1.0)
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not 0 <= number <= 1:
        raise ConfigError("this is no share", key=table.under("sampling"), fix="from 0.0 to 1.0")
    return float(number)


def _interval(table: Table) -> timedelta:
    key = table.under("interval")
    try:
        found = parse_duration(table.text("interval", "60s"))
    except InputError as exc:
        raise ConfigError(exc.problem, key=key, fix=exc.fix) from exc
    if found < _LEAST_INTERVAL:
        raise ConfigError("nobody wants it that often", key=key, fix="at least 1s")
    return found


class Telemetry:
    """Traces and metrics on their way to a collector (OTLP over HTTP). Raises ``ConfigError``."""

    def __init__(self, settings: Settings, counters: Counters) -> None:
        try:
            from certpin.watch import _otel
        except ModuleNotFoundError as exc:
            raise ConfigError(
                "OpenTelemetry is not there",
                key="telemetry.endpoint",
                fix="pip install 'certpin[otel]'",
            ) from exc
        self._sending = _otel.Sending(settings, pairs_of(settings.headers), _PATIENCE)
        self._silence = counters.listen(self._sending.count)

    @contextmanager
    def span(self, name: str, attributes: dict[str, Any]) -> Iterator[Callable[..., None]]:
        """A span. What is raised in it passes, and is told as an error without its words."""
        with self._sending.span(name) as span:

            def note(**more: Any) -> None:
                span.set_attributes(_allowed(more))

            span.set_attributes(_allowed(attributes))
            try:
                yield note
            except BaseException:
                self._sending.failed(span)
                raise

    def stop(self) -> None:
        """Send what is left, for five seconds at most, and send nothing more."""
        self._silence()
        self._sending.stop()


_active: list[Telemetry] = []


def start(settings: Settings, counters: Counters) -> Callable[[], None]:
    """Begin, where there is an endpoint. What is returned ends it. Raises ``ConfigError``."""
    if not settings.endpoint:
        return lambda: None
    made = Telemetry(settings, counters)
    _active.append(made)

    def stop() -> None:
        _active.remove(made)
        made.stop()

    return stop


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


@contextmanager
def span(name: str, **attributes: Any) -> Iterator[Callable[..., None]]:
    """A span of whatever runs in the block; nothing at all where there is no telemetry.

    Attributes are named without their ``certpin.``, dots as underscores: ``batch_size=12``. What
    is given to the function that the block gets is added.
    """
    if not _active:
        yield _nothing
        return
    with _active[-1].span(name, attributes) as note:
        yield note


class TelemetryMiddleware:
    """A span for each request: method, route and status. Not the path: names may stand in it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http" or not _active:
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        with span("certpin.request", http_request_method=method) as note:

            async def sent(message: Message) -> None:
                if message["type"] == "http.response.start":
                    note(http_response_status_code=message["status"])
                await send(message)

            try:
                await self._app(scope, receive, sent)
            finally:
                note(http_route=_route(scope))


def _route(scope: Scope) -> str:
    """Which part of the watch answered. Names stand behind that, and are not told."""
    first = str(scope["path"]).split("/")[1:2]
    return f"/{first[0]}" if first and first[0] in _PARTS else "other"


def _nothing(**more: Any) -> None:
    del more


def _allowed(attributes: dict[str, Any]) -> dict[str, str | int]:
    """Those that may be told: ``batch_size`` is ``certpin.batch.size``."""
    found: dict[str, str | int] = {}
    for word, value in attributes.items():
        dotted = word.replace("_", ".").replace("status.code", "status_code")
        name = dotted if dotted.startswith("http.") else f"certpin.{dotted}"
        if name in ATTRIBUTES:
            found[name] = value if isinstance(value, int) else str(value)[:_LONGEST]
    return found
