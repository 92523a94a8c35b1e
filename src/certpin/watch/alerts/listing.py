"""What can be asked of alerts: for pages, the API, metrics and the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import case, func, select

from certpin.watch.alerts.book import alert_of
from certpin.watch.finding import SEVERITIES
from certpin.watch.store.tables.alerts import ALERT_EVENTS, ALERTS, TELLINGS

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from certpin.watch.alerts.state import Alert

_MOST_EVENTS = 1000


class AlertEvent(NamedTuple):
    """What became of an alert at a moment. ``who`` is a person or a service, or empty."""

    at: int
    what: str
    who: str
    note: str


class Telling(NamedTuple):
    """A message to a service: done, given up, or still to be tried."""

    service: str
    what: str
    at: int
    next_at: int
    attempts: int
    told_at: int | None
    given_up_at: int | None
    problem: str


class Story(NamedTuple):
    """An alert with all that became of it."""

    alert: Alert
    events: tuple[AlertEvent, ...]
    tellings: tuple[Telling, ...]


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


def past_alerts(
    connection: Connection, *, host: str = "", before: int | None = None, most: int = 100
) -> tuple[Alert, ...]:
    """All of them, the newest first; ``before`` is the number of the last one that was shown."""
    wanted = select(ALERTS)
    if host:
        wanted = wanted.where(ALERTS.c.host == host)
    if before is not None:
        wanted = wanted.where(ALERTS.c.id < before)
    rows = connection.execute(wanted.order_by(ALERTS.c.id.desc()).limit(most))
    return tuple(map(alert_of, rows))


def alert_story(connection: Connection, number: int) -> Story | None:
    """One alert with its events, or ``None``."""
    row = connection.execute(select(ALERTS).where(ALERTS.c.id == number)).one_or_none()
    if row is None:
        return None
    events = _rows(connection, ALERT_EVENTS, AlertEvent, number)
    tellings = _rows(connection, TELLINGS, Telling, number)
    return Story(alert_of(row), tuple(events), tuple(tellings))


def count_open(connection: Connection) -> dict[str, int]:
    """How many are open, by severity: each severity is there."""
    rows = connection.execute(
        select(ALERTS.c.severity, func.count())
        .where(ALERTS.c.resolved_at.is_(None))
        .group_by(ALERTS.c.severity)
    )
    return dict.fromkeys(SEVERITIES, 0) | {severity: count for severity, count in rows}  # noqa: C416


def alert_facts(alert: Alert) -> dict[str, Any]:
    """An alert as JSON."""
    names = (
        *("id", "rule", "severity", "host", "pin_set", "summary", "command", "details", "clients"),
        *("opened_at", "last_at", "gone_at", "resolved_at", "told_at", "quiet", "flaps", "repeats"),
    )
    return {name: getattr(alert, name) for name in names}


def _rows(connection: Connection, table: Any, kind: Any, number: int) -> list[Any]:
    """The newest of them, in their order."""
    rows = connection.execute(
        select(*(getattr(table.c, name) for name in kind._fields))
        .where(table.c.alert == number)
        .order_by(table.c.id.desc())
        .limit(_MOST_EVENTS)
    ).all()
    return [kind(*row) for row in reversed(rows)]
