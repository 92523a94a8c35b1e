"""Looking: dial one server, with STARTTLS too, or scan many."""

from __future__ import annotations

from certpin.probe.dial import Observation, observe, probe_context
from certpin.probe.endpoint import HTTPS, Endpoint, join_address, split_address
from certpin.probe.starttls import PROTOCOLS

__all__ = [
    "HTTPS",
    "PROTOCOLS",
    "Endpoint",
    "Observation",
    "join_address",
    "observe",
    "probe_context",
    "split_address",
]
