"""Reports of pin failures: their content, their formats, and the reporter that sends them.

- ``model`` has the content of a report, and ``codecs`` the formats of reports. Both are pure.
- ``reporter`` runs in the client: it receives failures and sends reports to a collector.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from certpin.reports.model import Presence, Report

if TYPE_CHECKING:
    from certpin.reports.reporter import Reporter, ReporterSettings

__all__ = ["Presence", "Report", "Reporter", "ReporterSettings"]


def __getattr__(name: str) -> Any:
    """Import and return a name of ``reporter`` on first use.

    A collector of reports doesn't need the reporter, and so doesn't import it. Raises
    ``AttributeError`` for other names.
    """
    if name not in {"Reporter", "ReporterSettings"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from certpin.reports import reporter

    return getattr(reporter, name)
