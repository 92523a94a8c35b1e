"""SQL statements on alerts, their history, their messages to notification services, and silences.

A message to one notification service is called a *delivery*. Before a process sends a message, it
*claims* the message: it moves the time of the next attempt into the future, so that no other
process sends it. If the process dies while it sends, a process sends the message again at that
time. So a message can arrive twice, but it is never sent again after it was recorded as delivered.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sqlalchemy import and_, bindparam, case, func, insert, or_, select, update

from certpin_watch.settings import SEVERITIES, Severity
from certpin_watch.store.tables.service import ALERT_EVENTS, ALERTS, SILENCES, TELLINGS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import timedelta

    from sqlalchemy import ColumnElement, Connection, Row, Select

# `recovering`: the problem is gone, and the alert is held open until the hold time is over.
AlertState = Literal["open", "acknowledged", "silenced", "maintenance", "recovering", "resolved"]
# Why no messages are sent about an alert; empty if they are.
Suppression = Literal["", "silenced", "maintenance"]

FLAP_SECONDS = 6 * 3600  # a problem that comes back within this time after it was resolved flaps
_MAX_DOUBLINGS = 5  # of the hold time, by flaps: 32 times at most
_MAX_DETAILS = 32 * 1024  # bytes of JSON: texts from reports end up there
MAX_STANDING = 1000  # alerts in a request to Alertmanager

_FIRST_RETRY = 30  # seconds until the second attempt; each further wait is twice as long
_MAX_RETRY = 3600
_MAX_DUE = 2000  # rows at once
_FAILING_ATTEMPTS = 3  # attempts after which a service counts as failing
_GIVEN_UP_SECONDS = 86400  # for which a message that was given up counts


@dataclass(frozen=True)
class AlertRow:
    """A row of ``alerts``: a problem from when it was first seen until it is resolved.

    All times are in seconds since 1970.

    Attributes:
        key: identifies the problem: rule, pin set, host and subject.
        rule: the ID of the alert rule that found the problem.
        severity: the current severity: "critical", "warning" or "info".
        host: the host name or host pattern with the problem; empty if it concerns no single host.
        pin_set: the name of the pin set; empty if it concerns none.
        summary: a sentence that describes the problem.
        command: the shell command that the user should run next; empty if there is none.
        opened_at: when the problem was first seen.
        last_at: when the problem was last seen.
        details: further values about the problem, as JSON; the keys depend on the rule.
        clients: the number of affected clients; None if unknown.
        gone_at: when the problem was no longer detected; None if it is still detected.
        resolved_at: when the alert resolved; None while it is open.
        told_at: when a message about the alert last became due; None if none did.
        told_clients: the number of affected clients at ``told_at``; None if unknown.
        peak: the severity with which the current one is compared: if the problem becomes worse than
            ``peak``, a message is due. It is the severity at ``told_at``, with two exceptions: it
            follows the current severity upwards while the alert is silenced, and downwards while
            the alert is acknowledged.
        quiet: why no messages are sent: "silenced" or "maintenance"; empty if they are sent.
        flaps: how often in succession the problem returned within ``FLAP_SECONDS`` after its alert
            had resolved.
        repeats: how often a message about the open alert was repeated because the setting
            ``repeat`` had passed since the last one.
        acknowledged_at: when a user acknowledged the alert, so that messages are not repeated; None
            if it is not acknowledged.
        acknowledged_by: the name of this user; empty if it is not acknowledged.
        highest: the highest severity that a message about the alert had.
        id: the number of the row; None until it is stored.
    """

    key: str
    rule: str
    severity: Severity
    host: str
    pin_set: str
    summary: str
    command: str
    opened_at: int
    last_at: int
    details: dict[str, Any] = field(default_factory=dict)
    clients: int | None = None
    gone_at: int | None = None
    resolved_at: int | None = None
    told_at: int | None = None
    told_clients: int | None = None
    peak: Severity = "info"
    quiet: Suppression = ""
    flaps: int = 0
    repeats: int = 0
    acknowledged_at: int | None = None
    acknowledged_by: str = ""
    highest: Severity = "info"
    id: int | None = None

    @property
    def state(self) -> AlertState:
        """The state of the alert as one word, which pages, API, commands and messages show.

        It is "open", "acknowledged", "silenced", "maintenance", "recovering" (the problem is gone,
        but the alert isn't resolved yet) or "resolved".
        """
        if self.resolved_at is not None:
            return "resolved"
        if self.gone_at is not None:
            return "recovering"
        return self.quiet or ("open" if self.acknowledged_at is None else "acknowledged")

    def hold_seconds(self, hold: timedelta) -> int:
        """Return for how many seconds the problem must be gone before the alert resolves.

        The result is the setting ``hold``, doubled once for each of the alert's ``flaps``, but at
        most five times.
        """
        doubled: int = 2 ** min(self.flaps, _MAX_DOUBLINGS)
        return int(hold.total_seconds()) * doubled


@dataclass(frozen=True)
class SilenceRow:
    """A silence: no messages about matching alerts are sent from ``since`` to ``until``.

    If ``rule`` or ``host`` is empty, alerts of all rules or hosts match. ``who`` is the user who
    created the silence, and ``why`` the reason that this user gave. ``ended_at`` is when a user
    ended it before its time, else None. All times are in seconds since 1970. ``id`` is the number
    of the row; None until it is stored.
    """

    rule: str
    host: str
    since: int
    until: int
    who: str
    why: str
    ended_at: int | None = None
    id: int | None = None

    def is_in_force(self, now: int, longest: timedelta) -> bool:
        """Return True if this silence suppresses messages at ``now`` (in seconds since 1970).

        Return False if the silence ends later than ``now`` plus ``longest``, the longest permitted
        duration. Such a silence would last too long: it was stored in spite of the limit, or before
        the clock was set back.
        """
        return self.ended_at is None and now < self.until <= last_end(now, longest)


class DeliveryRow(NamedTuple):
    """A message to a notification service about an event of an alert.

    ``id``, ``event`` and ``alert`` are the row numbers of the message, the event and the alert.
    ``service`` is the name of the notification service. ``what`` is the kind of event, such as
    "opened". The message became due at ``at`` (seconds since 1970). ``attempts`` is the number of
    attempts to send it so far.
    """

    id: int
    event: int
    alert: int
    service: str
    what: str
    at: int
    attempts: int


_ALERT_COLUMNS = tuple(column.name for column in fields(AlertRow) if column.name != "id")


def is_worse(one: Severity, other: Severity) -> bool:
    """Return True if the severity ``one`` is worse than the severity ``other``.

    The order is "critical", "warning", "info". Equal severities give False.
    """
    return SEVERITIES.index(one) < SEVERITIES.index(other)


def last_end(now: int, longest: timedelta) -> int:
    """Return the latest permitted end of a silence: ``now`` plus ``longest``.

    A silence with a later end suppresses no messages. ``now`` and the result are in seconds since
    1970. ``longest`` is the longest permitted duration of a silence.
    """
    return now + int(longest.total_seconds())


def known_alerts(connection: Connection, now: int) -> tuple[AlertRow, ...]:
    """Return one alert for each problem: its open alert, or the last one that resolved recently.

    "Recently" means in the last ``FLAP_SECONDS``; problems without such an alert are left out. The
    rows are locked until the transaction ends, because the caller later writes all of their
    columns: without the lock, that would undo an acknowledgement which is stored in between.

    Args:
        connection: a transaction that may write.
        now: in seconds since 1970.
    """
    table = ALERTS.c
    rows = connection.execute(
        select(ALERTS)
        .where(or_(table.resolved_at.is_(None), table.resolved_at > now - FLAP_SECONDS))
        .order_by(table.resolved_at.is_(None), table.id)
        .with_for_update()
    )
    return tuple({alert.key: alert for alert in map(alert_from, rows)}.values())


def open_alerts(connection: Connection) -> tuple[AlertRow, ...]:
    """Return all open alerts, the worst first, then the oldest."""
    return tuple(map(alert_from, connection.execute(select_open())))


def select_open() -> Select[Any]:
    """Return the SQL statement that selects open alerts, the worst first, then the oldest.

    The statement is not executed.
    """
    table = ALERTS.c
    ranks = {severity: rank for rank, severity in enumerate(SEVERITIES)}
    rank = case(ranks, value=table.severity, else_=9)
    wanted = select(ALERTS).where(table.resolved_at.is_(None))
    return wanted.order_by(rank, table.opened_at, table.id)


def alert_from(row: Row[Any]) -> AlertRow:
    """Convert a database row to an alert.

    If the stored details are not a JSON object, ``details`` of the alert is empty.
    """
    values = {name: getattr(row, name) for name in (*_ALERT_COLUMNS, "id")}
    try:
        details = json.loads(row.details)
    except ValueError:
        details = {}
    return AlertRow(**values | {"details": details if isinstance(details, dict) else {}})


def insert_alert(connection: Connection, alert: AlertRow) -> int:
    """Insert a new alert and return its ID."""
    row = insert(ALERTS).values(**_alert_values(alert)).returning(ALERTS.c.id)
    return int(connection.execute(row).scalar_one())


def update_alerts(connection: Connection, alerts: Iterable[AlertRow]) -> None:
    """Write all columns of alerts that are already stored."""
    rows = [
        {f"_{name}": value for name, value in _alert_values(alert).items()} | {"_id": alert.id}
        for alert in alerts
    ]
    if rows:
        values: dict[str, Any] = {name: bindparam(f"_{name}") for name in _ALERT_COLUMNS}
        connection.execute(
            update(ALERTS).where(ALERTS.c.id == bindparam("_id")).values(**values), rows
        )


def _alert_values(alert: AlertRow) -> dict[str, Any]:
    values = {name: getattr(alert, name) for name in _ALERT_COLUMNS}
    details = json.dumps(alert.details, default=str)
    if len(details) > _MAX_DETAILS:
        details = json.dumps({"clients": alert.clients, "left_out": "there were too many details"})
    return values | {"details": details}


def set_acknowledged(connection: Connection, number: int, who: str, at: int | None) -> bool:
    """Acknowledge an open alert in the name of ``who``, or withdraw its acknowledgement.

    ``number`` is the ID of the alert. ``at`` is the time of the acknowledgement; None withdraws it.

    Returns:
        True if the alert was changed. False if it is not open, if it is to be acknowledged and
        already is, or if there is no acknowledgement to withdraw.
    """
    table = ALERTS.c
    marked = table.acknowledged_at
    values = {"acknowledged_at": at, "acknowledged_by": "" if at is None else who}
    differs = marked.is_not(None) if at is None else marked.is_(None)
    changed = update(ALERTS).where(table.id == number, table.resolved_at.is_(None), differs)
    return bool(connection.execute(changed.values(**values)).rowcount)


def record_event(
    connection: Connection, alert: int, at: int, what: str, who: str = "", note: str = ""
) -> int:
    """Store an event in the history of an alert, and return the ID of the event.

    Args:
        connection: a transaction that may write.
        alert: the ID of the alert.
        at: the time of the event, in seconds since 1970.
        what: the kind of event, such as "opened" or "acknowledged".
        who: the user or notification service that caused it; empty if there is none.
        note: an additional text about the event; empty if there is none.
    """
    row = insert(ALERT_EVENTS).values(alert=alert, at=at, what=what, who=who, note=note)
    return int(connection.execute(row.returning(ALERT_EVENTS.c.id)).scalar_one())


def read_event(connection: Connection, delivery: DeliveryRow) -> tuple[AlertRow, str]:
    """Return the alert that a queued message is about, and the note of the message's event.

    ``delivery`` is the message. The event, such as "opened", is the reason for the message. The
    note is additional text; empty if the event has none.
    """
    alert = connection.execute(select(ALERTS).where(ALERTS.c.id == delivery.alert)).one()
    note = select(ALERT_EVENTS.c.note).where(ALERT_EVENTS.c.id == delivery.event)
    return alert_from(alert), connection.execute(note).scalar() or ""


def add_deliveries(
    connection: Connection, event: int, alert: int, what: str, services: Iterable[str], now: int
) -> None:
    """Queue a message about an event for each of these notification services; it is due now.

    ``event`` and ``alert`` are row numbers; ``what`` is the kind of event.
    """
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


def due_deliveries(connection: Connection, service: str, now: int) -> tuple[DeliveryRow, ...]:
    """Return the messages to send to a notification service now, the oldest first.

    A message is returned if the time of its next attempt has come. It is also returned if that time
    is more than two hours ahead: no attempt is planned so late, so a clock that ran ahead wrote the
    time. Messages about one alert are sent in order: while one of them waits for its next attempt,
    the later ones wait, too.

    The messages are locked until the transaction ends. Messages that another process has locked are
    left out.
    """
    table = TELLINGS.c
    rows = connection.execute(
        select(*(getattr(table, name) for name in DeliveryRow._fields), table.next_at)
        .where(table.service == service, table.told_at.is_(None), table.given_up_at.is_(None))
        # There is nothing to send about an alert that was deleted since.
        .where(table.alert.in_(select(ALERTS.c.id)))
        .order_by(table.id)
        .limit(_MAX_DUE)
        .with_for_update(skip_locked=True)
    )
    found, waiting = [], set()
    for *values, next_at in rows:
        row = DeliveryRow(*values)
        if row.alert in waiting or now < next_at <= now + 2 * _MAX_RETRY:
            waiting.add(row.alert)
        else:
            found.append(row)
    return tuple(found)


def claim_deliveries(
    connection: Connection, rows: Sequence[DeliveryRow], now: int, deadline: timedelta
) -> None:
    """Claim messages, so that no other process sends them while this process does.

    The time of the next attempt is moved into the future: by at least twice ``deadline``, and by
    more with each attempt.

    Args:
        connection: a transaction that may write.
        rows: the messages.
        now: in seconds since 1970.
        deadline: the time limit for sending a message.
    """
    shortest = 2 * int(deadline.total_seconds())
    for row in rows:
        wait = max(min(_FIRST_RETRY * 2**row.attempts, _MAX_RETRY), shortest)
        values = {"attempts": row.attempts + 1, "next_at": now + wait}
        connection.execute(update(TELLINGS).where(TELLINGS.c.id == row.id).values(**values))


def record_delivered(
    connection: Connection, rows: Sequence[DeliveryRow], now: int, incident: str = ""
) -> None:
    """Record that a notification service accepted these messages.

    All other messages to this service that wait for their next attempt become due now, because the
    service evidently works again.

    Args:
        connection: a transaction that may write.
        rows: the messages; all are for the same service.
        now: in seconds since 1970.
        incident: the service's key of the incident that the messages belong to, if the service
            has incidents (PagerDuty, for example); else empty.
    """
    table = TELLINGS.c
    ids = [row.id for row in rows]
    values = {"told_at": now, "problem": "", "incident": incident}
    connection.execute(update(TELLINGS).where(table.id.in_(ids)).values(**values))
    waiting = (table.service == rows[0].service, table.told_at.is_(None), table.next_at > now)
    connection.execute(update(TELLINGS).where(*waiting).values(next_at=now))
    _record_deliveries(connection, rows, now, "told", "")


def record_failed(
    connection: Connection,
    rows: Sequence[DeliveryRow],
    now: int,
    problem: str,
    give_up: timedelta,
) -> None:
    """Record that the messages ``rows`` could not be sent, because of ``problem``.

    Messages that became due ``give_up`` ago or earlier are given up: they are never sent. All
    others stay queued for their next attempt, which ``claim_deliveries`` has planned. ``now`` is in
    seconds since 1970.
    """
    longest = give_up.total_seconds()
    for row in rows:
        values: dict[str, object] = {"problem": problem}
        if now - row.at >= longest:
            values["given_up_at"] = now
        connection.execute(update(TELLINGS).where(TELLINGS.c.id == row.id).values(**values))
    first = [row for row in rows if row.attempts == 0 or now - row.at >= longest]
    _record_deliveries(connection, first, now, "untold", problem)


def _record_deliveries(
    connection: Connection, rows: Sequence[DeliveryRow], now: int, what: str, problem: str
) -> None:
    events = [
        {"alert": row.alert, "at": now, "what": what, "who": row.service}
        | {"note": f"{row.what}: {problem}" if problem else row.what}
        for row in rows
    ]
    if events:
        connection.execute(insert(ALERT_EVENTS), events)


def give_up_removed(
    connection: Connection, services: Collection[str], now: int
) -> Mapping[str, int]:
    """Give up unsent messages to notification services that are not in the settings any more.

    These messages are never sent. Each is recorded in the history of its alert.

    Args:
        connection: a transaction.
        services: the notification services in the settings.
        now: in seconds since 1970.

    Returns:
        The number of messages that were given up, by service.
    """
    table, problem = TELLINGS.c, "it is not in the settings any more"
    rows = connection.execute(
        update(TELLINGS)
        .where(table.told_at.is_(None), table.given_up_at.is_(None), table.service.not_in(services))
        .values(given_up_at=now, problem=problem)
        .returning(*(getattr(table, name) for name in DeliveryRow._fields))
    )
    found = [DeliveryRow(*row) for row in rows]
    _record_deliveries(connection, found, now, "untold", problem)
    return Counter(row.service for row in found)


def failing_services(connection: Connection, now: int) -> Mapping[str, str]:
    """Return the notification services that fail, each with the text of an error.

    The result maps the name of the service to that text. A service fails if several attempts to
    send one message failed, and that message is still waiting or was given up recently. ``now`` is
    in seconds since 1970.
    """
    table = TELLINGS.c
    rows = connection.execute(
        select(table.service, func.max(table.problem))
        .where(
            table.told_at.is_(None),
            table.attempts >= _FAILING_ATTEMPTS,
            table.problem != "",
            or_(table.given_up_at.is_(None), table.given_up_at > now - _GIVEN_UP_SECONDS),
        )
        .group_by(table.service)
    )
    return {service: problem for service, problem in rows}  # noqa: C416  # rows are not pairs


def known_incidents(connection: Connection, rows: Sequence[DeliveryRow]) -> dict[int, str]:
    """Return the key of the incident of each alert that the messages ``rows`` are about.

    An incident is an object of a notification service such as PagerDuty, and can have several
    alerts. The result maps the ID of an alert to the key. Alerts without an incident are left out.
    All of the messages must be for the same service.
    """
    table = TELLINGS.c
    numbers = sorted({row.alert for row in rows})
    found = connection.execute(
        select(table.alert, table.incident)
        .where(table.service == rows[0].service, table.alert.in_(numbers), table.incident != "")
        .order_by(table.id)
    )
    return {alert: incident for alert, incident in found}  # noqa: C416  # rows are not pairs


def count_others_open(connection: Connection, row: DeliveryRow, incident: str) -> int:
    """Count the other open alerts of the incident that one alert belongs to.

    An incident is an object of a notification service, and can have several alerts.

    Args:
        connection: a transaction.
        row: a message to the service. The alert that it is about is not counted.
        incident: the service's key of the incident.
    """
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


def alert_keys(connection: Connection, numbers: Iterable[int]) -> list[str]:
    """Return the keys of the alerts with the IDs ``numbers``, in no particular order.

    The key identifies the problem: rule, pin set, host and subject. IDs without an alert are left
    out.
    """
    wanted = select(ALERTS.c.key).where(ALERTS.c.id.in_(list(numbers)))
    return list(connection.execute(wanted).scalars())


def standing_alerts(connection: Connection, service: str, after: int = 0) -> tuple[AlertRow, ...]:
    """Return open alerts about which a notification service has accepted a message.

    Alertmanager needs them again at intervals. The result is in the order of their IDs, and has at
    most ``MAX_STANDING`` alerts. To get the following ones, pass the last ID as ``after``: only
    alerts with a greater ID are returned.
    """
    table = TELLINGS.c
    delivered = select(table.alert).where(table.service == service, table.told_at.is_not(None))
    is_open = (ALERTS.c.resolved_at.is_(None), ALERTS.c.id > after)
    wanted = select(ALERTS).where(*is_open, ALERTS.c.id.in_(delivered))
    rows = connection.execute(wanted.order_by(ALERTS.c.id).limit(MAX_STANDING))
    return tuple(map(alert_from, rows))


def insert_silence(connection: Connection, silence: SilenceRow) -> int:
    """Insert a new silence and return its ID."""
    names = ("rule", "host", "since", "until", "who", "why")
    values = {name: getattr(silence, name) for name in names}
    result = connection.execute(insert(SILENCES).values(**values).returning(SILENCES.c.id))
    return int(result.scalar_one())


def end_silence(connection: Connection, number: int, now: int) -> bool:
    """End the silence with the ID ``number`` now.

    Return True if it was ended; False if it does not exist, or has already ended.
    """
    table = SILENCES.c
    ended = update(SILENCES).where(table.id == number, table.ended_at.is_(None), table.until > now)
    return bool(connection.execute(ended.values(ended_at=now)).rowcount)


def silences_in_force(
    connection: Connection, now: int, longest: timedelta
) -> tuple[SilenceRow, ...]:
    """Return the silences that suppress messages at ``now``, in the order of their ends.

    Silences that end later than ``now`` plus ``longest`` are left out: they exceed the longest
    permitted duration, and have no effect.
    """
    order = (SILENCES.c.until, SILENCES.c.id)
    rows = connection.execute(select(SILENCES).where(in_force(now, longest)).order_by(*order))
    names = tuple(column.name for column in fields(SilenceRow))
    return tuple(SilenceRow(**{name: getattr(row, name) for name in names}) for row in rows)


def in_force(now: int, longest: timedelta) -> ColumnElement[bool]:
    """Return the SQL condition that selects the silences that suppress messages at ``now``.

    It is the condition of ``SilenceRow.is_in_force`` in SQL: the silence has not ended, and ends at
    ``now`` plus ``longest`` (the longest permitted duration) at the latest.
    """
    table = SILENCES.c
    ends = and_(table.until > now, table.until <= last_end(now, longest))
    return and_(table.ended_at.is_(None), ends)
