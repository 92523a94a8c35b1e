"""The page ``/live``, for use during an incident. It reloads itself every few seconds."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from certpin_watch.store.queries import failures, report_counts
from certpin_watch.store.queries.alerts import open_alerts
from certpin_watch.store.queries.failures import breakdown
from certpin_watch.store.queries.freshness import arrivals
from certpin_watch.web.charts import Bars, BarSeries, stacked_bars
from certpin_watch.web.failures import describe_chains, draw_series

if TYPE_CHECKING:
    from markupsafe import Markup
    from starlette.responses import Response

    from certpin_watch.store.queries.freshness import Arrivals
    from certpin_watch.web.request import PageRequest

REFRESH = 5  # seconds
_MINUTE = timedelta(minutes=1)
_MAX_ALERTS = _MAX_CHAINS = 8
_DIMENSIONS = ("host", "network", "app_version", "platform", "decision")


def live_page(page: PageRequest) -> Response:
    """Show arriving reports, the failures of the current hour, and the open alerts.

    A script requests the page again and again to update it.
    """
    day = report_counts.Range(page.now - timedelta(hours=24), page.now)
    hour = report_counts.Range(page.now.replace(minute=0, second=0, microsecond=0), page.now)
    with page.connection() as connection:
        minutes = arrivals(connection, page.now)
        counts = failures.top_chains(connection, hour, limit=_MAX_CHAINS)
        newest = sorted(counts, key=lambda count: count.last_at, reverse=True)
        chains = describe_chains(connection, page, newest)
        total = failures.total(connection, hour)
        by_dimension = breakdown(connection, hour, _DIMENSIONS)
        series = failures.series(connection, day, by="reason")
        settings = page.watch.settings.alerts
        alerts = open_alerts(connection, settings.hold, limit=_MAX_ALERTS)
    return page.render(
        "live.html",
        refresh=REFRESH,
        arrivals=_draw_arrivals(minutes),
        received=sum(minutes.counts),
        cut=minutes.cut,
        total=total,
        by_dimension=by_dimension,
        chart=draw_series("day", "Failures of the last day by reason", series, page.now),
        chains=chains,
        alerts=alerts,
        max_alerts=_MAX_ALERTS,
    )


def _draw_arrivals(minutes: Arrivals) -> Markup:
    until = minutes.begins[-1] + _MINUTE
    series = BarSeries("messages", minutes.counts)
    bars = Bars(minutes.begins, until, (series,), "messages")
    return stacked_bars("minutes", "Messages in each minute of the last hour", bars, 150)
