"""Who has yet to be told what: rows that are claimed before they are sent, and done when they are.

A claim puts the next try into the future. So a process that dies while it sends loses nothing: the
row is tried again then. It may have been told already; once it is known to be, it never is again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import func, insert, or_, select, update

from certpin_watch.store.tables.alerts import ALERT_EVENTS, ALERTS, TELLINGS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from certpin_watch.alerts.settings import Settings

_FIRST = 30  # seconds until the second try; each further one waits twice as long
_LONGEST = 3600
_MOST = 2000  # rows at once
_WORRYING = 3  # tries, after which it is a trouble of its own
_REMEMBERED = 86400  # seconds for which a message that was given up is one


class Row(NamedTuple):
    """A message to a service: that something happened to an alert."""

    id: int
    event: int
    alert: int
    service: str
    what: str
    at: int
    attempts: int


def put(
    connection: Connection, event: int, alert: int, what: str, services: Iterable[str], now: int
) -> None:
    """Note that these services have to be told of an event."""
    rows = [
        {
            "event": event,
            "alert": alert,
            "service": service,
            "what": what,
            "incident": "",
            "at": now,
            "next_at": now,
            "attempts": 0,
            "problem": "",
        }
        for service in services
    ]
    if rows:
        connection.execute(insert(TELLINGS), rows)


def due(connection: Connection, service: str, now: int) -> tuple[Row, ...]:
    """What a service could be told now, the oldest first.

    What happened to an alert is told in its order: that it is over waits until it was told that it
    is there. A row whose next try is further away than any wait was put there by a clock that ran
    ahead.
    """
    table = TELLINGS.c
    rows = connection.execute(
        select(*(getattr(table, name) for name in Row._fields), table.next_at)
        .where(table.service == service, table.told_at.is_(None), table.given_up_at.is_(None))
        # Of an alert that was deleted since, there is nothing to tell.
        .where(table.alert.in_(select(ALERTS.c.id)))
        .order_by(table.id)
        .limit(_MOST)
        .with_for_update(skip_locked=True)
    )
    found, waiting = [], set()
    for *values, next_at in rows:
        row = Row(*values)
        if row.alert in waiting or now < next_at <= now + 2 * _LONGEST:
            waiting.add(row.alert)
        else:
            found.append(row)
    return tuple(found)


def claim(connection: Connection, rows: Sequence[Row], now: int, settings: Settings) -> None:
    """Before it is sent: whoever comes next does not send it too."""
    deadline = 2 * int(settings.deadline.total_seconds())
    for each in rows:
        wait = max(min(_FIRST * 2**each.attempts, _LONGEST), deadline)
        values = {"attempts": each.attempts + 1, "next_at": now + wait}
        connection.execute(update(TELLINGS).where(TELLINGS.c.id == each.id).values(**values))


def told(connection: Connection, rows: Sequence[Row], now: int, incident: str = "") -> None:
    """They were sent, and the service took them."""
    ids = [each.id for each in rows]
    values = {"told_at": now, "problem": "", "incident": incident}
    connection.execute(update(TELLINGS).where(TELLINGS.c.id.in_(ids)).values(**values))
    table = TELLINGS.c
    again = (table.service == rows[0].service, table.told_at.is_(None), table.next_at > now)
    # It is there again: what waited for its next try need not wait any longer.
    connection.execute(update(TELLINGS).where(*again).values(next_at=now))
    _record(connection, rows, now, "told", "")


def untold(
    connection: Connection, rows: Sequence[Row], now: int, problem: str, settings: Settings
) -> None:
    """They could not be sent. What is too old is given up."""
    longest = settings.give_up.total_seconds()
    for each in rows:
        values: dict[str, object] = {"problem": problem}
        over = now - each.at >= longest
        if over:
            values["given_up_at"] = now
        connection.execute(update(TELLINGS).where(TELLINGS.c.id == each.id).values(**values))
    first = [each for each in rows if each.attempts == 0 or now - each.at >= longest]
    _record(connection, first, now, "untold", problem)


def give_up_strangers(connection: Connection, services: Collection[str], now: int) -> None:
    """Services that the settings do not name any more are told of nothing."""
    table = TELLINGS.c
    connection.execute(
        update(TELLINGS)
        .where(table.told_at.is_(None), table.given_up_at.is_(None), table.service.not_in(services))
        .values(given_up_at=now, problem="it is not in the settings any more")
    )


def failing(connection: Connection, now: int) -> Mapping[str, str]:
    """The services that were tried in vain several times, or given up lately; with the problem."""
    table = TELLINGS.c
    rows = connection.execute(
        select(table.service, func.max(table.problem))
        .where(
            table.told_at.is_(None),
            table.attempts >= _WORRYING,
            table.problem != "",
            or_(table.given_up_at.is_(None), table.given_up_at > now - _REMEMBERED),
        )
        .group_by(table.service)
    )
    return {service: problem for service, problem in rows}  # noqa: C416  # rows are no pairs


def incidents(connection: Connection, rows: Sequence[Row]) -> dict[int, str]:
    """The incident that a service has for each of these alerts, where it has one."""
    table = TELLINGS.c
    numbers = sorted({each.alert for each in rows})
    found = connection.execute(
        select(table.alert, table.incident)
        .where(table.service == rows[0].service, table.alert.in_(numbers), table.incident != "")
        .order_by(table.id)
    )
    return {alert: incident for alert, incident in found}  # noqa: C416  # rows are no pairs


def others_open(connection: Connection, row: Row, incident: str) -> int:
    """How many other alerts of an incident are still open."""
    table = TELLINGS.c
    return int(
        connection.execute(
            select(func.count(func.distinct(table.alert)))
            .join(ALERTS, ALERTS.c.id == table.alert)
            .where(
                table.service == row.service,
                table.incident == incident,
                table.alert != row.alert,
                ALERTS.c.resolved_at.is_(None),
            )
        ).scalar_one()
    )


def _record(connection: Connection, rows: Sequence[Row], now: int, what: str, problem: str) -> None:
    events = [
        {"alert": each.alert, "at": now, "what": what, "who": each.service}
        | {"note": f"{each.what}: {problem}" if problem else each.what}
        for each in rows
    ]
    if events:
        connection.execute(insert(ALERT_EVENTS), events)
