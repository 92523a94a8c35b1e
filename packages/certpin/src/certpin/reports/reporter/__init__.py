"""The client's reporter: keeps reports on disk until a collector has received them.

- ``failures`` builds reports, chooses the URLs to send them to, and limits their rate. It is pure.
- ``queue`` stores reports on disk, and ``request`` sends one report over HTTPS.
- ``trust`` chooses the TLS context for a collector, with its pins.
- ``sender`` is the thread that sends the stored reports.
- ``reporter`` has the failure hook for SSL contexts, and the thread that writes to disk.

The reporter sends reports of pin failures, and presences: reports of the version of the pin set
that a client has. It uses only the standard library.
"""

from __future__ import annotations

from certpin.reports.reporter.reporter import Reporter
from certpin.reports.reporter.settings import ReporterSettings

__all__ = ["Reporter", "ReporterSettings"]
