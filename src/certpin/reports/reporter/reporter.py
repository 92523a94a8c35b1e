"""``Reporter``: tells ``report_to`` of failures, and how far a pin set has got.

    with Reporter("/var/lib/bank-app/reports", app="bank-app", app_version="4.2") as reporter:
        context = PinnedSSLContext(pins, on_failure=[reporter])

This is the shell: what it is told is noted, and a thread puts it on the disk. ``sender`` sends it.
"""

from __future__ import annotations

import logging
import secrets
import time
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from certpin.pins import utc_now
from certpin.reports.reporter import addresses
from certpin.reports.reporter.failure import document_of, presence_of, sameness, this_client
from certpin.reports.reporter.folder import Folder
from certpin.reports.reporter.notes import Notes
from certpin.reports.reporter.process import before_a_worker_ends, settle_at_exit
from certpin.reports.reporter.queue import Item, Queue
from certpin.reports.reporter.rate import admits
from certpin.reports.reporter.sender import Sender, sending
from certpin.reports.reporter.settings import ReporterSettings
from certpin.reports.reporter.trust import Trust
from certpin.support.forks import Forked, register

if TYPE_CHECKING:
    import os
    import ssl
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from certpin.reports.reporter.failure import Failure, Held
    from certpin.reports.reporter.trust import Pinned

_log = logging.getLogger("certpin.reports")


class _Event(Protocol):
    """What is needed of an ``UpdateEvent``."""

    @property
    def status(self) -> Held: ...


class Reporter(Forked):
    """A hook for ``PinnedSSLContext(on_failure=…)``, and so for every client adapter.

    ``folder`` is for this app alone, and made where it is missing; processes of the app may share
    it. ``app``, ``app_version`` and ``network`` stand in each report, and nothing that names a
    device. Failures go to the ``report_to`` of the host's policy; ``report_to`` here is for those
    whose policy names none, and for presences. ``context`` verifies the TLS of reports: by default
    the platform's roots do. A host that the pins cover is pinned for reports too, whatever is
    given. ``clock`` returns the current moment with a time zone. Raises ``ConfigError`` on a text
    that no collector takes, and on an address that is not ``https://``.

    Called by a connection it takes a note, and nothing more: it never waits, and never raises. What
    fails while a report is sent is not reported, nor is a host told of its own failures.
    """

    never_waits = True  # certpin.tls calls it at once, and attaches it

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
        self._report_to = addresses.required(report_to)
        self._client = this_client(app, app_version, network)
        self._settings = settings or ReporterSettings()
        self._clock = clock
        self._trust = Trust(context)
        self._folder = Folder(Path(folder))
        self._told: dict[str, float] = {}
        self._closed = self._warned = False
        self._begin()
        if self._queue.names(clock()):
            self._sender.wake()  # left by a process before this one
        register(self)
        settle_at_exit(self)

    def after_fork_in_child(self) -> None:
        """Replace every part that has a lock or a thread."""
        self._begin()

    def _begin(self) -> None:
        self._trust.begin()
        self._has_noted = False
        self._notes = Notes()
        self._queue = Queue(self._folder, self._settings)
        self._sender = Sender(self._queue, self._settings, self._clock, self._trust.context_for)

    def attach(self, context: Pinned) -> None:
        """Let a context verify what goes to the hosts that it pins. ``certpin.tls`` calls it."""
        self._trust.add(context)

    def __call__(self, failure: Failure) -> None:
        """Report a failure. Never waits and never raises."""
        if not sending():
            self._note(partial(self._report, failure))

    def presence(self, pins: Held) -> None:
        """Tell that this version of this pin set is held: once a day. Never waits, never raises.

        ``pins`` is a ``PinSet``, or an updater's status.
        """
        self._note(partial(self._present, pins))

    def on_update(self, event: _Event) -> None:
        """For ``PinUpdater(on_event=[reporter.on_update])``: whatever it was, a version is held."""
        self.presence(event.status)

    @property
    def lost(self) -> int:
        """How many reports this process gave up unsent, for whatever reason."""
        return self._notes.lost + self._queue.lost

    def flush(self, seconds: float = 5.0) -> bool:
        """Try to send all that waits, now; whether nothing is left. A ``Retry-After`` holds."""
        until = time.monotonic() + seconds
        return self.settle(seconds) and self._sender.flush(max(until - time.monotonic(), 0.0))

    def settle(self, seconds: float = 5.0) -> bool:
        """Put on the disk what was told until now, and send nothing; whether it is there."""
        return self._notes.settle(seconds)

    def close(self, seconds: float = 5.0) -> None:
        """Send what can be sent in this time. What cannot waits on the disk for the next start."""
        if self._closed:
            return
        self.flush(seconds)
        self._closed = True
        self._notes.close()
        self._sender.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _note(self, note: Callable[[], None]) -> None:
        with suppress(Exception):  # of a log handler, or of an interpreter that is shutting down
            if not self._closed:
                self._notes.take(note)
                if not self._has_noted:
                    self._has_noted = True
                    before_a_worker_ends()

    def _report(self, failure: Failure) -> None:
        if failure.policy is None and self._sender.calls(failure.host):
            return  # met by a report, and told by a hook in another thread
        told = addresses.of_failure(failure, self._report_to)
        if not told:
            self._warn_once(failure)
        if not told or not self._admits(sameness(failure)):
            return
        luck = secrets.token_hex(16)
        document = document_of(failure, self._client, luck, self._settings.size)
        for address in told:
            self._put(Item(address, document))

    def _warn_once(self, failure: Failure) -> None:
        """Whoever forgot to name an address would wait for reports for ever."""
        if not self._warned and failure.policy is not None:
            self._warned = True
            _log.warning(
                "a failure at %s is reported to nobody: neither its policy nor the reporter has a "
                "report_to at another host",
                failure.host,
            )

    def _admits(self, failure: str) -> bool:
        """Whether it was not told lately, by this process or another one on the same folder."""
        for each, at in self._folder.told().items():
            self._told[each] = max(at, self._told.get(each, at))
        if not admits(self._told, failure, self._clock().timestamp(), self._settings):
            return False
        with suppress(OSError):
            self._folder.note_told(self._told)
        return True

    def _present(self, pins: Held) -> None:
        now = self._clock()
        for address in self._report_to or addresses.of_presence(pins.name, self._trust.sets()):
            what = sha256(f"{pins.name}\n{address}".encode()).hexdigest()[:32]
            if self._takes_day(f"{now:%Y-%m-%d}", what):
                document = presence_of(pins, now, self._client, secrets.token_hex(16))
                self._put(Item(address, document))

    def _takes_day(self, day: str, what: str) -> bool:
        try:
            return self._folder.takes_day(day, what)
        except OSError:
            return False  # where the day cannot be noted, once a day cannot be kept

    def _put(self, item: Item) -> None:
        if not self._queue.put(item, self._clock()):
            _log.warning("a report is in memory alone: its folder cannot be written to")
        self._sender.wake()
