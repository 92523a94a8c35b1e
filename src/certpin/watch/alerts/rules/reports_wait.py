"""``reports-wait``: reports were taken in, and are not counted yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.watch.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.watch.alerts.evidence import Evidence

_MANY = 50_000  # ten seconds of what one core takes in


def find(evidence: Evidence) -> Iterator[Finding]:
    """The writer that moves reports from the queue into the store does not keep up, or is gone."""
    lag = evidence.own.lag
    if lag is None or lag < _MANY:
        return
    yield Finding(
        "reports-wait",
        "warning",
        "",
        "",
        f"{lag} reports wait to be counted: what the pages show is older than it seems",
        "systemctl status certpin-watch",
        {"waiting": lag},
    )
