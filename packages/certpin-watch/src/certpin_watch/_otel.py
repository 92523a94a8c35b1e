"""The classes that call OpenTelemetry's packages; the module ``telemetry`` uses them.

This module is imported only if ``[telemetry]`` names an endpoint, because the packages are
optional.
"""

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

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from opentelemetry.trace import Span
    from starlette.types import ASGIApp

    from certpin_watch.settings import TelemetrySettings

# The attributes that are exported: the name under which they are recorded, and the exported name.
# All others are dropped when a span is exported, whichever library recorded them.
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
_MAX_VALUE = 100  # characters


class Exporter:
    """Exports spans and metrics over OTLP, the protocol of OpenTelemetry.

    It creates its own tracer and meter providers, because the global providers belong to the
    program that embeds the service.
    """

    def __init__(self, settings: TelemetrySettings, headers: dict[str, str], timeout: int) -> None:
        """Start to export spans and metrics to the endpoint.

        Args:
            settings: the endpoint, the sampling of traces and the interval of metrics.
            headers: the HTTP headers of each export.
            timeout: seconds for one export.
        """
        resource = Resource.create(
            {"service.name": settings.service_name, "service.version": __version__}
        )
        options: dict[str, Any] = {"headers": headers, "timeout": timeout}
        traces = OTLPSpanExporter(endpoint=f"{settings.endpoint}/v1/traces", **options)
        metrics = OTLPMetricExporter(endpoint=f"{settings.endpoint}/v1/metrics", **options)
        self._traces = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(settings.sampling)),
            resource=resource,
            shutdown_on_exit=False,
        )
        self._traces.add_span_processor(BatchSpanProcessor(_AllowedOnly(traces)))
        reader = PeriodicExportingMetricReader(
            metrics,
            export_interval_millis=settings.interval / timedelta(milliseconds=1),
            export_timeout_millis=timeout * 1000,
        )
        self._metrics = MeterProvider([reader], resource, shutdown_on_exit=False)
        self._tracer = self._traces.get_tracer("certpin.watch", __version__)
        self._meter = self._metrics.get_meter("certpin.watch", __version__)
        self._instruments: dict[str, Any] = {}
        self._timeout = timeout

    def instrument(self, app: ASGIApp, begin: Callable[..., None]) -> ASGIApp:
        """Return a wrapper of an ASGI application that records each request as a span.

        The wrapper records no metrics, because the service exports its own counters of requests.

        Args:
            app: the application.
            begin: called with the new span and the ASGI scope of each request.
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
        """Return a context manager that records its ``with`` block as a span named ``name``.

        An exception in the block is not recorded, because its message can contain secrets.
        """
        return self._tracer.start_as_current_span(
            name, record_exception=False, set_status_on_exception=False
        )

    @staticmethod
    def mark_failed(span: Span) -> None:
        """Mark a span as failed. The reason is not recorded, because it can contain secrets."""
        span.set_status(Status(StatusCode.ERROR))

    def count(self, name: str, number: float, labels: dict[str, str]) -> None:
        """Export one change of a Prometheus metric (``counters.Counters``) to OpenTelemetry.

        If the name ends with ``_seconds`` or ``_size``, the number is recorded in a histogram; if
        not, it is added to a counter.

        Args:
            name: the name of the metric.
            number: an increment of a counter; or for a histogram, a measured value in the unit at
                the end of the name.
            labels: the labels of the metric, which become attributes.
        """
        if name.endswith(("_seconds", "_size")):
            self._instrument(name, self._meter.create_histogram).record(number, labels)
        else:
            self._instrument(name, self._meter.create_counter).add(number, labels)

    def stop(self) -> None:
        """Export the spans and metrics that are still queued, and stop exporting."""
        self._traces.force_flush(self._timeout * 1000)
        self._traces.shutdown()
        self._metrics.shutdown(self._timeout * 1000)

    def _instrument(self, name: str, make: Any) -> Any:
        if name not in self._instruments:
            self._instruments[name] = make(name)
        return self._instruments[name]


class _AllowedOnly(SpanExporter):
    """A span exporter that removes all data that could be secret, and calls another exporter.

    Only the attributes in ``ATTRIBUTES`` remain. All other attributes, events, links, and the
    description of a status are removed. The reason: OpenTelemetry's instrumentation records the
    messages and tracebacks of exceptions, which can contain secrets.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export the spans without events, links, and attributes that are not in ``ATTRIBUTES``.

        Return the result of the wrapped exporter.
        """
        return self._exporter.export([_allowed(span) for span in spans])

    def shutdown(self) -> None:
        """Shut down the wrapped exporter."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the wrapped exporter: send the spans that it has queued.

        Return True if that was done within ``timeout_millis`` milliseconds.
        """
        return self._exporter.force_flush(timeout_millis)


def _allowed(span: ReadableSpan) -> ReadableSpan:
    return ReadableSpan(
        span.name,
        span.context,
        span.parent,
        span.resource,
        exported_attributes(span.attributes or {}),
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def exported_attributes(recorded: Mapping[str, Any]) -> dict[str, str | int]:
    """Return the attributes of a span that are safe to export, under their exported names.

    ``recorded`` has all attributes of the span, as OpenTelemetry recorded them. ``ATTRIBUTES`` maps
    the names of the safe ones to the exported names. All others are dropped.
    """
    return {
        ATTRIBUTES[name]: value if isinstance(value, int) else str(value)[:_MAX_VALUE]
        for name, value in recorded.items()
        if name in ATTRIBUTES
    }
