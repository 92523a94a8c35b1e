"""Contact TLS servers and read their chains: one server, also with STARTTLS, or many in a scan."""

from __future__ import annotations

from certpin.pins.hosts import join_address, split_address
from certpin.probe.dial import (
    DIAL_TIMEOUT,
    HTTPS,
    ContextCache,
    Endpoint,
    Observation,
    ServerAnswers,
    ask_each_address,
    could_not_ask,
    default_port,
    describe_error,
    endpoint_at,
    observe,
    probe_context,
    served_at,
    server_time,
    url_time,
)
from certpin.probe.starttls import PROTOCOLS

__all__ = [
    "DIAL_TIMEOUT",
    "HTTPS",
    "PROTOCOLS",
    "ContextCache",
    "Endpoint",
    "Observation",
    "ServerAnswers",
    "ask_each_address",
    "could_not_ask",
    "default_port",
    "describe_error",
    "endpoint_at",
    "join_address",
    "observe",
    "probe_context",
    "served_at",
    "server_time",
    "split_address",
    "url_time",
]
