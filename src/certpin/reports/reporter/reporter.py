"""``Reporter``: tells ``report_to`` of failures, and how far a pin set has got.

    with Reporter("/var/lib/bank-app/reports", app="bank-app", app_version="4.2") as reporter:
        context = PinnedSSLContext(pins, on_failure=[reporter])

This is the shell: what it is told is noted, and a thread puts it on the disk. ``sender`` sends it.
"""

from __future__ import annotations

import atexit
import logging
import os
import secrets
import threading
import time
from collections import deque
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, cast
from urllib.parse import urlsplit
from weakref import WeakSet

from certpin.errors import ConfigError, HostError
from certpin.pins import normalise, utc_now
from certpin.pins.policy import is_report_address
from certpin.reports.reporter.failure import document_of, presence_of, sameness, this_client
from certpin.reports.reporter.folder import Folder
from certpin.reports.reporter.queue import Item, Queue
from certpin.reports.reporter.rate import admits
from certpin.reports.reporter.sender import Sender, sending
from certpin.reports.reporter.settings import ReporterSettings

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from certpin.pins import PinSet
    from certpin.reports.reporter.failure import Failure, Held

_NOTES = 256  # that are not on the disk yet
_AT_EXIT = 2.0  # seconds for putting notes on the disk when the interpreter ends
_PRESENCE_TO = 8  # addresses at most

_log = logging.getLogger("certpin.reports")
_alive: WeakSet[Reporter] = WeakSet()


class _Pinned(Protocol):
    """What is needed of a ``PinnedSSLContext``."""

    @property
    def pins(self) -> PinSet: ...
    def report_context(self, host: str) -> ssl.SSLContext | None: ...


class _Event(Protocol):
    """What is needed of an ``UpdateEvent``."""

    @property
    def status(self) -> Held: ...


class Reporter:
    """A hook for ``PinnedSSLContext(on_failure=…)``, and so for every client adapter.

    ``folder`` is for this app alone, and made where it is missing; processes of the app may share
    it. ``app``, ``app_version`` and ``network`` stand in each report, and nothing that names a
    device. Failures go to the ``report_to`` of the host's policy; ``report_to`` here is for those
    whose policy names none, and for presences. ``context`` verifies the TLS of reports: by default
    the platform's roots do. A host that the pins cover is pinned for reports too, whatever is
    given. ``clock`` returns the current moment with a time zone.

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
        self._report_to = tuple(report_to)
        for address in self._report_to:
            _require_address(address)
        self._client = this_client(app, app_version, network)
        self._settings = settings or ReporterSettings()
        self._clock = clock
        self._given = context
        self._pinned: WeakSet[_Pinned] = WeakSet()
        self._folder = Folder(Path(folder))
        self._told: dict[str, float] = {}
        self._closed = False
        self._begin()
        if self._queue.names(clock()):
            self._sender.wake()  # left by a process before this one
        _alive.add(self)

    def _begin(self) -> None:
        """All that has a lock or a thread: it is made anew in a child that was forked."""
        self._process = os.getpid()
        self._queue = Queue(self._folder, self._settings)
        self._changed = threading.Condition()
        self._notes: deque[Callable[[], None]] = deque()
        self._noter: threading.Thread | None = None
        self._sender = Sender(self._queue, self._settings, self._clock, self._context_for)

    def attach(self, context: _Pinned) -> None:
        """Let a context verify what goes to the hosts that it pins. ``certpin.tls`` calls it."""
        self._own()
        with self._changed:
            self._pinned.add(context)

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

    def flush(self, seconds: float = 5.0) -> bool:
        """Try to send all that waits, now; whether nothing is left. A ``Retry-After`` holds."""
        until = time.monotonic() + seconds
        return self._settle(seconds) and self._sender.flush(max(until - time.monotonic(), 0.0))

    def close(self, seconds: float = 5.0) -> None:
        """Send what can be sent in this time. What cannot waits on the disk for the next start."""
        if self._closed:
            return
        self.flush(seconds)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._sender.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _note(self, note: Callable[[], None]) -> None:
        with suppress(Exception):  # of a log handler, or of an interpreter that is shutting down
            self._own()
            with self._changed:
                full = len(self._notes) >= _NOTES
                if not (full or self._closed):
                    self._notes.append(note)
                    self._ensure_noter()
                    self._changed.notify_all()
            if full:
                _log.warning("reports come faster than the disk takes them: one is lost")

    def _own(self) -> None:
        """After a fork there is no thread here, and a lock may be held by one over there."""
        if self._process != os.getpid():
            self._begin()

    def _ensure_noter(self) -> None:
        if self._noter is None or not self._noter.is_alive():
            self._noter = threading.Thread(
                target=self._take_notes, name="certpin-reports", daemon=True
            )
            self._noter.start()

    def _take_notes(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._notes or self._closed)
                if not self._notes:
                    return
                note = self._notes[0]
            try:
                note()
            except Exception:  # noqa: BLE001  # whatever it is: no other note has to suffer
                with suppress(Exception):  # of a log handler
                    _log.exception("something could not be reported")
            with self._changed:
                self._notes.popleft()
                self._changed.notify_all()

    def _settle(self, seconds: float) -> bool:
        """Wait until every note is on the disk; whether it is."""
        self._own()
        with self._changed:
            return self._changed.wait_for(lambda: not self._notes, seconds)

    def _report(self, failure: Failure) -> None:
        own = () if failure.policy is None else failure.policy.report_to
        # A host that cannot be reached safely is not told so over the same way (RFC 7469, 2.1.4).
        told = own or self._report_to
        addresses = tuple(each for each in told if host_of(each) != failure.host)
        if not addresses or not self._admits(sameness(failure)):
            return
        luck = secrets.token_hex(16)
        document = document_of(failure, self._client, luck, self._settings.size)
        for address in addresses:
            self._put(Item(address, document))

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
        for address in self._report_to or self._addresses_of(pins):
            what = sha256(f"{pins.name}\n{address}".encode()).hexdigest()[:32]
            if self._takes_day(f"{now:%Y-%m-%d}", what):
                document = presence_of(pins, now, self._client, secrets.token_hex(16))
                self._put(Item(address, document))

    def _takes_day(self, day: str, what: str) -> bool:
        try:
            return self._folder.takes_day(day, what)
        except OSError:
            return False  # where the day cannot be noted, once a day cannot be kept

    def _addresses_of(self, pins: Held) -> tuple[str, ...]:
        """Those of every policy of the set that holds this name."""
        named = [each.pins for each in self._contexts() if each.pins.name == pins.name]
        found = (to for each in named for policy in each.policies for to in policy.report_to)
        return tuple(dict.fromkeys(found))[:_PRESENCE_TO]

    def _put(self, item: Item) -> None:
        if not self._queue.put(item, self._clock()):
            _log.warning("a report is in memory alone: its folder cannot be written to")
        self._sender.wake()

    def _contexts(self) -> list[_Pinned]:
        with self._changed:
            return list(self._pinned)

    def _context_for(self, host: str) -> ssl.SSLContext:
        # One that is given may be pinned too: then its hooks, this one among them, stay out of it.
        for each in (self._given, *self._contexts()):
            make = getattr(each, "report_context", None)
            if make is not None and (pinned := make(host)) is not None:
                return cast("ssl.SSLContext", pinned)
        if self._given is None:
            self._given = _by_the_platform()
        return self._given


def host_of(address: str) -> str:
    """The host of an address, normalised."""
    try:
        return normalise(urlsplit(address).hostname or "")
    except (ValueError, HostError):
        return ""


def _by_the_platform() -> ssl.SSLContext:
    import ssl

    from certpin.x509.verifying import harden

    context = ssl.create_default_context()
    harden(context)
    return context


def _require_address(address: str) -> None:
    if not is_report_address(address):
        raise ConfigError(
            f"{address!r} is not an https:// address",
            key="report_to",
            fix="reports name hosts and certificates: send them over TLS",
        )


@atexit.register
def _put_on_disk() -> None:
    """An app that ends without ``close()``: what it met is sent when it is started again."""
    for each in list(_alive):
        with suppress(Exception):
            each._settle(_AT_EXIT)
