"""``Reporter``: send pin failures, and the client's version of the pin set, to ``report_to``.

    with Reporter("/var/lib/bank-app/reports", app="bank-app", app_version="4.2") as reporter:
        context = PinnedSSLContext(pins, on_failure=[reporter])

When a connection fails, the SSL context calls the reporter, which only adds a task for the thread
that writes reports to disk (``DiskWriter``). Another thread (``sender``) sends them.
"""

from __future__ import annotations

import atexit
import logging
import secrets
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self
from weakref import WeakSet

from certpin.pins import require_clock, utc_now
from certpin.reports.reporter.failures import (
    admit_failure,
    check_addresses,
    client_info,
    failure_addresses,
    failure_digest,
    failure_document,
    presence_addresses,
    presence_document,
)
from certpin.reports.reporter.queue import QueuedReport, ReportFolder, ReportQueue
from certpin.reports.reporter.sender import Sender, sending
from certpin.reports.reporter.settings import ReporterSettings
from certpin.reports.reporter.trust import ReportTrust
from certpin.support.forks import Forked, register

if TYPE_CHECKING:
    import os
    import ssl
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from certpin.reports.reporter.failures import Failure, PinSetVersion
    from certpin.reports.reporter.trust import PinnedContext

_MAX_TASKS = 256  # that wait for the disk
_AT_EXIT = 2.0  # seconds for writing to disk when the process ends

_log = logging.getLogger("certpin.reports")


class DiskWriter:
    """Runs tasks that write to disk, one at a time, in a separate thread. Threads may share it.

    The separate thread starts with the first task.

    Attributes:
        lost: the number of dropped tasks: those after ``close``, and those while too many waited.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._tasks: deque[Callable[[], None]] = deque()
        self._running = 0
        self._thread: threading.Thread | None = None
        self._closed = self._warned = False
        self.lost = 0

    def submit(self, task: Callable[[], None]) -> None:
        """Add a task for the thread. Never waits, and raises only errors of log handlers.

        If 256 tasks are waiting already, or after ``close``, the task is dropped and counted in
        ``lost``.
        """
        with self._changed:
            closed, warned = self._closed, self._warned
            full = len(self._tasks) + self._running >= _MAX_TASKS
            if closed or full:
                self.lost += 1
                self._warned = closed
            else:
                self._tasks.append(task)
                self._ensure_thread()
                self._changed.notify_all()
        if closed:
            if not warned:
                _log.warning(
                    "a reporter was closed, and drops later reports: close it after the last "
                    "connection"
                )
        elif full:
            _log.warning("reports come faster than the disk takes them: one is lost")

    def wait(self, seconds: float) -> bool:
        """Wait up to ``seconds`` until all tasks are done. Return True if all are done.

        If no thread can be started, because the interpreter is exiting, the calling thread runs the
        tasks.
        """
        until = time.monotonic() + seconds
        with self._changed:
            if self._ensure_thread():
                return self._changed.wait_for(self._is_done, seconds)
        while self._tasks and time.monotonic() < until:
            self._run_next()
        return self._is_done()

    def close(self) -> None:
        """Accept no more tasks: later ones are lost. Tasks that were added before still run."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _is_done(self) -> bool:
        return not self._tasks and not self._running

    def _ensure_thread(self) -> bool:
        """Start the thread if tasks are waiting and it isn't running.

        Return False if the thread can't start, True otherwise.
        """
        if not self._tasks or (self._thread is not None and self._thread.is_alive()):
            return True
        thread = threading.Thread(target=self._run, name="certpin-reports", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # there are too many threads, or the interpreter ends
            return False
        self._thread = thread
        return True

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._tasks or self._closed)
                if not self._tasks:
                    return
            self._run_next()

    def _run_next(self) -> None:
        with self._changed:
            if not self._tasks:
                return
            task = self._tasks.popleft()
            self._running += 1
        try:
            task()
        except Exception:  # noqa: BLE001  # one task must not stop the others
            with suppress(Exception):  # of a log handler
                _log.exception("something could not be reported")
        with self._changed:
            self._running -= 1
            self._changed.notify_all()


class _UpdateEvent(Protocol):
    """The part of ``certpin.updates.UpdateEvent`` that a reporter reads.

    Attributes:
        what: the kind of event, such as ``updated``: the updater has just changed to another pin
            set.
        status: the updater's status, with the name and the version of its pin set.
    """

    @property
    def what(self) -> str: ...

    @property
    def status(self) -> PinSetVersion: ...


class Reporter(Forked):
    """Sends reports of pin failures to the URLs in ``report_to`` (collectors), in the background.

    Pass it to ``PinnedSSLContext(on_failure=…)``, which calls it with each failure. Reporting never
    delays the connection, and never raises an exception in it. Failures of the reporter's own
    requests are not reported, and a failure is never reported to the failed host.

    The connection to a collector is pinned if a pin set covers the collector's host. The reporter
    knows the pin sets of the contexts that it is passed to, and those given to ``presence`` and
    ``on_update``; it keeps the newest of each name. A report that was queued while a pin set
    covered its collector waits until the reporter knows such a pin set. Reports of an earlier
    process wait until the reporter is used: for example until it is passed to a context.

    Args:
        folder: the folder for queued reports, for this app only. It is created if it is missing;
            several processes of the app may share it. A relative path begins at the current folder
            of the moment when the reporter is made.
        app: the name of the app, in each report. No field identifies the device.
        app_version: the version of the app, in each report.
        network: the network of the device, such as ``wifi``, in each report.
        report_to: URLs for presences (reports of the client's version), and for failures if the
            policy has no ``report_to``.
        context: the SSL context for collectors that no pin set covers; by default, a context with
            the platform's roots. For a collector with pins, only the roots that it lists
            (``get_ca_certs()``) when the reporter is made are used, unless the collector's policy
            has ``trust``; and a client certificate is not sent to it. Load the roots from a file: a
            folder is not supported for pinned collectors.
        settings: the limits of storage, rate and time.
        clock: a function that returns the current time with a time zone.

    Raises:
        ConfigError: a text is too long for a collector, an address is not ``https://``, or
            ``clock`` returns a time without a time zone.
    """

    never_waits = True  # certpin.tls calls it in the handshake's thread, and attaches its context

    def __init__(  # noqa: PLR0913  # keywords, each of which is a setting of a reporter
        self,
        folder: str | os.PathLike[str],
        *,
        app: str = "",
        app_version: str = "",
        network: str = "",
        report_to: Iterable[str] = (),
        context: ssl.SSLContext | None = None,
        settings: ReporterSettings | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        require_clock(clock)
        self._report_to = check_addresses(report_to)
        self._client = client_info(app, app_version, network)
        self._settings = settings or ReporterSettings()
        self._clock = clock
        self._trust = ReportTrust(context, clock)
        self._folder = ReportFolder(Path(folder).absolute())
        self._reported: dict[str, float] = {}
        self._closed = self._warned = False
        self._start()
        if self._queue.names(clock()):
            self._sender.wake()  # reports of an earlier process
        register(self)
        _alive.add(self)

    def after_fork_in_child(self) -> None:
        """Create new locks and threads in a forked child process.

        Those that the child has from its parent don't work.
        """
        self._start()

    def _start(self) -> None:
        self._trust.reset_lock()
        self._has_submitted = False
        self._writer = DiskWriter()
        if self._closed:  # in a child that was forked afterwards
            self._writer.close()
        self._queue = ReportQueue(self._folder, self._settings)
        self._sender = Sender(self._queue, self._settings, self._clock, self._trust)

    def attach(self, context: PinnedContext) -> None:
        """Use the pins of this SSL context for connections to collectors.

        Collectors are the servers that receive reports. ``certpin.tls`` calls this method when a
        ``PinnedSSLContext`` gets the reporter as a hook, and after each change of its pin set. The
        pins are used even when the context is gone.
        """
        if self._trust.attach(context):
            self._sender.recheck()

    def __call__(self, failure: Failure) -> None:
        """Queue a report of this pin failure. Never waits and never raises."""
        if not sending():
            self._submit(partial(self._report, failure))

    def presence(self, pins: PinSetVersion) -> None:
        """Queue a presence: a report, once a day, that this client has this version of a pin set.

        Also use the pins for connections to collectors of reports. Never waits and never raises.

        Args:
            pins: a ``PinSet``, or an updater's status.
        """
        self._use(pins)

    def on_update(self, event: _UpdateEvent) -> None:
        """Queue a presence (a report of the client's version of the pin set) after an update event.

        A hook for ``PinUpdater(on_event=…)``.
        """
        self._use(event.status, updated=event.what == "updated")

    @property
    def lost(self) -> int:
        """The number of reports that this process dropped without sending them, for any reason."""
        return self._writer.lost + self._queue.lost

    def flush(self, seconds: float = 5.0) -> bool:
        """Try to send all queued reports now, for up to ``seconds``. Return True if none is left.

        Reports for a collector are left if its ``Retry-After`` has not passed yet, or if they wait
        for the pin set that covered the collector.
        """
        self._trust.begin()
        return self._flush(seconds)

    def _flush(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        return self.settle(seconds) and self._sender.flush(max(until - time.monotonic(), 0.0))

    def settle(self, seconds: float = 5.0) -> bool:
        """Write all reports to disk without sending any. Return True if all were written.

        Waits for at most ``seconds``.
        """
        return self._writer.wait(seconds)

    def close(self, seconds: float = 5.0) -> None:
        """Try to send all queued reports for up to ``seconds``, then stop.

        Unsent reports stay on disk. The next ``Reporter`` with this folder sends them. Later
        failures are not reported: they are counted in ``lost``, and the log says so once. If the
        reporter was not used, reports of an earlier process to unpinned collectors stay, too.
        """
        if self._closed:
            return
        self._flush(seconds)
        self._closed = True
        self._writer.close()
        self._sender.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _use(self, pins: PinSetVersion, *, updated: bool = False) -> None:
        if self._trust.add(pins, updated=updated):
            self._sender.recheck()
        self._submit(partial(self._report_presence, pins))

    def _submit(self, task: Callable[[], None]) -> None:
        with suppress(Exception):  # of a log handler, or because the interpreter ends
            self._writer.submit(task)
            if not self._has_submitted:
                self._has_submitted = True
                _settle_at_worker_exit()

    def _begin(self) -> None:
        """Let the sender send the reports of an earlier process: the app uses the reporter now."""
        if self._trust.begin():
            self._sender.recheck()

    def _report(self, failure: Failure) -> None:
        self._begin()
        if failure.policy is None and self._sender.contacts(failure.host):
            return  # a failure of a report's own request, which a hook passed on in another thread
        addresses = failure_addresses(failure, self._report_to)
        if not addresses:
            self._warn_once(failure)
        if not addresses or not self._admit(failure_digest(failure)):
            return
        nonce = secrets.token_hex(16)
        document = failure_document(failure, self._client, nonce, self._settings.size)
        for address in addresses:
            self._put(address, document)

    def _warn_once(self, failure: Failure) -> None:
        """Log once that a failure is not reported, because no report URL at another host is set.

        Only the first such failure is logged. A failure of a host without a policy is never logged.
        """
        if not self._warned and failure.policy is not None:
            self._warned = True
            _log.warning(
                "a failure at %s is not reported: neither its policy nor the reporter has a "
                "report_to at another host",
                failure.host,
            )

    def _admit(self, digest: str) -> bool:
        """Return True if the rate limits allow reporting this failure now.

        If so, also store the time of this report. ``digest`` identifies the failure. Processes that
        share the folder share the limits.
        """
        with self._folder.locked():
            for known, at in self._folder.reported().items():
                self._reported[known] = max(at, self._reported.get(known, at))
            if not admit_failure(self._reported, digest, self._clock().timestamp(), self._settings):
                return False
            with suppress(OSError):
                self._folder.save_reported(self._reported)
        return True

    def _report_presence(self, pins: PinSetVersion) -> None:
        self._begin()
        now = self._clock()
        for address in self._report_to or presence_addresses(pins.name, self._trust.pin_sets()):
            subject = sha256(f"{pins.name}\n{address}".encode()).hexdigest()[:32]
            if self._claim_day(f"{now:%Y-%m-%d}", subject):
                nonce = secrets.token_hex(16)
                document = presence_document(pins, now, self._client, nonce)
                self._put(address, document)

    def _claim_day(self, day: str, subject: str) -> bool:
        try:
            return self._folder.claim_day(day, subject)
        except OSError:
            return False  # without a record of the day, it could be reported many times a day

    def _put(self, address: str, document: dict[str, Any]) -> None:
        report = QueuedReport(address, document, self._trust.covers(address))
        if not self._queue.put(report, self._clock()):
            _log.warning("a report is in memory only: its folder cannot be written to")
        self._sender.wake()


_alive: WeakSet[Reporter] = WeakSet()


def _settle_at_worker_exit() -> None:
    """Register a function that writes reports to disk when this child process ends.

    It is for child processes of ``multiprocessing``, which don't run atexit functions. Such a
    process runs its own finalizers, but not those of its parent. So each process must call this
    function when it has something to report.
    """
    util: Any = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.Finalize(None, _settle_all, exitpriority=0)


@atexit.register
def _settle_all() -> None:
    """Write the reports of all reporters to disk at the end of the process.

    This is for apps that don't call ``close()``. The next process of the app sends the reports.
    """
    for reporter in list(_alive):
        with suppress(Exception):
            reporter.settle(_AT_EXIT)
