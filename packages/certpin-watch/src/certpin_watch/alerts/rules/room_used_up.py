"""``room-used-up``: what clients tell is counted still, and not kept as it was told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin_watch.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin_watch.alerts.evidence import Evidence


def find(evidence: Evidence) -> Iterator[Finding]:
    """Much happens, or somebody floods the collector. One finding for each bound."""
    for what in evidence.own.full:
        yield Finding(
            "room-used-up",
            "warning",
            "",
            "",
            f"the room for what reports bring is nearly used up ({what}): they are counted all the "
            "same, but less of each is kept; every watched host has some room of its own",
            "certpin watch alerts",
            {"what": what},
            subject=what,
        )
