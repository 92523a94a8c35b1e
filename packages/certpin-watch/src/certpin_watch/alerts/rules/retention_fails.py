"""``retention-fails``: rows that are past their time are not deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin_watch.finding import Finding
from certpin_watch.store.failures import REASONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin_watch.alerts.evidence import Evidence


def find(evidence: Evidence) -> Iterator[Finding]:
    """One finding for each kind of row. The other kinds are deleted all the same."""
    for sweep in evidence.own.sweeps:
        if not sweep.reason:
            continue
        why = REASONS[sweep.reason][0] if sweep.reason in REASONS else "no attempt for days"
        since = f"since {sweep.done_at:%Y-%m-%d %H:%M} UTC" if sweep.done_at else "so far"
        yield Finding(
            "retention-fails",
            "warning",
            "",
            "",
            f"no retention of {sweep.kind} was complete {since}: {why}",
            "journalctl -u certpin-watch",
            {"what": sweep.kind},
            subject=sweep.kind,
        )
