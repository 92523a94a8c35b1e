"""The queue of reports to send: on disk, or a few in memory if the disk can't be written.

The folder, which several processes may share:

    000001764097129-6f2c….json      a queued report: its time in milliseconds, and a nonce
    reported.json                   for each failure, by its digest: when it was last reported
    retry.json                      for each URL, by its digest: when it may be contacted again
                                    (Retry-After)
    reports.lock                    locked while a process changes one of the two files above
    present-2026-11-25-6f2c…        a presence (the client's version) was reported on this day

``reports.lock`` and ``present-…`` are empty. Each other file is written under a temporary name and
then renamed, so it is always complete. A process locks a report while it sends it, and the kernel
releases the lock if the process dies. On systems without locks, two processes may send the same
report, or report the same failure. A collector counts a repeated report once, because it contains a
unique ID.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from functools import partial
from hashlib import sha256
from stat import S_ISREG
from typing import TYPE_CHECKING, Any, NamedTuple

from certpin.pins.hosts import is_report_address
from certpin.reports.reporter.request import MAX_RETRY_AFTER
from certpin.support.files import open_lock_file, try_lock, unlock_and_close

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from certpin.reports.reporter.settings import ReporterSettings

_REPORT = re.compile(r"\d{15}-[0-9a-f]{16}\.json")
_PRESENCE = re.compile(r"present-(\d{4}-\d\d-\d\d)-([0-9a-f]{32})")
_UNFINISHED = re.compile(r"\.\d{15}-[0-9a-f]{16}\.json|\.(?:reported|retry)\.json\.[0-9a-f]{16}")
_REPORTED_FILE, _RETRY_FILE = "reported.json", "retry.json"
_LOCK_FILE = "reports.lock"  # not the updater's: an app may give both the same folder
_MAX_FILE = 256 * 1024  # bytes: a report (at most 192 KiB, ``settings``) and its address
_ABANDONED = 60.0  # seconds after which an unfinished file is deleted
_READ = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
_READ |= getattr(os, "O_NONBLOCK", 0)  # opening a FIFO in the place of a file would block
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)

_MAX_IN_MEMORY = 8  # reports
_LOCK_WAIT, _LOCK_PAUSE = 2.0, 0.01  # seconds: altogether, and between two attempts
_CLOCK_SKEW = 60_000  # milliseconds that the clocks of two processes may differ


class ReportFolder:
    """Reads and writes the files in a reporter's folder, such as queued reports.

    Methods raise ``OSError`` if the disk fails, unless they say otherwise.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._undeleted: set[str] = set()

    def write(self, name: str, content: object) -> None:
        """Write a queued report to a file atomically.

        ``name`` is the file name, and ``content`` the report as a JSON value.
        """
        self._write(name, f".{name}", content)

    def names(self) -> list[str]:
        """Return the file names of the queued reports, oldest first. Never raises.

        The list is empty if the folder can't be read. Deletes old temporary files of killed
        processes.
        """
        with suppress(OSError):
            found = [path.name for path in self._path.iterdir()]
            for name in filter(_UNFINISHED.fullmatch, found):
                self._delete_abandoned(self._path / name)
            return sorted(filter(_REPORT.fullmatch, found))
        return []

    def remove(self, name: str) -> None:
        """Delete the file ``name`` of the reporter's folder. Never raises."""
        try:
            (self._path / name).unlink()
        except PermissionError:
            self._undeleted.add(name)  # Windows keeps open files: delete it after closing
        except OSError:
            pass

    @contextmanager
    def claim(self, name: str) -> Iterator[object]:
        """Lock the file of a queued report for a ``with`` block, and yield the file's JSON value.

        Yields ``None`` if another process has locked or sent the report. A file that can't be read
        is deleted.
        """
        descriptor = self._open(name)
        try:
            yield None if descriptor is None else self._content(name, descriptor)
        finally:
            if descriptor is not None:
                unlock_and_close(descriptor)
            if name in self._undeleted:
                self._undeleted.discard(name)
                self.remove(name)

    def _open(self, name: str) -> int | None:
        try:
            descriptor = os.open(self._path / name, _READ)
        except FileNotFoundError:
            return None
        except OSError:
            self.remove(name)  # for example a symbolic link: this module wrote no such file
            return None
        if self._lock(name, descriptor):
            return descriptor
        os.close(descriptor)
        return None

    def _lock(self, name: str, descriptor: int) -> bool:
        with suppress(OSError):
            if not try_lock(descriptor):
                return False
            # The previous owner of the lock may have sent and deleted the file.
            return (self._path / name).stat().st_ino == os.fstat(descriptor).st_ino
        return False

    def _content(self, name: str, descriptor: int) -> object:
        status = os.fstat(descriptor)
        if S_ISREG(status.st_mode) and status.st_size <= _MAX_FILE:
            with suppress(OSError, ValueError, RecursionError):
                return json.loads(os.read(descriptor, _MAX_FILE))
        self.remove(name)
        return None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock ``reported.json`` and ``retry.json`` for a ``with`` block that uses one of them.

        If the lock file can't be opened, or another process does not release the lock within two
        seconds, the block runs without the lock: it is better to send a report twice than not at
        all.
        """
        descriptor, until = open_lock_file(self._path / _LOCK_FILE), time.monotonic() + _LOCK_WAIT
        try:
            while descriptor is not None and not try_lock(descriptor):
                if time.monotonic() > until:
                    break
                time.sleep(_LOCK_PAUSE)
            yield
        finally:
            if descriptor is not None:
                unlock_and_close(descriptor)

    def reported(self) -> dict[str, float]:
        """Return the time of each failure's last report (seconds since the epoch), by its digest.

        Return an empty dictionary if the file can't be read. Never raises.
        """
        return self._times(_REPORTED_FILE)

    def save_reported(self, reported: dict[str, float]) -> None:
        """Write the time of each failure's last report (seconds since the epoch), by its digest.

        ``reported`` replaces all stored times. The caller must have held the lock since it read
        them.
        """
        self._save(_REPORTED_FILE, reported)

    def retry_times(self) -> dict[str, float]:
        """Return the end of each ``Retry-After`` (seconds since the epoch), by digest of the URL.

        Return an empty dictionary if the file can't be read. Never raises.
        """
        return self._times(_RETRY_FILE)

    def save_retry_times(self, times: dict[str, float]) -> None:
        """Write the end of each ``Retry-After`` (seconds since the epoch), by digest of the URL.

        ``times`` replaces all stored ends.
        """
        self._save(_RETRY_FILE, times)

    def _times(self, name: str) -> dict[str, float]:
        with suppress(OSError, ValueError, RecursionError):
            with os.fdopen(os.open(self._path / name, _READ), "rb") as file:
                content = json.loads(file.read(_MAX_FILE))
            if isinstance(content, dict):
                return {key: float(at) for key, at in content.items() if type(at) in {int, float}}
        return {}

    def _save(self, name: str, times: dict[str, float]) -> None:
        self._write(name, f".{name}.{os.urandom(8).hex()}", times)

    def claim_day(self, day: str, subject: str) -> bool:
        """Claim the right to report a presence (this client's version of a pin set) on a day.

        Processes that share the folder call this method, so that only one of them reports.

        Args:
            day: the date, as YYYY-MM-DD.
            subject: a digest of the pin set's name and the URL for reports, 32 hexadecimal digits.

        Returns:
            True if this process has to report the presence. False if ``day`` or the day after it
            was already claimed for this subject. If the result is True, the subject's claims of
            other days were deleted, also those of future days, which exist if the clock was set
            back.
        """
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        matches = [_PRESENCE.fullmatch(path.name) for path in self._path.iterdir()]
        claims = [match for match in matches if match and match[2] == subject]
        if any(day <= claim[1] <= _next(day) for claim in claims):
            return False
        try:
            os.close(os.open(self._path / f"present-{day}-{subject}", _NEW, 0o600))
        except FileExistsError:
            return False
        for claim in claims:
            self.remove(claim[0])
        return True

    def _write(self, name: str, temporary: str, content: object) -> None:
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path / temporary
        try:
            with os.fdopen(os.open(path, _NEW, 0o600), "wb") as file:
                file.write(json.dumps(content).encode())
                file.flush()
                os.fsync(file.fileno())
            path.replace(self._path / name)
        except BaseException:
            with suppress(OSError):
                path.unlink()
            raise
        self._sync()

    def _sync(self) -> None:
        """Call ``fsync`` on the folder, so that a crash can't undo the renaming of a file."""
        with suppress(OSError):  # some file systems don't support it
            descriptor = os.open(self._path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _delete_abandoned(self, path: Path) -> None:
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime > _ABANDONED:
                path.unlink()


def _next(day: str) -> str:
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()


class QueuedReport(NamedTuple):
    """A report that waits to be sent.

    Attributes:
        to: the URL to send the report to.
        document: the report as a JSON object.
        pinned: True if a pin set covered the host of ``to`` when the report was queued. The report
            is then sent only to a server that a pin set accepts.
    """

    to: str
    document: dict[str, Any]
    pinned: bool = False


class ReportQueue:
    """A bounded queue of reports on disk, oldest first.

    If the queue is full, a new report replaces the oldest one. Threads may share the queue. No
    method raises.

    Attributes:
        lost: the number of reports that were replaced, too old, or impossible to send.
    """

    def __init__(self, folder: ReportFolder, settings: ReporterSettings) -> None:
        self._folder = folder
        self._settings = settings
        self._guard = threading.Lock()
        self._in_memory: dict[str, QueuedReport] = {}
        self.lost = 0  # reports that were replaced, too old, or could not be sent
        self._sent: set[str] = set()  # sent reports, if their files could not be deleted

    def put(self, report: QueuedReport, now: datetime) -> bool:
        """Add a report to the queue. ``now`` is the current time.

        Return True if the report was written to disk, False if it is only in memory.
        """
        name = f"{max(int(now.timestamp() * 1000), 0):015d}-{os.urandom(8).hex()}.json"
        try:
            self._folder.write(name, report._asdict())
        except OSError:
            self._keep(name, report)
            return False
        names = sorted(self._folder.names(), key=partial(_age, now))
        for old in names[: max(len(names) - self._settings.queued, 0)]:
            self._folder.remove(old)
            self._count_lost()
        return True

    def _keep(self, name: str, report: QueuedReport) -> None:
        with self._guard:
            self._in_memory[name] = report
            while len(self._in_memory) > _MAX_IN_MEMORY:
                del self._in_memory[min(self._in_memory)]
                self.lost += 1

    def _count_lost(self) -> None:
        with self._guard:
            self.lost += 1

    def names(self, now: datetime) -> list[str]:
        """Return the names of the queued reports, oldest first.

        Reports that are older than ``settings.keep`` at the time ``now`` are deleted, and counted
        as lost.
        """
        with self._guard:
            in_memory = list(self._in_memory)
        oldest = (now - self._settings.keep).timestamp() * 1000
        on_disk = self._folder.names()
        self._sent &= set(on_disk)
        found = sorted({*on_disk, *in_memory} - self._sent)
        for name in found:
            if int(name[:15]) < oldest:
                self.discard(name)
        return [name for name in found if int(name[:15]) >= oldest]

    @contextmanager
    def claim(self, name: str) -> Iterator[QueuedReport | None]:
        """Lock the queued report ``name`` during a ``with`` block, and yield it.

        Yield ``None`` if the report can't be sent now, for example because another process is
        sending it.
        """
        with self._guard:
            in_memory = self._in_memory.get(name)
        if in_memory is not None:
            yield in_memory
            return
        with self._folder.claim(name) as content:
            report = _queued_report(content)
            if report is None and content is not None:
                self._folder.remove(name)
            yield report

    def retry_after(self, to: str, now: datetime) -> float:
        """Return the seconds for which the URL ``to`` must not be contacted; 0 if there is no wait.

        ``now`` is the current time. The wait comes from the last ``Retry-After`` header in an HTTP
        response of that URL, even if another process that shares the folder received the response.
        """
        left = self._folder.retry_times().get(_digest(to), 0.0) - now.timestamp()
        return left if 0 < left <= MAX_RETRY_AFTER else 0.0  # more: the clock was set back

    def save_retry_after(self, to: str, seconds: float, now: datetime) -> None:
        """Save on disk that the URL ``to`` must not be contacted for ``seconds`` after ``now``.

        ``seconds`` is the ``Retry-After`` of the URL's last response. All processes that share the
        folder respect it.
        """
        at = now.timestamp()
        with self._folder.locked(), suppress(OSError):
            times = {key: until for key, until in self._folder.retry_times().items() if until > at}
            self._folder.save_retry_times(times | {_digest(to): at + seconds})

    def remove(self, name: str) -> None:
        """Delete the report ``name`` from the queue after it was sent, or the collector refused it.

        A collector is a server that receives reports.
        """
        with self._guard:
            in_memory = self._in_memory.pop(name, None)
        if in_memory is None:
            self._sent.add(name)
            self._folder.remove(name)

    def discard(self, name: str) -> None:
        """Delete the report ``name`` from the queue, which was not sent, and count it as lost."""
        self.remove(name)
        self._count_lost()


def _digest(address: str) -> str:
    return sha256(address.encode()).hexdigest()[:32]


def _age(now: datetime, name: str) -> tuple[bool, str]:
    """Return the sort key by which a full queue deletes reports, the lowest key first.

    The first part of the key is False if the time of the report is after ``now``, which happens if
    the clock was set back. Such reports are deleted first, because they would otherwise count as
    newer than all new reports until the clock catches up. The second part is the report's file name
    (``name``). It begins with the report's time, so that older reports are deleted before newer
    ones.
    """
    return int(name[:15]) <= now.timestamp() * 1000 + _CLOCK_SKEW, name


def _queued_report(content: object) -> QueuedReport | None:
    """Return the queued report in ``content``, a file's JSON value.

    Return ``None`` if the value is not a queued report, or if its URL is not allowed for reports.
    """
    if isinstance(content, dict):
        to, document = content.get("to"), content.get("document")
        pinned = content.get("pinned", False)  # older versions didn't write it
        if isinstance(to, str) and is_report_address(to) and isinstance(document, dict):
            # Any other value than false: not sent without pins.
            return QueuedReport(to, document, pinned is not False)
    return None
