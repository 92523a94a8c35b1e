"""The open alerts, for the command line. Pages, API and metrics ask ``watch/facts/alerts.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import case, select

from certpin.watch.alerts.book import alert_of
from certpin.watch.finding import SEVERITIES
from certpin.watch.store.tables.alerts import ALERTS

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from certpin.watch.alerts.state import Alert


def open_alerts(connection: Connection, *, host: str = "", most: int = 1000) -> tuple[Alert, ...]:
    """Those that are open, the worst first, and of these the newest."""
    table = ALERTS.c
    rank = case({each: at for at, each in enumerate(SEVERITIES)}, value=table.severity, else_=9)
    wanted = select(ALERTS).where(table.resolved_at.is_(None))
    if host:
        wanted = wanted.where(table.host == host)
    rows = connection.execute(
        wanted.order_by(rank, table.opened_at.desc(), table.id.desc()).limit(most)
    )
    return tuple(map(alert_of, rows))


def alert_facts(alert: Alert) -> dict[str, Any]:
    """An alert as JSON."""
    names = (
        *("id", "rule", "severity", "host", "pin_set", "summary", "command", "details", "clients"),
        *("opened_at", "last_at", "gone_at", "resolved_at", "told_at", "quiet", "flaps", "repeats"),
    )
    return {name: getattr(alert, name) for name in names}
