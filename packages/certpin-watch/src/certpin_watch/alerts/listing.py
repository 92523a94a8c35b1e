"""The open alerts, in the one order that command line and pages have them in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import case, select

from certpin_watch.alerts.book import alert_of
from certpin_watch.finding import SEVERITIES
from certpin_watch.store.tables.alerts import ALERTS

if TYPE_CHECKING:
    from sqlalchemy import Connection, Select

    from certpin_watch.alerts.state import Alert


def open_alerts(connection: Connection, *, host: str = "", most: int = 1000) -> tuple[Alert, ...]:
    """Those that are open, with all that the book has about them, for the command line."""
    wanted = worst_first().limit(most)
    if host:
        wanted = wanted.where(ALERTS.c.host == host)
    return tuple(map(alert_of, connection.execute(wanted)))


def worst_first() -> Select[Any]:
    """The rows of those that are open, the worst first, then the oldest."""
    table = ALERTS.c
    rank = case({each: at for at, each in enumerate(SEVERITIES)}, value=table.severity, else_=9)
    wanted = select(ALERTS).where(table.resolved_at.is_(None))
    return wanted.order_by(rank, table.opened_at, table.id)


def alert_facts(alert: Alert) -> dict[str, Any]:
    """An alert as JSON."""
    names = (
        *("id", "rule", "severity", "host", "pin_set", "summary", "command", "details", "clients"),
        *("opened_at", "last_at", "gone_at", "resolved_at", "told_at", "quiet", "flaps", "repeats"),
        *("state", "acknowledged_at", "acknowledged_by"),
    )
    return {name: getattr(alert, name) for name in names}
