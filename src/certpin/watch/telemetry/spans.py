"""Spans, and who they are sent to. Nothing at all where there is no telemetry."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from certpin.errors import ConfigError
from certpin.watch.telemetry.settings import pairs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from certpin.watch.metrics.counters import Counters
    from certpin.watch.telemetry.settings import Settings

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
_PATIENCE = 5  # seconds for one export, and for the last one at the end


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


def is_on() -> bool:
    """Whether anything is sent."""
    return bool(_active)


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
