"""Telling people: what waits for a service is sent, all at once where it is much, and marked.

Each service has its own turn in a thread of its own, with a deadline: one that hangs holds up
nobody else, and is not called again before it has come back.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING

from sqlalchemy import select

from certpin_watch import telemetry
from certpin_watch.alerts import outbox
from certpin_watch.alerts.alertmanager import EVERY, AlertmanagerService, standing
from certpin_watch.alerts.batch import Batch, incident_batch
from certpin_watch.alerts.book import alert_of
from certpin_watch.alerts.message import Item, Message
from certpin_watch.counters import COUNTERS
from certpin_watch.store.tables.alerts import ALERT_EVENTS, ALERTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from certpin_watch.alerts.outbox import Row
    from certpin_watch.alerts.service import Service
    from certpin_watch.alerts.state import Alert
    from certpin_watch.snapshot import Watch

    AnyService = Service | AlertmanagerService

log = logging.getLogger("certpin.watch.alerts")

# So many messages within so many seconds; then it is waited, and what came meanwhile is a digest.
_BURST = 10
_SPAN = 600
_PAUSE = 300
HANGS = "it gave no answer in time"


class Turn:
    """One service, and what was sent to it lately."""

    def __init__(self, watch: Watch, service: AnyService) -> None:
        self.service = service
        self._watch = watch
        self._sent: deque[int] = deque(maxlen=_BURST)
        self._busy: threading.Thread | None = None
        self._sent_at = -EVERY

    async def go(self) -> bool:
        """Send the next message, if there is one and it may go. Whether there may be more.

        Raises ``StoreError``.
        """
        if self._busy is not None and self._busy.is_alive():
            return False
        now = self._now()
        batch = await asyncio.to_thread(self._claim, now)
        if not batch.rows:
            return False
        problem = ""
        if batch.needed:
            message = await asyncio.to_thread(self._compose, batch.rows, now)
            problem = await self._send(message, batch.incident)
        await asyncio.to_thread(self._mark, batch, problem)
        if batch.needed and not problem:
            self._sent.append(now)
        return not problem

    async def refresh(self) -> None:
        """Send open alerts again to a service that resolves those that are not repeated.

        Raises ``StoreError``. A failure is only logged: the next event finds and records it.
        """
        now = self._now()
        if not isinstance(self.service, AlertmanagerService) or 0 <= now - self._sent_at < EVERY:
            return
        if self._busy is not None and self._busy.is_alive():
            return
        self._sent_at = now
        if not (alerts := await asyncio.to_thread(self._standing)):
            return
        url = self._watch.settings.public_url.rstrip("/")
        message = Message(tuple(Item("repeated", each) for each in alerts), now, url)
        if problem := await self._send(message, ""):
            log.warning("%s could not be refreshed: %s", self.service.name, problem)

    def _standing(self) -> tuple[Alert, ...]:
        with self._watch.store.read() as connection:
            return standing(connection, self.service.name)

    def _now(self) -> int:
        return int(self._watch.clock().timestamp())

    def _claim(self, now: int) -> Batch:
        settings = self._watch.settings.alerts
        if paused(self._sent, now):
            return Batch()
        with self._watch.store.write() as connection:
            rows = outbox.due(connection, self.service.name, now)
            if self.service.has_incidents:
                batch = incident_batch(connection, rows, settings.digest)
            else:
                batch = Batch(rows if len(rows) > settings.digest else rows[:1])
            outbox.claim(connection, batch.rows, now, settings)
        return batch

    def _compose(self, rows: Sequence[Row], now: int) -> Message:
        with self._watch.store.read() as connection:
            url = self._watch.settings.public_url.rstrip("/")
            return Message(tuple(_item(connection, each) for each in rows), now, url)

    async def _send(self, message: Message, incident: str) -> str:
        with telemetry.span("certpin.notification") as note:
            thread, answer = begin(self.service, message, incident)
            self._busy = thread
            deadline = self._watch.settings.alerts.deadline.total_seconds()
            problem = await patiently(answer, deadline)
            note(outcome="failed" if problem else "told")
        return problem

    def _mark(self, batch: Batch, problem: str) -> None:
        now = self._now()
        with self._watch.store.write() as connection:
            if problem:
                outbox.untold(connection, batch.rows, now, problem, self._watch.settings.alerts)
            else:
                outbox.told(connection, batch.rows, now, batch.incident)
        COUNTERS.notified(told=not problem)
        if problem:
            log.warning("%s was not told: %s", self.service.name, problem)


def paused(sent: Sequence[int], now: int) -> bool:
    """Whether a service was told so much lately that it has to wait. A clock may step back."""
    lately = [each for each in sent if 0 <= now - each < _SPAN]
    return len(lately) >= _BURST and now - max(lately) < _PAUSE


def _item(connection: Connection, row: Row) -> Item:
    alert = connection.execute(select(ALERTS).where(ALERTS.c.id == row.alert)).one()
    note = select(ALERT_EVENTS.c.note).where(ALERT_EVENTS.c.id == row.event)
    return Item(row.what, alert_of(alert), connection.execute(note).scalar() or "")


async def send(service: AnyService, message: Message, deadline: float) -> str:
    """Tell a service by itself. Why it was not taken, or an empty text."""
    _, answer = begin(service, message, "")
    return await patiently(answer, deadline)


def begin(
    service: AnyService, message: Message, incident: str
) -> tuple[threading.Thread, Future[str]]:
    """In a daemon thread: a service that hangs keeps no process from ending."""
    answer: Future[str] = Future()

    def body() -> None:
        found = service.send(message, incident)
        if answer.set_running_or_notify_cancel():
            answer.set_result(found)

    thread = threading.Thread(target=body, name="certpin-telling", daemon=True)
    thread.start()
    return thread, answer


async def patiently(answer: Future[str], deadline: float) -> str:
    """The answer, or that there was none in time; it is not waited for any more then."""
    try:
        return await asyncio.wait_for(asyncio.wrap_future(answer), deadline)
    except TimeoutError:
        return HANGS
