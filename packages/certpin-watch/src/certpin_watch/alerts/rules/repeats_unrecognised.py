"""``repeats-unrecognised``: a report that a client sends again may be counted twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin_watch.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin_watch.alerts.evidence import Evidence


def find(evidence: Evidence) -> Iterator[Finding]:
    """Identities are kept for a shorter time than clients keep reports, or soon will be."""
    window = evidence.own.window
    if window is None or not window.is_short:
        return
    yield Finding(
        "repeats-unrecognised",
        "warning",
        "",
        "",
        window.problem,
        "",
        {
            "recognised": window.days,
            "expected": window.expected_days,
            "a_day": window.a_day,
        },
    )
