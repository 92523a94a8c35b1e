"""OpenTelemetry: the table ``[telemetry]``, traces, and the counters of the watch as its metrics.

    with telemetry.span("certpin.probe", vantage="eu") as note:
        ...
        note(outcome="verified")

Nothing of OpenTelemetry is loaded unless the table names an endpoint. Attributes are of a list
(``spans.py``), and are words of the watch's own: never what a report says, never an address, a
query, a header, the words of an error. Who calls from outside joins no trace: ``traceparent`` is
not read.
"""

from __future__ import annotations

from certpin.watch.telemetry.requests import TelemetryMiddleware, begun, name_route
from certpin.watch.telemetry.settings import KNOWN, Settings, pairs_of, read
from certpin.watch.telemetry.spans import ATTRIBUTES, Telemetry, span, start

__all__ = [
    "ATTRIBUTES",
    "KNOWN",
    "Settings",
    "Telemetry",
    "TelemetryMiddleware",
    "begun",
    "name_route",
    "pairs_of",
    "read",
    "span",
    "start",
]
