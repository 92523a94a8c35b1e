"""From who is due to the jobs that ask them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin_watch.monitor.wire import Job

if TYPE_CHECKING:
    from certpin_watch.monitor.schedule import Due
    from certpin_watch.monitor.settings import Settings


def job_of(due: Due, settings: Settings) -> Job:
    """All that has to be known to ask it, by whoever asks."""
    target = due.target
    return Job(
        host=target.host,
        port=target.port,
        way=target.way,
        vantage=due.vantage,
        slot=due.slot,
        connect=target.connect,
        starttls=target.starttls,
        every_address=target.every_address,
        anchors=target.trust.der if target.trust else None,
        strict=target.trust.strict if target.trust else None,
        timeout=settings.timeout.total_seconds(),
    )
