"""The client's end: failures and presences, kept on the disk until they are sent.

failure, rate, retry ──▶ folder, queue, post ──▶ sender ──▶ reporter
what is said, what is let through, what an answer means: pure
                         the disk, and one request
                                                 a thread that sends
                                                            the hook, and its thread

Standard library only.
"""

from __future__ import annotations

from certpin.reports.reporter.reporter import Reporter
from certpin.reports.reporter.settings import ReporterSettings

__all__ = ["Reporter", "ReporterSettings"]
