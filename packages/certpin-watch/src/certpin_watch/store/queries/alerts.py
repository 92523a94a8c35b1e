"""Read alerts with their events, and silences, for the pages and the API."""

from __future__ import annotations

from datetime import datetime, timedelta  # noqa: TC003  # msgspec reads the fields
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from sqlalchemy import func, select

from certpin_watch.store.alerts import AlertState, alert_from, in_force, select_open
from certpin_watch.store.queries import (
    Page,
    clamp_limit,
    make_page,
    to_datetime,
    to_datetime_or_none,
    to_seconds,
)
from certpin_watch.store.tables.service import ALERT_EVENTS, ALERTS, SILENCES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row


Which = Literal["open", "resolved", "all"]

_MAX_EVENTS = 500  # of one alert


class Alert(msgspec.Struct, frozen=True):
    """An alert: a problem from when it was first seen until it is resolved.

    Attributes:
        id: the number of the alert.
        key: identifies the problem: rule, pin set, host and subject.
        rule: the ID of the alert rule that found the problem.
        severity: the current severity: "critical", "warning" or "info".
        host: the host name or host pattern with the problem; empty if it concerns no single host.
        pin_set: the name of the pin set; empty if it concerns none.
        summary: a sentence that describes the problem.
        command: the shell command that the user should run next; empty if there is none.
        details: further values as JSON text; the keys depend on the rule.
        repeats: how often a message about the open alert was repeated.
        opened_at: when the problem was first seen.
        last_at: when the problem was last seen.
        clients: the number of affected clients; null if unknown.
        resolved_at: when the alert resolved; null while it is open.
        told_at: when a message about the alert last became due; null if none did.
        state: the state in one word, such as "open", "silenced" or "recovering".
        acknowledged_at: when a user acknowledged it; null if it is not acknowledged.
        acknowledged_by: the name of this user; empty if it is not acknowledged.
        gone_at: when the problem was no longer detected; null if it is still detected.
        resolves_at: when the alert resolves if the problem does not return by then: a hold time
            after ``gone_at``. Null if the problem is still detected.
    """

    id: int
    key: str
    rule: str
    severity: str
    host: str
    pin_set: str
    summary: str
    command: str
    details: str
    repeats: int
    opened_at: datetime
    last_at: datetime
    clients: int | None = None
    resolved_at: datetime | None = None
    told_at: datetime | None = None
    state: AlertState = "open"
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    gone_at: datetime | None = None
    resolves_at: datetime | None = None


class AlertEvent(msgspec.Struct, frozen=True):
    """An event in the history of an alert, at the time ``at``.

    ``what`` is the kind of event, such as "opened", "acknowledged" or "resolved". ``who`` is the
    user or the notification service that caused it, and ``note`` an additional text; each is empty
    if there is none.
    """

    at: datetime
    what: str
    who: str
    note: str


class AlertStory(msgspec.Struct, frozen=True):
    """An alert with its events, the oldest first. Only the last 500 events are included."""

    alert: Alert
    events: tuple[AlertEvent, ...]


class Silence(msgspec.Struct, frozen=True):
    """A silence: no notifications about matching alerts are sent from ``since`` to ``until``.

    If ``rule`` or ``host`` is empty, alerts of all rules or hosts match. ``who`` is the user who
    created the silence, and ``why`` the reason that this user gave. ``active`` is true if it is in
    force now. ``ended_at`` is when a user ended it before its time, else null.
    """

    id: int
    rule: str
    host: str
    since: datetime
    until: datetime
    who: str
    why: str
    active: bool
    ended_at: datetime | None = None


def alerts(
    connection: Connection,
    hold: timedelta,
    *,
    which: Which = "open",
    host: str | None = None,
    before: tuple[int] | None = None,
    limit: int = 100,
) -> Page[Alert]:
    """Return a page of stored alerts, the newest first: those with the highest ID.

    Args:
        connection: a connection that may read.
        hold: the setting ``[alerts] hold``: how long a problem must be gone before its alert
            resolves. ``Alert.resolves_at`` is computed from it; it doesn't select alerts.
        which: "open" for open alerts, "resolved" for resolved ones, "all" for both.
        host: only alerts with this value of ``Alert.host``, a host name or pattern; None for all.
        before: the field ``next`` of the previous page, which is the ID of its last alert; None for
            the first page.
        limit: the maximum number of alerts on the page, from 1 to ``MAX_ITEMS``.
    """
    limit, columns = clamp_limit(limit), ALERTS.c
    statement = select(ALERTS).order_by(columns.id.desc())
    if which == "open":
        statement = statement.where(columns.resolved_at.is_(None))
    if which == "resolved":
        statement = statement.where(columns.resolved_at.is_not(None))
    if host is not None:
        statement = statement.where(columns.host == host)
    if before is not None:
        statement = statement.where(columns.id < before[0])
    rows = connection.execute(statement.limit(limit + 1)).all()
    return make_page([_alert(row, hold) for row in rows], limit, [(row.id,) for row in rows])


def open_alerts(
    connection: Connection, hold: timedelta, *, host: str | None = None, limit: int = 100
) -> tuple[Alert, ...]:
    """Return the open alerts, the worst first, then the oldest.

    Args:
        connection: a connection that may read.
        hold: the setting ``[alerts] hold``: how long a problem must be gone before its alert
            resolves. ``Alert.resolves_at`` is computed from it.
        host: only alerts with this value of ``Alert.host``, a host name or pattern; None for all.
        limit: how many alerts are returned at most.
    """
    wanted = select_open().limit(clamp_limit(limit))
    if host is not None:
        wanted = wanted.where(ALERTS.c.host == host)
    return tuple(_alert(row, hold) for row in connection.execute(wanted))


def open_counts(connection: Connection) -> dict[tuple[str, str], int]:
    """Return the number of open alerts for each pair of rule and severity.

    Pairs without an open alert are left out.
    """
    by = (ALERTS.c.rule, ALERTS.c.severity)
    statement = select(*by, func.count()).where(ALERTS.c.resolved_at.is_(None)).group_by(*by)
    return {(rule, severity): number for rule, severity, number in connection.execute(statement)}


def alert(connection: Connection, hold: timedelta, number: int) -> AlertStory | None:
    """Return an alert with its events; None if no alert has this number.

    ``hold`` is the setting ``[alerts] hold``: how long a problem must be gone before its alert
    resolves. ``Alert.resolves_at`` is computed from it.
    """
    row = connection.execute(select(ALERTS).where(ALERTS.c.id == number)).one_or_none()
    return None if row is None else AlertStory(_alert(row, hold), _events(connection, number))


def silences(
    connection: Connection,
    now: datetime,
    longest: timedelta,
    *,
    active: bool = False,
    before: tuple[int] | None = None,
    limit: int = 100,
) -> Page[Silence]:
    """Return a page of silences; the one that was created last is first.

    Args:
        connection: a connection that may read.
        now: the current time.
        longest: the longest permitted duration of a silence (``[alerts] silence``). A silence that
            ends later than ``now`` plus this duration is not in force.
        active: True to return only the silences that are in force now.
        before: ``next`` of the previous page; None for the first page.
        limit: the size of the page.
    """
    limit, columns = clamp_limit(limit), SILENCES.c
    current = in_force(to_seconds(now), longest)
    statement = select(SILENCES, current.label("active")).order_by(columns.id.desc())
    if active:
        statement = statement.where(current)
    if before is not None:
        statement = statement.where(columns.id < before[0])
    rows = connection.execute(statement.limit(limit + 1)).all()
    return make_page([_silence(row) for row in rows], limit, [(row.id,) for row in rows])


def _events(connection: Connection, number: int) -> tuple[AlertEvent, ...]:
    columns = ALERT_EVENTS.c
    statement = select(ALERT_EVENTS).where(columns.alert == number).order_by(columns.id.desc())
    rows: Sequence[Row[Any]] = connection.execute(statement.limit(_MAX_EVENTS)).all()
    return tuple(
        AlertEvent(to_datetime(row.at), row.what, row.who, row.note) for row in reversed(rows)
    )


def _alert(row: Row[Any], hold: timedelta) -> Alert:
    found = alert_from(row)
    resolves = None if found.gone_at is None else found.gone_at + found.hold_seconds(hold)
    return Alert(
        row.id,
        row.key,
        row.rule,
        row.severity,
        row.host,
        row.pin_set,
        row.summary,
        row.command,
        row.details,
        row.repeats,
        to_datetime(row.opened_at),
        to_datetime(row.last_at),
        row.clients,
        to_datetime_or_none(row.resolved_at),
        to_datetime_or_none(row.told_at),
        found.state,
        to_datetime_or_none(row.acknowledged_at),
        row.acknowledged_by,
        to_datetime_or_none(row.gone_at),
        to_datetime_or_none(resolves),
    )


def _silence(row: Row[Any]) -> Silence:
    return Silence(
        row.id,
        row.rule,
        row.host,
        to_datetime(row.since),
        to_datetime(row.until),
        row.who,
        row.why,
        bool(row.active),
        to_datetime_or_none(row.ended_at),
    )
