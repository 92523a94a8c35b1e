"""The page ``/live``, for use during an incident: it reloads itself every few seconds."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from certpin_watch.store.queries import alerts, failures, report_counts
from certpin_watch.store.queries.failures import breakdown
from certpin_watch.store.queries.freshness import arrivals
from certpin_watch.web.charts import Bars, Series, stacked
from certpin_watch.web.failures import describe_chains, draw_series

if TYPE_CHECKING:
    from markupsafe import Markup
    from starlette.responses import Response

    from certpin_watch.store.queries.freshness import Arrivals
    from certpin_watch.web.request import Asked


EVERY = 5  # seconds
_MINUTE = timedelta(minutes=1)
_SPLIT = ("host", "network", "app_version", "platform", "decision")


def live(asked: Asked) -> Response:
    """The page. A script asks for it again and again, and puts its middle in place of the old."""
    day = report_counts.Range(asked.now - timedelta(hours=24), asked.now)
    hour = report_counts.Range(asked.now.replace(minute=0, second=0, microsecond=0), asked.now)
    with asked.connection() as connection:
        minutes = arrivals(connection, asked.now)
        met = failures.top_chains(connection, hour, limit=8)
        newest = sorted(met, key=lambda each: each.last_at, reverse=True)
        return asked.page(
            "live.html",
            every=EVERY,
            arrivals=_arrivals(minutes),
            received=sum(minutes.counts),
            cut=minutes.cut,
            total=failures.total(connection, hour),
            split=breakdown(connection, hour, _SPLIT),
            drawn=draw_series(
                "day", "Failures of the last day by reason",
                failures.series(connection, day, by="reason"), asked.now,
            ),
            chains=describe_chains(connection, asked, newest),
            alerts=alerts.open_alerts(connection, asked.watch.settings.alerts, limit=8),
        )  # fmt: skip


def _arrivals(minutes: Arrivals) -> Markup:
    until = minutes.begins[-1] + _MINUTE
    bars = Bars(minutes.begins, until, (Series("messages", minutes.counts),), "messages")
    return stacked("minutes", "Messages of clients in each minute of the last hour", bars, 150)
