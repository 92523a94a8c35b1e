"""Looking: dial one server, with STARTTLS too, or scan many."""

from __future__ import annotations

from certpin.probe.dial import Observation, observe, probe_context
from certpin.probe.endpoint import Endpoint, split_address
from certpin.probe.starttls import PROTOCOLS

__all__ = [
    "PROTOCOLS",
    "Endpoint",
    "Observation",
    "observe",
    "probe_context",
    "split_address",
]
