"""Decide which notification services get a message about an alert, and send the messages.

Messages to each service are sent in a separate thread, with a deadline. A service that does not
respond does not delay messages to other services. The service itself gets no further message until
its thread has ended.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin_watch import telemetry
from certpin_watch.alerts.message import Item, Message
from certpin_watch.alerts.services import RESEND_SECONDS, TIMED_OUT, AlertmanagerService
from certpin_watch.alerts.silences import matches_host
from certpin_watch.counters import COUNTERS
from certpin_watch.store import alerts as alert_store
from certpin_watch.store.alerts import is_worse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from certpin_watch.alerts.services import AnyService
    from certpin_watch.alerts.state import What
    from certpin_watch.context import Watch
    from certpin_watch.settings import NotificationSettings
    from certpin_watch.store.alerts import AlertRow, DeliveryRow

log = logging.getLogger("certpin.watch.alerts")

# After so many messages within so many seconds a service gets none for a while; the messages of
# that time become a digest.
_BURST = 10
_BURST_SECONDS = 600
_PAUSE_SECONDS = 300


def is_wanted(settings: NotificationSettings, alert: AlertRow, what: What) -> bool:
    """Return True if a notification service is to get a message about an event of an alert.

    The alert must match the settings ``rules``, ``hosts`` and ``severity`` of the service. If
    ``hosts`` names a host below a wildcard, alerts about the whole wildcard match, too. A service
    gets no messages about its own failures.

    For the event "resolved", two rules differ. The setting ``resolved`` must be on. And the setting
    ``severity`` is compared with the highest severity of all messages about the alert, instead of
    the alert's current severity.

    Args:
        settings: the settings of the service.
        alert: the alert.
        what: the event, such as "opened" or "resolved".
    """
    if alert.rule == "telling-fails" and alert.details.get("service") == settings.name:
        return False
    if what == "resolved" and not settings.resolved:
        return False
    severity = alert.highest if what == "resolved" else alert.severity
    return (
        not is_worse(settings.severity, severity)
        and (not settings.rules or alert.rule in settings.rules)
        and (not settings.hosts or any(_concerns(alert, entry) for entry in settings.hosts))
    )


def _concerns(alert: AlertRow, entry: str) -> bool:
    """Return True if an alert is about a host or pattern that the settings of a service name.

    ``entry`` is the host or pattern in the settings. The alert is about it if the alert's host or
    pattern is equal to it, matches it, or is matched by it. Alerts about probes, for example, name
    the host pattern of the pin file, such as ``*.bank.example``.
    """
    return matches_host(entry, alert.host) or matches_host(alert.host, entry)


class Notifier:
    """Sends the queued messages of one notification service, one after another.

    A message stays in the queue until the service has accepted it. ``service`` is the notification
    service; ``watch`` has the settings, the store and the clock.
    """

    def __init__(self, watch: Watch, service: AnyService) -> None:
        self.service = service
        self._watch = watch
        self._sent: deque[int] = deque(maxlen=_BURST)
        self._sent_out: threading.Event | None = None  # set once the last message is
        self._refreshed_at = -RESEND_SECONDS

    async def send_next(self) -> bool:
        """Send the service's next queued message, if one is due.

        Returns:
            True if a message was sent, or was recorded as delivered because it need not be sent.
            Then call this method again, because more messages can be due. False if no message was
            due, sending failed, or the previous message is still being sent.

        Raises:
            StoreError: the store is unavailable.
        """
        if self._is_busy():
            return False
        now = self._now()
        batch = await asyncio.to_thread(self._claim, now)
        if not batch.rows:
            return False
        problem = ""
        if batch.needs_message:
            message = await asyncio.to_thread(self._compose, batch.rows, now)
            problem = await self._send(message, batch.incident)
        await asyncio.to_thread(self._record, batch, problem)
        if batch.needs_message and not problem:
            self._sent.append(now)
        return not problem

    async def refresh(self) -> None:
        """Send all open alerts again to Alertmanager, which would otherwise resolve them.

        This method sends nothing if the service is not an Alertmanager, if it sent the alerts less
        than ``RESEND_SECONDS`` ago, or while another message is being sent.

        The alerts are sent in several requests of limited size. If one fails, the remaining ones
        are not sent. The failure is logged. It isn't stored, because the next queued message fails
        too if Alertmanager stays unreachable, and that failure is stored.

        Raises:
            StoreError: the store is unavailable.
        """
        now = self._now()
        is_recent = 0 <= now - self._refreshed_at < RESEND_SECONDS
        if not isinstance(self.service, AlertmanagerService) or is_recent or self._is_busy():
            return
        self._refreshed_at = now
        after = 0
        while alerts := await asyncio.to_thread(self._standing, after):
            message = Message(tuple(Item("repeated", alert) for alert in alerts), now, self._url())
            if problem := await self._send(message, ""):
                log.warning("%s could not be refreshed: %s", self.service.name, problem)
                return
            after = alerts[-1].id or 0

    def _is_busy(self) -> bool:
        return self._sent_out is not None and not self._sent_out.is_set()

    def _now(self) -> int:
        return int(self._watch.clock().timestamp())

    def _url(self) -> str:
        return self._watch.settings.public_url.rstrip("/")

    def _standing(self, after: int) -> tuple[AlertRow, ...]:
        with self._watch.store.read() as connection:
            return alert_store.standing_alerts(connection, self.service.name, after)

    def _claim(self, now: int) -> Batch:
        settings = self._watch.settings.alerts
        if is_paused(self._sent, now):
            return Batch()
        with self._watch.store.write() as connection:
            rows = alert_store.due_deliveries(connection, self.service.name, now)
            # After a pause another one follows, so one message must have all that waited.
            digest = 1 if is_burst(self._sent, now) else settings.digest
            if self.service.has_incidents:
                batch = incident_batch(connection, rows, digest)
            else:
                batch = Batch(rows if len(rows) > digest else rows[:1])
            alert_store.claim_deliveries(connection, batch.rows, now, settings.deadline)
        return batch

    def _compose(self, rows: Sequence[DeliveryRow], now: int) -> Message:
        with self._watch.store.read() as connection:
            items = []
            for row in rows:
                alert, note = alert_store.read_event(connection, row)
                items.append(Item(row.what, alert, note))
            return Message(tuple(items), now, self._url())

    async def _send(self, message: Message, incident: str) -> str:
        with telemetry.span("certpin.notification") as note:
            deadline = self._watch.settings.alerts.deadline.total_seconds()
            self._sent_out, answer = _start(self.service, message, incident, deadline)
            problem = await _wait_for(answer, deadline)
            note(outcome="failed" if problem else "told")
        return problem

    def _record(self, batch: Batch, problem: str) -> None:
        now = self._now()
        give_up = self._watch.settings.alerts.give_up
        with self._watch.store.write() as connection:
            if problem:
                alert_store.record_failed(connection, batch.rows, now, problem, give_up)
            else:
                alert_store.record_delivered(connection, batch.rows, now, batch.incident)
        COUNTERS.notified(delivered=not problem)
        if problem:
            log.warning("%s was not notified: %s", self.service.name, problem)


def is_burst(sent: Sequence[int], now: int) -> bool:
    """Return True if a service got ``_BURST`` messages within the last ``_BURST_SECONDS``.

    Args:
        sent: when messages were sent to the service, in Unix seconds. A time in the future does not
            count: it is from before the clock was set back.
        now: the current time in Unix seconds.
    """
    return sum(0 <= now - at < _BURST_SECONDS for at in sent) >= _BURST


def is_paused(sent: Sequence[int], now: int) -> bool:
    """Return True if a notification service must wait, because it recently got many messages.

    After a burst (``is_burst``), the service gets no message until ``_PAUSE_SECONDS`` have passed
    since the last one. ``sent`` and ``now`` are the arguments of ``is_burst``.
    """
    return is_burst(sent, now) and any(0 <= now - at < _PAUSE_SECONDS for at in sent)


async def send_once(service: AnyService, message: Message, deadline: float) -> str:
    """Send a message to a service directly, as a test. It is not queued, and not sent again.

    Args:
        service: the notification service.
        message: the message.
        deadline: how long the service may take, in seconds.

    Returns:
        The reason if sending failed, else an empty text.
    """
    _, answer = _start(service, message, "", deadline)
    return await _wait_for(answer, deadline)


def _start(
    service: AnyService, message: Message, incident: str, deadline: float
) -> tuple[threading.Event, Future[str]]:
    """Start a daemon thread that sends a message to a notification service.

    It is a daemon thread so that a service that hangs can't keep the process running.

    Args:
        service: the notification service.
        message: the message.
        incident: the key of the incident at the service; empty if it has no incidents.
        deadline: the seconds after which the thread shuts its connections down.

    Returns:
        An event that is set when the service no longer sends, also if no caller waits for the
        result any more; and a future. The future's result is the reason if sending failed, else an
        empty text.
    """
    answer: Future[str] = Future()
    ended = threading.Event()

    def body() -> None:
        try:
            problem = service.send(message, incident, deadline)
        finally:
            ended.set()  # before the result, after which the next message may be sent
        if answer.set_running_or_notify_cancel():
            answer.set_result(problem)

    threading.Thread(target=body, name="certpin-telling", daemon=True).start()
    return ended, answer


async def _wait_for(answer: Future[str], deadline: float) -> str:
    """Wait at most ``deadline`` seconds until a message is sent.

    ``answer`` is the future of the thread that sends the message.

    Returns:
        The reason if sending failed or took too long, else an empty text.
    """
    try:
        return await asyncio.wait_for(asyncio.wrap_future(answer), deadline)
    except TimeoutError:
        return TIMED_OUT


@dataclass(frozen=True)
class Batch:
    """Queued messages to one notification service, which are sent together as a single message.

    Attributes:
        rows: the queued messages.
        incident: the key of the incident at the service that the messages belong to; empty if the
            service has no incidents.
        needs_message: False if nothing is sent, and the queued messages are only recorded as
            delivered. This is so if an alert resolved and its incident has other open alerts.
    """

    rows: tuple[DeliveryRow, ...] = ()
    incident: str = ""
    needs_message: bool = True


def incident_batch(connection: Connection, rows: Sequence[DeliveryRow], digest: int) -> Batch:
    """Choose the queued messages to send next to a service with incidents, such as PagerDuty.

    An incident is a group of alerts that the service shows as one problem.

    1. An alert belongs to one incident, from its first message until it resolves.
    2. If more than ``digest`` alerts in ``rows`` have no incident yet, they share a new one. The
       incident is resolved when the last of these alerts resolves.
    3. Events of several alerts of one incident are sent as one message.

    Args:
        connection: a transaction.
        rows: the messages to the service that are due, the oldest first.
        digest: the maximum number of alerts without an incident that get separate incidents.

    Returns:
        The chosen messages with the key of their incident; without messages if ``rows`` is empty.
    """
    if not rows:
        return Batch()
    known = alert_store.known_incidents(connection, rows)
    unresolved = [row for row in rows if row.what != "resolved"]
    new = tuple(row for row in unresolved if row.alert not in known)
    if len({row.alert for row in new}) > digest:
        return Batch(new, incident_key(_keys(connection, new)))
    first = rows[0]
    incident = known.get(first.alert) or incident_key(_keys(connection, [first]))
    if first.what == "resolved":
        others = alert_store.count_others_open(connection, first, incident)
        return Batch((first,), incident, needs_message=not others)
    same = tuple(row for row in unresolved if known.get(row.alert) == incident)
    return Batch(same or (first,), incident)


def incident_key(keys: Sequence[str]) -> str:
    """Return the key of an incident at a notification service: a hash of the keys of its alerts.

    The order of the alerts' keys doesn't change the result.
    """
    whole = "\n\n".join(sorted(keys))
    return f"certpin-{hashlib.sha256(whole.encode()).hexdigest()[:32]}"


def _keys(connection: Connection, rows: Sequence[DeliveryRow]) -> list[str]:
    return alert_store.alert_keys(connection, [row.alert for row in rows])
