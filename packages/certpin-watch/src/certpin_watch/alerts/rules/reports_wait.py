"""``reports-wait``: reports were taken in, and are not counted yet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from certpin_watch.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin_watch.alerts.evidence import Evidence

_LONG = timedelta(minutes=5)  # a writer that works needs seconds


def find(evidence: Evidence) -> Iterator[Finding]:
    """The writer that moves reports from the queue into the store does not keep up, or is gone."""
    queue = evidence.own.queue
    if queue is None or queue.waits(datetime.fromtimestamp(evidence.now, UTC)) < _LONG:
        return
    what = "message" if queue.messages == 1 else "messages"
    yield Finding(
        "reports-wait",
        "warning",
        "",
        "",
        f"reports wait to be counted since {queue.since:%Y-%m-%d %H:%M} UTC ({queue.messages} "
        f"{what} when a writer last looked): what the pages show is older than it seems",
        "systemctl status certpin-watch",
        {"messages": queue.messages},
    )
