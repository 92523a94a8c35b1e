"""Spans, their allowed attributes and their export. Without an endpoint they do nothing."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from certpin.errors import ConfigError
from certpin_watch.telemetry.settings import pairs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from certpin_watch.counters import Counters
    from certpin_watch.telemetry.settings import Settings

# The attributes that are exported: their name as it is recorded, and as it is sent. All others are
# dropped when a span is exported, whichever library recorded them.
ATTRIBUTES = {
    # OpenTelemetry's instrumentation has two names for these: OTEL_SEMCONV_STABILITY_OPT_IN.
    "http.method": "http.request.method",
    "http.status_code": "http.response.status_code",
    **{
        name: name
        for name in (
            "http.request.method",
            "http.response.status_code",
            "http.route",
            "certpin.batch.size",
            "certpin.outcome",
            "certpin.vantage",
        )
    },
}
_LONGEST = 100  # characters of a value
_PATIENCE = 5  # seconds for one export, and for the last one at the end


class Telemetry:
    """Traces and metrics on their way to a collector (OTLP over HTTP). Raises ``ConfigError``."""

    def __init__(self, settings: Settings, counters: Counters) -> None:
        try:
            from certpin_watch import _otel
        except ModuleNotFoundError as exc:
            raise ConfigError(
                "OpenTelemetry is not installed",
                key="telemetry.endpoint",
                fix="pip install 'certpin[otel]'",
            ) from exc
        self._sending = _otel.Sending(settings, pairs_of(settings.headers), _PATIENCE)
        self.instrument = self._sending.instrument
        self._silence = counters.listen(self._sending.count)
        _active.append(self)

    @contextmanager
    def span(self, name: str, attributes: dict[str, Any]) -> Iterator[Callable[..., None]]:
        """Record a span. An exception passes through, and marks the span as failed."""
        with self._sending.span(name) as span:

            def note(**more: Any) -> None:
                span.set_attributes(_named(more))

            note(**attributes)
            try:
                yield note
            except BaseException:
                self._sending.failed(span)
                raise

    def stop(self) -> None:
        """Send what is left, for five seconds at most, and send nothing more."""
        _active.remove(self)
        self._silence()
        self._sending.stop()


_active: list[Telemetry] = []


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


def _named(attributes: dict[str, Any]) -> dict[str, Any]:
    """``batch_size`` is ``certpin.batch.size``."""
    return {f"certpin.{word.replace('_', '.')}": value for word, value in attributes.items()}


def sent_attributes(recorded: Mapping[str, Any]) -> dict[str, str | int]:
    """The attributes of a span that may leave the process, under the names that are sent."""
    return {
        ATTRIBUTES[name]: value if isinstance(value, int) else str(value)[:_LONGEST]
        for name, value in recorded.items()
        if name in ATTRIBUTES
    }
