"""What is to be put on the disk: noted at once, and done by a thread, one thing after the other."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST = 256  # notes that wait

_log = logging.getLogger("certpin.reports")


class Notes:
    """Threads may share it. No thread runs before there is something to be done."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Callable[[], None]] = deque()
        self._doing = 0
        self._thread: threading.Thread | None = None
        self._closed = False
        self.lost = 0

    def take(self, note: Callable[[], None]) -> None:
        """Have it done soon. Never waits; raises what a log handler raises, and nothing else."""
        with self._changed:
            full = len(self._waiting) + self._doing >= _MOST
            if not (full or self._closed):
                self._waiting.append(note)
                self._has_thread()
                self._changed.notify_all()
            self.lost += full
        if full:
            _log.warning("reports come faster than the disk takes them: one is lost")

    def settle(self, seconds: float) -> bool:
        """Wait until every note is done; whether it is. Where no thread can be had, it is this one:
        an interpreter that ends starts none any more.
        """
        until = time.monotonic() + seconds
        with self._changed:
            if self._has_thread():
                return self._changed.wait_for(self._is_done, seconds)
        while self._waiting and time.monotonic() < until:
            self._do_next()
        return self._is_done()

    def close(self) -> None:
        """Take no more. What was taken is done."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _is_done(self) -> bool:
        return not self._waiting and not self._doing

    def _has_thread(self) -> bool:
        """Whether a thread does what waits, as far as there is anything; begins it if need be."""
        if not self._waiting or (self._thread is not None and self._thread.is_alive()):
            return True
        thread = threading.Thread(target=self._run, name="certpin-reports", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # too many threads, or the interpreter ends
            return False
        self._thread = thread
        return True

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
            self._do_next()

    def _do_next(self) -> None:
        with self._changed:
            if not self._waiting:
                return
            note = self._waiting.popleft()
            self._doing += 1
        try:
            note()
        except Exception:  # noqa: BLE001  # whatever it is: no other note has to suffer
            with suppress(Exception):  # of a log handler
                _log.exception("something could not be reported")
        with self._changed:
            self._doing -= 1
            self._changed.notify_all()
