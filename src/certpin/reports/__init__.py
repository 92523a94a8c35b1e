"""The pin-failure report: what it says, the formats that it travels in, and the client's end.

model ──▶ codecs ── what a report says, and the formats that it comes in: pure
"""

from __future__ import annotations

from certpin.reports.model import Presence, Report

__all__ = ["Presence", "Report"]
