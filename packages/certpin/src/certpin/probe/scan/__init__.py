"""Read the chains of many TLS servers: with one thread, in bounded time and memory."""

from __future__ import annotations

from certpin.probe.scan.attempt import ScanResult
from certpin.probe.scan.records import (
    ScannedEndpoints,
    invalid_host_record,
    record,
    record_line,
)
from certpin.probe.scan.scanner import ScanLimits, scan, scan_context

__all__ = [
    "ScanLimits",
    "ScanResult",
    "ScannedEndpoints",
    "invalid_host_record",
    "record",
    "record_line",
    "scan",
    "scan_context",
]
