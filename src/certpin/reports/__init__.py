"""The pin-failure report: what it says, the formats that it travels in, and the client's end.

model ──▶ codecs ──▶ reporter
what a report says, and the formats that it comes in: pure
                     the client's end: told of failures, it sends them

``counting`` says which moment a report counts for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from certpin.reports.model import Presence, Report

if TYPE_CHECKING:
    from certpin.reports.reporter import Reporter, ReporterSettings

__all__ = ["Presence", "Report", "Reporter", "ReporterSettings"]


def __getattr__(name: str) -> Any:
    """Load the reporter when it is asked for: a collector needs none."""
    if name not in {"Reporter", "ReporterSettings"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from certpin.reports import reporter

    return getattr(reporter, name)
