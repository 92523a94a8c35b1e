"""The client's reporter: stores failures and presences on disk until a collector has taken them.

failures ──▶ queue, request ──▶ sender ──▶ reporter
the reports, their addresses and rate: pure
             the disk queue, and one HTTPS request
                                the thread that sends
                                           the failure hook, and the thread that writes to disk

Standard library only.
"""

from __future__ import annotations

from certpin.reports.reporter.reporter import Reporter
from certpin.reports.reporter.settings import ReporterSettings

__all__ = ["Reporter", "ReporterSettings"]
