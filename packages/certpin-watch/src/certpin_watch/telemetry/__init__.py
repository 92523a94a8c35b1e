"""OpenTelemetry: the table ``[telemetry]``, traces, and the counters of the watch as its metrics.

    with telemetry.span("certpin.probe", vantage="eu") as note:
        ...
        note(outcome="verified")

Nothing of OpenTelemetry is loaded unless the table names an endpoint. Every span is exported with
the attributes of a list only (``spans.py``), and without events: never the content of a report,
a host, an address, a query, a header, the message of an error. A client can't join a trace:
``traceparent`` is not read.
"""

from __future__ import annotations

from certpin_watch.telemetry.requests import begun, name_route
from certpin_watch.telemetry.settings import KNOWN, Settings, pairs_of, read
from certpin_watch.telemetry.spans import ATTRIBUTES, Telemetry, sent_attributes, span

__all__ = [
    "ATTRIBUTES",
    "KNOWN",
    "Settings",
    "Telemetry",
    "begun",
    "name_route",
    "pairs_of",
    "read",
    "sent_attributes",
    "span",
]
