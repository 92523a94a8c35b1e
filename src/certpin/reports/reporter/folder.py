"""The folder that a reporter keeps on the disk. Several processes may share it.

    000001764097129-6f2c….json      a report that waits: when it was put there, and luck
    told.json                       which failures were told, and when: digests
    asked.json                      until when a server asks to be left alone: digests of addresses
    present-2026-11-25-6f2c…        that a presence was told on this day

Each file is put in place whole, by renaming. Whoever sends a report holds a lock on its file, which
the kernel frees should he die. Where there are no locks two processes may send it at once: it
carries a name of its own, and is counted once.
"""

from __future__ import annotations

import json
import os
import re
import time
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from stat import S_ISREG
from typing import TYPE_CHECKING

from certpin.support import locks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_REPORT = re.compile(r"\d{15}-[0-9a-f]{16}\.json")
_PRESENT = re.compile(r"present-(\d{4}-\d\d-\d\d)-([0-9a-f]{32})")
_HALF = re.compile(r"\.\d{15}-[0-9a-f]{16}\.json|\.(?:told|asked)\.json\.[0-9a-f]{16}")
_TOLD, _ASKED = "told.json", "asked.json"
_MOST = 256 * 1024  # bytes of a file: a report (192 KiB at most, ``settings``) and its address
_FORGOTTEN = 60.0  # seconds after which nobody goes on writing a file
_READ = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
_READ |= getattr(os, "O_NONBLOCK", 0)  # a pipe in its place would never begin
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)


class Folder:
    """Its methods raise ``OSError``, unless they say otherwise."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._late: set[str] = set()

    def put(self, name: str, content: object) -> None:
        """Put a report there, whole or not at all. Its name comes from ``queue``."""
        self._write(name, f".{name}", content)

    def names(self) -> list[str]:
        """The reports that wait, oldest first. Never raises. Sweeps what was left half written."""
        with suppress(OSError):
            found = [path.name for path in self._path.iterdir()]
            for name in filter(_HALF.fullmatch, found):
                self._sweep(self._path / name)
            return sorted(filter(_REPORT.fullmatch, found))
        return []

    def drop(self, name: str) -> None:
        """Take a report away. Never raises."""
        try:
            (self._path / name).unlink()
        except PermissionError:
            self._late.add(name)  # Windows keeps what is open: it goes when it was let go
        except OSError:
            pass

    @contextmanager
    def claimed(self, name: str) -> Iterator[object]:
        """What a report's file says, which nobody else sends meanwhile.

        ``None`` where another process has it, or sent it. What cannot be read is dropped.
        """
        descriptor = self._open(name)
        try:
            yield None if descriptor is None else self._content(name, descriptor)
        finally:
            if descriptor is not None:
                locks.unlock_and_close(descriptor)
            if name in self._late:
                self._late.discard(name)
                self.drop(name)

    def _open(self, name: str) -> int | None:
        try:
            descriptor = os.open(self._path / name, _READ)
        except FileNotFoundError:
            return None
        except OSError:
            self.drop(name)  # a link, say: nothing that this module has put there
            return None
        if self._is_ours(name, descriptor):
            return descriptor
        os.close(descriptor)
        return None

    def _is_ours(self, name: str, descriptor: int) -> bool:
        with suppress(OSError):
            if not locks.try_lock(descriptor):
                return False
            # Whoever had it before may have sent it, and taken it away.
            return (self._path / name).stat().st_ino == os.fstat(descriptor).st_ino
        return False

    def _content(self, name: str, descriptor: int) -> object:
        found = os.fstat(descriptor)
        if S_ISREG(found.st_mode) and found.st_size <= _MOST:
            with suppress(OSError, ValueError, RecursionError):
                return json.loads(os.read(descriptor, _MOST))
        self.drop(name)
        return None

    def told(self) -> dict[str, float]:
        """Which failures were told, and when. Never raises; empty where that cannot be read."""
        return self._moments(_TOLD)

    def note_told(self, told: dict[str, float]) -> None:
        """Keep which failures were told. Two processes at once: one of the two notes is lost."""
        self._note(_TOLD, told)

    def asked(self) -> dict[str, float]:
        """Until when servers ask to be left alone. Never raises, as ``told``."""
        return self._moments(_ASKED)

    def note_asked(self, asked: dict[str, float]) -> None:
        """Keep until when servers ask to be left alone."""
        self._note(_ASKED, asked)

    def _moments(self, name: str) -> dict[str, float]:
        with suppress(OSError, ValueError, RecursionError):
            with os.fdopen(os.open(self._path / name, _READ), "rb") as file:
                said = json.loads(file.read(_MOST))
            if isinstance(said, dict):
                return {each: float(at) for each, at in said.items() if type(at) in {int, float}}
        return {}

    def _note(self, name: str, moments: dict[str, float]) -> None:
        self._write(name, f".{name}.{os.urandom(8).hex()}", moments)

    def takes_day(self, day: str, what: str) -> bool:
        """Whether nothing was told about this on that day or the next; notes that it is now.

        ``what`` has 32 hexadecimal digits. True for one process alone, however many ask at once.
        Later days than the next were noted by a clock that has been set back since.
        """
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        seen = [_PRESENT.fullmatch(path.name) for path in self._path.iterdir()]
        before = [found for found in seen if found and found[2] == what]
        if any(day <= found[1] <= _next(day) for found in before):
            return False
        try:
            os.close(os.open(self._path / f"present-{day}-{what}", _NEW, 0o600))
        except FileExistsError:
            return False
        for found in before:
            self.drop(found[0])
        return True

    def _write(self, name: str, half: str, content: object) -> None:
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path / half
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
        """The new name is on the disk only when its folder is (rename(2) says nothing of it)."""
        with suppress(OSError):  # some file systems cannot do it: there is nothing to be done
            descriptor = os.open(self._path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _sweep(self, half: Path) -> None:
        with suppress(OSError):
            if time.time() - half.lstat().st_mtime > _FORGOTTEN:
                half.unlink()


def _next(day: str) -> str:
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()
