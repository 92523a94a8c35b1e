"""``look-fails``: something could not be looked at, so that nobody knows whether it is well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin_watch.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin_watch.alerts.evidence import Evidence


def find(evidence: Evidence) -> Iterator[Finding]:
    """Alerts of what could not be looked at stay as they are."""
    for name, problem in sorted(evidence.own.blind.items()):
        yield Finding(
            "look-fails",
            "warning",
            "",
            "",
            f"the watch could not look at {name}: {problem}",
            "journalctl -u certpin-watch",
            {"what": name},
            subject=name,
        )
