"""The client's end: failures and presences, kept on the disk until they are sent.

failure, addresses, rate, retry ──▶ folder, queue, trust, post ──▶ notes, sender ──▶ reporter
what is said, to whom, what is let through, what an answer means: pure
                                    the disk, and one request
                                                                   two threads
                                                                                     the hook

``process`` sees to forks and to the end.

Standard library only.
"""

from __future__ import annotations

from certpin.reports.reporter.reporter import Reporter
from certpin.reports.reporter.settings import ReporterSettings

__all__ = ["Reporter", "ReporterSettings"]
