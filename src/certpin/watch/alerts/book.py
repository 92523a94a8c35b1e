"""Alerts in the store: what is known of them, and what became of them, in one transaction."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, insert, or_, select, update

from certpin.watch.alerts.message import clients_words
from certpin.watch.alerts.outbox import put
from certpin.watch.alerts.quiet import why_quiet
from certpin.watch.alerts.routing import wants
from certpin.watch.alerts.state import SOON, Alert
from certpin.watch.store.tables.alerts import ALERT_EVENTS, ALERTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection, Row

    from certpin.watch.alerts.quiet import Quiet
    from certpin.watch.alerts.settings import Settings
    from certpin.watch.alerts.state import Change, Transition

_MOST_DETAILS = 32 * 1024  # bytes of JSON: what reports say ends up there
_NAMES = tuple(each.name for each in fields(Alert) if each.name != "id")


def known_alerts(connection: Connection, now: int) -> tuple[Alert, ...]:
    """Those that are open, and of each other trouble the last one, if it is over since lately."""
    table = ALERTS.c
    rows = connection.execute(
        select(ALERTS)
        .where(or_(table.resolved_at.is_(None), table.resolved_at > now - SOON))
        .order_by(table.resolved_at.is_(None), table.id)
    )
    return tuple({each.key: each for each in map(alert_of, rows)}.values())


def write_changes(
    connection: Connection, changes: Sequence[Change], quiet: Quiet, now: int, settings: Settings
) -> int:
    """Write what became of alerts, and who has to be told of it. How many messages that makes.

    All of it is in the caller's transaction: nobody is told of what did not happen, and what
    happened is told, also after a crash.
    """
    _update(connection, [each.alert for each in changes if each.alert.id is not None])
    messages = 0
    for change in changes:
        number = change.alert.id
        if number is None:
            row = insert(ALERTS).values(**_values(change.alert)).returning(ALERTS.c.id)
            number = int(connection.execute(row).scalar_one())
        for transition in change.transitions:
            who, note = _words(change, transition, quiet, now, settings)
            event = record(connection, number, now, transition.what, who, note)
            if transition.told:
                told = [
                    each.name
                    for each in settings.tell
                    if wants(each, change.alert, transition.what)
                ]
                put(connection, event, number, transition.what, told, now)
                messages += len(told)
    return messages


def record(
    connection: Connection, alert: int, at: int, what: str, who: str = "", note: str = ""
) -> int:
    """Write down what became of an alert; the number of the event."""
    row = insert(ALERT_EVENTS).values(alert=alert, at=at, what=what, who=who, note=note)
    return int(connection.execute(row.returning(ALERT_EVENTS.c.id)).scalar_one())


def alert_of(row: Row[Any]) -> Alert:
    """An alert as it was written."""
    values = {name: getattr(row, name) for name in (*_NAMES, "id")}
    try:
        details = json.loads(row.details)
    except ValueError:
        details = {}
    return Alert(**values | {"details": details if isinstance(details, dict) else {}})


def _values(alert: Alert) -> dict[str, Any]:
    values = {name: getattr(alert, name) for name in _NAMES}
    details = json.dumps(alert.details, default=str)
    if len(details) > _MOST_DETAILS:
        details = json.dumps({"clients": alert.clients, "left_out": "there were too many details"})
    return values | {"details": details}


def _update(connection: Connection, alerts: Iterable[Alert]) -> None:
    rows = [
        {f"_{name}": value for name, value in _values(each).items()} | {"_id": each.id}
        for each in alerts
    ]
    if rows:
        values: dict[str, Any] = {name: bindparam(f"_{name}") for name in _NAMES}
        connection.execute(
            update(ALERTS).where(ALERTS.c.id == bindparam("_id")).values(**values), rows
        )


def _words(
    change: Change, transition: Transition, quiet: Quiet, now: int, settings: Settings
) -> tuple[str, str]:
    """Who kept it quiet, and why; else how many clients it touches, and how many it did."""
    if transition.what in {"silenced", "maintenance"}:
        return why_quiet(change.alert, quiet, now, settings)
    before = change.before.told_clients if change.before else None
    return "", clients_words(change.alert.clients, before)
