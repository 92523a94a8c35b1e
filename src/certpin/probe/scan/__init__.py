"""Ask many servers for their chains: one thread, bounded time and memory."""

from __future__ import annotations

from certpin.probe.scan.record import line, name_matches, record, record_of_junk
from certpin.probe.scan.resume import Done
from certpin.probe.scan.scanner import scan, scan_context
from certpin.probe.scan.sighting import Limits, Sighting

__all__ = [
    "Done",
    "Limits",
    "Sighting",
    "line",
    "name_matches",
    "record",
    "record_of_junk",
    "scan",
    "scan_context",
]
