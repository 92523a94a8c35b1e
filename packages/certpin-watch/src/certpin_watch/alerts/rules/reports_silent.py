"""``reports-silent``: nothing comes any more, where something came all the time."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from certpin_watch.alerts.evidence import DAY, HOUR
from certpin_watch.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin_watch.alerts.evidence import Evidence

_REGULAR = 24  # hours of the week in which something came: less says nothing about silence


def find(evidence: Evidence) -> Iterator[Finding]:
    """Silent for longer than is allowed, and twice as long as ever in the week."""
    heard = [hour for hour in evidence.heard if hour <= evidence.now]
    if len(heard) < _REGULAR or heard[-1] - heard[0] < DAY:
        return
    longest = max(after - before for before, after in pairwise(heard))
    quiet = evidence.now - (heard[-1] + HOUR)
    if quiet <= max(evidence.settings.silent.total_seconds(), 2 * longest):
        return
    yield Finding(
        "reports-silent",
        "warning",
        "",
        "",
        f"no client has reported anything for {quiet // HOUR} hours; in the week before, "
        f"{longest // HOUR} were the most. That nothing is wrong looks the same: the way of the "
        "reports may be cut",
        "curl -sS -o /dev/null -w '%{http_code}\\n' -X POST YOUR-REPORT-URL",
        {"hours": quiet // HOUR, "longest": longest // HOUR},
    )
