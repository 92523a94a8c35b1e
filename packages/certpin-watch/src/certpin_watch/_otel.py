"""What needs OpenTelemetry's packages. ``telemetry`` loads it if the settings name an endpoint."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Status, StatusCode

from certpin_watch._version import __version__
from certpin_watch.telemetry.spans import sent_attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from opentelemetry.trace import Span
    from starlette.types import ASGIApp

    from certpin_watch.telemetry import Settings


class _AllowedOnly(SpanExporter):
    """Exports the allowed parts of spans.

    Attributes that are not in the list, events and links are dropped, and of a status its
    description: an instrumentation records the message and the traceback of an exception.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export the allowed parts of each span."""
        return self._exporter.export([_allowed(span) for span in spans])

    def shutdown(self) -> None:
        """End the exporter inside."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the exporter inside."""
        return self._exporter.force_flush(timeout_millis)


def _allowed(span: ReadableSpan) -> ReadableSpan:
    return ReadableSpan(
        span.name,
        span.context,
        span.parent,
        span.resource,
        sent_attributes(span.attributes or {}),
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


class Sending:
    """Providers of its own: those of the process belong to whoever embeds the watch."""

    def __init__(self, settings: Settings, headers: dict[str, str], patience: int) -> None:
        resource = Resource.create(
            {"service.name": settings.service_name, "service.version": __version__}
        )
        told: dict[str, Any] = {"headers": headers, "timeout": patience}
        traces = OTLPSpanExporter(endpoint=f"{settings.endpoint}/v1/traces", **told)
        metrics = OTLPMetricExporter(endpoint=f"{settings.endpoint}/v1/metrics", **told)
        self._traces = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(settings.sampling)),
            resource=resource,
            shutdown_on_exit=False,
        )
        self._traces.add_span_processor(BatchSpanProcessor(_AllowedOnly(traces)))
        reader = PeriodicExportingMetricReader(
            metrics,
            export_interval_millis=settings.interval / timedelta(milliseconds=1),
            export_timeout_millis=patience * 1000,
        )
        self._metrics = MeterProvider([reader], resource, shutdown_on_exit=False)
        self._tracer = self._traces.get_tracer("certpin.watch", __version__)
        self._meter = self._metrics.get_meter("certpin.watch", __version__)
        self._instruments: dict[str, Any] = {}
        self._patience = patience

    def instrument(self, app: ASGIApp, begin: Callable[..., None]) -> ASGIApp:
        """Put a span around each request of an application; ``begin`` gets the span and the scope.

        The instrumentation's own metrics are off: they would repeat those of the service.
        """
        return OpenTelemetryMiddleware(
            app,
            default_span_details=lambda _: ("certpin.request", {}),
            server_request_hook=begin,
            tracer_provider=self._traces,
            meter_provider=NoOpMeterProvider(),
            exclude_spans=["receive", "send"],
        )

    def span(self, name: str) -> AbstractContextManager[Span]:
        """Start a span. An exception is not recorded: its message may have secrets."""
        return self._tracer.start_as_current_span(
            name, record_exception=False, set_status_on_exception=False
        )

    @staticmethod
    def failed(span: Span) -> None:
        """Mark a span, without a word of why."""
        span.set_status(Status(StatusCode.ERROR))

    def count(self, name: str, number: float, labels: dict[str, str]) -> None:
        """One number of ``Counters``: names that end in what is measured are histograms."""
        if name.endswith(("_seconds", "_size")):
            self._instrument(name, self._meter.create_histogram).record(number, labels)
        else:
            self._instrument(name, self._meter.create_counter).add(number, labels)

    def stop(self) -> None:
        """Send what is left, and send nothing more."""
        self._traces.force_flush(self._patience * 1000)
        self._traces.shutdown()
        self._metrics.shutdown(self._patience * 1000)

    def _instrument(self, name: str, make: Any) -> Any:
        if name not in self._instruments:
            self._instruments[name] = make(name)
        return self._instruments[name]
