"""``disk-nearly-full``: the disk of the store has little room left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin_watch.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin_watch.alerts.evidence import Evidence


def find(evidence: Evidence) -> Iterator[Finding]:
    """A full disk takes no report: they are refused then, and clients keep theirs for a while."""
    free, least = evidence.own.disk, evidence.settings.disk
    if free is None or free >= least:
        return
    yield Finding(
        "disk-nearly-full",
        "critical" if free < least / 5 else "warning",
        "",
        "",
        f"the disk of the store has {free:.1f} % left; a full one takes no report",
        "df -h",
        {"free": round(free, 1)},
    )
