"""The thread that sends queued reports, one at a time."""

from __future__ import annotations

import http.client
import logging
import random
import ssl
import threading
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from certpin.errors import HostError
from certpin.reports.reporter.failures import address_host
from certpin.reports.reporter.request import (
    PostResult,
    backoff_seconds,
    outcome,
    post,
    retry_after_seconds,
)
from certpin.support.network import Deadline
from certpin.support.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from certpin.reports.reporter.queue import QueuedReport, ReportQueue
    from certpin.reports.reporter.settings import ReporterSettings
    from certpin.reports.reporter.trust import ReportTrust

_RECHECK = 60.0  # seconds until a report that another process locks is tried again
_MAX_PROBLEM = 200  # characters of a problem in the log
_MAX_JOIN = 2.0  # seconds to wait for the thread's end: a name lookup can't be interrupted

_thread_state = threading.local()
_log = logging.getLogger("certpin.reports")


def sending() -> bool:
    """Return True if the calling thread belongs to a ``Sender``, which sends reports.

    Pin failures in such a thread are never reported.
    """
    return getattr(_thread_state, "sending", False)


class _AddressState:
    """The state of one collector's URL: failed requests in a row, and the end of each pause.

    ``backoff_until`` is the end of the pause after failed requests, and ``retry_after_until`` the
    end of the pause that the collector demanded by ``Retry-After``; both are in seconds of the
    monotonic clock. ``packed`` is False if the collector accepted a report only without
    compression.
    """

    def __init__(self) -> None:
        self.packed = True
        self.failures = 0
        self.backoff_until = 0.0
        self.retry_after_until = 0.0

    def wait(self, *, urgent: bool) -> float:
        backoff = 0.0 if urgent else self.backoff_until
        return max(self.retry_after_until, backoff) - time.monotonic()


class Sender:
    """Sends the queued reports in a separate thread, which starts with the first report.

    Args:
        queue: the reports to send.
        settings: the limits of storage, rate and time.
        clock: a function that returns the current time with a time zone.
        trust: the object that chooses the SSL context for a collector.
    """

    def __init__(
        self,
        queue: ReportQueue,
        settings: ReporterSettings,
        clock: Callable[[], datetime],
        trust: ReportTrust,
    ) -> None:
        self._queue = queue
        self._settings = settings
        self._clock = clock
        self._trust = trust
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._deadline: Deadline | None = None
        self._requested = self._completed = 0  # rounds through the queue
        self._urgent = self._closed = False
        self._addresses: dict[str, _AddressState] = {}

    def contacts(self, host: str) -> bool:
        """Return True if this sender has had a report to send to a URL at this normalised host."""
        return host in map(address_host, list(self._addresses))

    def wake(self) -> None:
        """Request that the sending thread try to send all queued reports soon. Returns at once."""
        with self._changed:
            self._request_round()

    def recheck(self) -> None:
        """Try the queued reports again, because those that had to wait may be sent now.

        Does nothing if the thread has had no reports yet. Returns at once.
        """
        with self._changed:
            if self._is_running():
                self._request_round()

    def flush(self, seconds: float) -> bool:
        """Make the thread try to send every queued report, and wait for up to ``seconds``.

        The thread ignores the pauses after failures, but not ``Retry-After``. Return True if no
        report is left in the queue.
        """
        with self._changed:
            self._urgent = True
            mine = self._request_round()
            done = self._is_running() and self._changed.wait_for(
                lambda: self._closed or self._completed >= mine, seconds
            )
        return done and not self._queue.names(self._clock())

    def close(self) -> None:
        """Stop the sending thread and cancel its current request. Queued reports stay on disk."""
        with self._changed:
            self._closed = True
            if self._deadline is not None:
                self._deadline.cancel()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_MAX_JOIN)

    def _request_round(self) -> int:
        self._requested += 1
        if not (self._closed or self._is_running()):
            thread = threading.Thread(target=self._run, name="certpin-reports-sender", daemon=True)
            # There are too many threads, or the interpreter ends: the report stays on disk.
            with suppress(RuntimeError):
                thread.start()
                self._thread = thread
        self._changed.notify_all()
        return self._requested

    def _is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _run(self) -> None:
        _thread_state.sending = True
        pause: float | None = 0.0
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._closed or self._requested > self._completed, pause
                )
                if self._closed:
                    return
                requested, urgent, self._urgent = self._requested, self._urgent, False
            pause = self._round(urgent=urgent)
            with self._changed:
                self._completed = requested
                self._changed.notify_all()

    def _round(self, *, urgent: bool) -> float | None:
        """Try to send each queued report once.

        If ``urgent`` is True, the pauses after failed requests are ignored. Return the seconds
        until the first of the remaining reports can be sent; ``None`` if no report remains.
        """
        waits: list[float] = []
        for name in self._queue.names(self._clock()):
            if self._closed:
                break
            try:
                waits.append(self._try(name, urgent=urgent))
            except Exception:  # noqa: BLE001  # one report must not stop the others
                _log.exception("a report could not be sent, and is dropped")
                self._queue.discard(name)
        return min((wait for wait in waits if wait > 0), default=None)

    def _try(self, name: str, *, urgent: bool) -> float:
        """Send a queued report, unless its URL has a pause, or another process is sending it.

        Args:
            name: the file name of the report in the queue.
            urgent: True to ignore the pauses after failed requests.

        Returns:
            The seconds to wait before the next attempt. 0 if the collector accepted or refused the
            report: it is then removed from the queue. 0 also if the report must wait for a pin set
            (``recheck``).
        """
        with self._queue.claim(name) as report:
            if report is None:
                return _RECHECK
            state = self._addresses.setdefault(report.to, _AddressState())
            shared = self._queue.retry_after(report.to, self._clock())
            wait = max(state.wait(urgent=urgent), shared)
            if wait > 0:
                return wait
            result = self._send(report, packed=state.packed)
            if result.held:
                return 0.0
            if outcome(result, packed=state.packed) == "plain":
                result = self._send(report, packed=False)
                state.packed = outcome(result, packed=False) != "sent"
            if outcome(result, packed=False) == "later":
                return self._postpone(state, result, report)
            state.failures = 0
            if outcome(result, packed=False) == "refused":
                _log.warning("%s refuses a report (%s)", _host(report), result.status)
            self._queue.remove(name)
            return 0.0

    def _postpone(self, state: _AddressState, result: PostResult, report: QueuedReport) -> float:
        state.failures += 1
        now, jitter = time.monotonic(), random.random()  # noqa: S311  # spreads load, no secret
        state.backoff_until = now + backoff_seconds(state.failures, jitter, self._settings)
        if seconds := retry_after_seconds(result, self._clock()):
            self._queue.save_retry_after(report.to, seconds, self._clock())
        state.retry_after_until = now + seconds
        reason = result.status or result.problem or "no answer"
        # Being offline is normal. An unverified certificate is a mistake or an attack.
        level = logging.WARNING if result.unverified and state.failures == 1 else logging.INFO
        _log.log(level, "%s takes no report now (%s)", _host(report), reason)
        return max(state.backoff_until, state.retry_after_until) - now

    def _send(self, report: QueuedReport, *, packed: bool) -> PostResult:
        deadline = Deadline(
            self._settings.patience.total_seconds(), self._settings.deadline.total_seconds()
        )
        with self._changed:
            self._deadline = deadline
            if self._closed:
                deadline.cancel()
        try:
            context_for = partial(self._trust.context_for, pinned=report.pinned)
            return post(report.to, report.document, deadline, context_for, packed=packed)
        # RuntimeError: the interpreter ends, so the deadline got no thread. A later process sends.
        except (OSError, http.client.HTTPException, HostError, RuntimeError) as exc:
            problem = printable((str(exc) or type(exc).__name__).splitlines()[0])[:_MAX_PROBLEM]
            unverified = isinstance(exc, ssl.SSLCertVerificationError)
            return PostResult(0, problem=problem, unverified=unverified)
        finally:
            with self._changed:
                self._deadline = None


def _host(report: QueuedReport) -> str:
    return urlsplit(report.to).hostname or ""
