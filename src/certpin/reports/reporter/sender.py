"""The thread that sends what waits, one thing after the other."""

from __future__ import annotations

import http.client
import logging
import random
import ssl
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from certpin.errors import HostError
from certpin.reports.reporter.addresses import host_of
from certpin.reports.reporter.post import post
from certpin.reports.reporter.retry import Answer, asked_for, backed_off, meaning
from certpin.support.deadline import Deadline
from certpin.x509 import printable

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from certpin.reports.reporter.post import ContextFor
    from certpin.reports.reporter.queue import Item, Queue
    from certpin.reports.reporter.settings import ReporterSettings

_OTHERS = 60.0  # seconds until what another process holds is looked at again
_WORDS = 200  # characters of a problem in the log
_ENOUGH = 2.0  # seconds to wait for the thread's end: looking up a name cannot be cut short

_here = threading.local()
_log = logging.getLogger("certpin.reports")


def sending() -> bool:
    """Whether this thread is sending a report: what fails then is never reported."""
    return getattr(_here, "sending", False)


class _Hold:
    """How long an address is left alone, by the monotonic clock."""

    def __init__(self) -> None:
        self.failures = 0
        self.until = 0.0  # after failures
        self.asked = 0.0  # by the server itself

    def left(self, *, urgent: bool) -> float:
        return max(self.asked, 0.0 if urgent else self.until) - time.monotonic()


class Sender:
    """Sends until nothing is left. No thread runs before there is something to be sent."""

    def __init__(
        self,
        queue: Queue,
        settings: ReporterSettings,
        clock: Callable[[], datetime],
        context_for: ContextFor,
    ) -> None:
        self._queue = queue
        self._settings = settings
        self._clock = clock
        self._context_for = context_for
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._deadline: Deadline | None = None
        self._asked = self._served = 0
        self._urgent = self._closed = False
        self._holds: dict[str, _Hold] = {}

    def calls(self, host: str) -> bool:
        """Whether it has called this host, or does so now. ``host`` is normalised."""
        return host in map(host_of, list(self._holds))

    def wake(self) -> None:
        """Look at what waits, soon."""
        with self._changed:
            self._ask()

    def flush(self, seconds: float) -> bool:
        """Try everything that waits once more, and wait for that; whether nothing is left."""
        with self._changed:
            self._urgent = True
            mine = self._ask()
            done = self._is_running() and self._changed.wait_for(
                lambda: self._closed or self._served >= mine, seconds
            )
        return done and not self._queue.names(self._clock())

    def close(self) -> None:
        """End the thread, and a request that is on its way. What waits on the disk stays there."""
        with self._changed:
            self._closed = True
            if self._deadline is not None:
                self._deadline.cancel()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_ENOUGH)

    def _ask(self) -> int:
        self._asked += 1
        if not (self._closed or self._is_running()):
            thread = threading.Thread(target=self._run, name="certpin-reports-sender", daemon=True)
            # Too many threads, or an interpreter that ends: it is on the disk, and waits there.
            with suppress(RuntimeError):
                thread.start()
                self._thread = thread
        self._changed.notify_all()
        return self._asked

    def _is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _run(self) -> None:
        _here.sending = True
        pause: float | None = 0.0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._asked > self._served, pause)
                if self._closed:
                    return
                asked, urgent, self._urgent = self._asked, self._urgent, False
            pause = self._round(urgent=urgent)
            with self._changed:
                self._served = asked
                self._changed.notify_all()

    def _round(self, *, urgent: bool) -> float | None:
        """Send what may be sent now. The seconds until more may; ``None`` where nothing waits."""
        waits: list[float] = []
        for name in self._queue.names(self._clock()):
            if self._closed:
                break
            try:
                waits.append(self._try(name, urgent=urgent))
            except Exception:  # noqa: BLE001  # whatever it is: no other report has to suffer
                _log.exception("a report could not be sent, and is dropped")
                self._queue.give_up(name)
        return min((wait for wait in waits if wait > 0), default=None)

    def _try(self, name: str, *, urgent: bool) -> float:
        """Send one thing, if it may be; 0 where it is gone, or the seconds until it may be."""
        with self._queue.claimed(name) as item:
            if item is None:
                return _OTHERS
            hold = self._holds.setdefault(item.to, _Hold())
            left = max(hold.left(urgent=urgent), self._queue.rests(item.to, self._clock()))
            if left > 0:
                return left
            answer = self._send(item, packed=True)
            if meaning(answer, packed=True) == "plain":
                answer = self._send(item, packed=False)
            if meaning(answer, packed=False) == "later":
                return self._put_off(hold, answer, item)
            hold.failures = 0
            if meaning(answer, packed=False) == "refused":
                _log.warning("%s refuses a report (%s)", _host(item), answer.status)
            self._queue.done(name)
            return 0.0

    def _put_off(self, hold: _Hold, answer: Answer, item: Item) -> float:
        hold.failures += 1
        now, luck = time.monotonic(), random.random()  # noqa: S311  # to spread load, no secret
        hold.until = now + backed_off(hold.failures, luck, self._settings)
        if asked := asked_for(answer, self._clock()):
            self._queue.rest(item.to, asked, self._clock())
        hold.asked = now + asked
        why = answer.status or answer.problem or "no answer"
        # Whoever is offline knows it. A certificate that is refused is a mistake, or an attack.
        level = logging.WARNING if answer.unverified and hold.failures == 1 else logging.INFO
        _log.log(level, "%s takes no report now (%s)", _host(item), why)
        return max(hold.until, hold.asked) - now

    def _send(self, item: Item, *, packed: bool) -> Answer:
        deadline = Deadline(
            self._settings.patience.total_seconds(), self._settings.deadline.total_seconds()
        )
        with self._changed:
            self._deadline = deadline
            if self._closed:
                deadline.cancel()
        try:
            return post(item.to, item.document, deadline, self._context_for, packed=packed)
        # RuntimeError: no thread for its deadline, as the interpreter ends. It is sent next time.
        except (OSError, http.client.HTTPException, HostError, RuntimeError) as exc:
            problem = printable((str(exc) or type(exc).__name__).splitlines()[0])[:_WORDS]
            unverified = isinstance(exc, ssl.SSLCertVerificationError)
            return Answer(0, problem=problem, unverified=unverified)
        finally:
            with self._changed:
                self._deadline = None


def _host(item: Item) -> str:
    return urlsplit(item.to).hostname or ""
