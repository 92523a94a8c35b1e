"""Alerts in the store: what is known of them, and what became of them, in one transaction."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, insert, or_, select, update

from certpin.errors import InputError
from certpin_watch.alerts.message import Item, clients_words
from certpin_watch.alerts.outbox import put
from certpin_watch.alerts.quiet import why_quiet
from certpin_watch.alerts.routing import wants
from certpin_watch.alerts.state import SOON, Alert
from certpin_watch.store.tables.alerts import ALERT_EVENTS, ALERTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection, Row

    from certpin_watch.alerts.quiet import Quiet
    from certpin_watch.alerts.settings import Settings
    from certpin_watch.alerts.state import Change, Transition

_LONGEST_NOTE = 500  # characters
_MOST_DETAILS = 32 * 1024  # bytes of JSON: what reports say ends up there
_NAMES = tuple(each.name for each in fields(Alert) if each.name != "id")


class Written(NamedTuple):
    """An event of an alert, and the services that have to be notified of it."""

    item: Item
    services: tuple[str, ...]


def known_alerts(connection: Connection, now: int) -> tuple[Alert, ...]:
    """Those that are open, and of each other trouble the last one, if it is over since lately."""
    table = ALERTS.c
    rows = connection.execute(
        select(ALERTS)
        .where(or_(table.resolved_at.is_(None), table.resolved_at > now - SOON))
        .order_by(table.resolved_at.is_(None), table.id)
        # They are written back whole: an acknowledgement in between would be lost.
        .with_for_update()
    )
    return tuple({each.key: each for each in map(alert_of, rows)}.values())


def write_changes(
    connection: Connection, changes: Sequence[Change], quiet: Quiet, now: int, settings: Settings
) -> list[Written]:
    """Write what became of alerts, and which services have to be notified. Return the events.

    All of it is in the caller's transaction: nobody is told of what did not happen, and what
    happened is told, also after a crash.
    """
    _update(connection, [each.alert for each in changes if each.alert.id is not None])
    written = []
    for change in changes:
        number = change.alert.id
        if number is None:
            row = insert(ALERTS).values(**_values(change.alert)).returning(ALERTS.c.id)
            number = int(connection.execute(row).scalar_one())
        for transition in change.transitions:
            who, note = _words(change, transition, quiet, now, settings)
            event = record(connection, number, now, transition.what, who, note)
            told = [
                each.name
                for each in settings.tell
                if transition.told and wants(each, change.alert, transition.what)
            ]
            put(connection, event, number, transition.what, told, now)
            alert = replace(change.alert, id=number)
            written.append(Written(Item(transition.what, alert, note), tuple(told)))
    return written


def acknowledge(connection: Connection, number: int, who: str, now: int, note: str = "") -> bool:
    """Take on an open alert. Return False if it is not open, or was acknowledged before."""
    return _mark(connection, number, "acknowledged", who, now, note)


def unacknowledge(connection: Connection, number: int, who: str, now: int) -> bool:
    """Give back an alert, so that it is repeated again. Return False if nobody had it."""
    return _mark(connection, number, "unacknowledged", who, now, "")


def _mark(connection: Connection, number: int, what: str, who: str, now: int, note: str) -> bool:
    table, taken = ALERTS.c, what == "acknowledged"
    if len(note) > _LONGEST_NOTE or not note.isprintable():
        raise InputError(
            "the note is too long, or cannot be printed", fix=f"at most {_LONGEST_NOTE} characters"
        )
    values = {"acknowledged_at": now if taken else None, "acknowledged_by": who if taken else ""}
    is_other = table.acknowledged_at.is_(None) if taken else table.acknowledged_at.is_not(None)
    changed = update(ALERTS).where(table.id == number, table.resolved_at.is_(None), is_other)
    if not connection.execute(changed.values(**values)).rowcount:
        return False
    record(connection, number, now, what, who, note)
    return True


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
