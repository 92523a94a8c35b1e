"""``telling-fails``: a service could not be told. The others are told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin_watch.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin_watch.alerts.evidence import Evidence


def find(evidence: Evidence) -> Iterator[Finding]:
    """One finding a service."""
    for name, problem in sorted(evidence.own.failing.items()):
        yield Finding(
            "telling-fails",
            "critical",
            "",
            "",
            f"{name} could not be told of an alert: {problem}",
            "certpin watch alerts --test",
            {"service": name},
            subject=name,
        )
