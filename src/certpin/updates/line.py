"""The time that a refresh has, and what lets another thread end it."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self

from tuf.api.exceptions import SlowRetrievalError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.updates.settings import Timing


class Line:
    """What can be cut from another thread: the socket in use, and the time that is left."""

    def __init__(self, timing: Timing) -> None:
        self._patience = timing.patience.total_seconds()
        self._until = time.monotonic() + timing.deadline.total_seconds()
        self._guard = threading.Lock()
        self._socket: socket.socket | None = None
        self._cut = threading.Event()
        self.ended = False  # by whoever does not want it any more, not by the clock

    @property
    def left(self) -> float:
        """Seconds until the deadline, and at most those that are waited for one thing."""
        return max(min(self._patience, self._until - time.monotonic()), 0.001)

    def may_wait(self, seconds: float) -> bool:
        """Wait; whether there is time left then."""
        return not self._cut.wait(seconds) and time.monotonic() < self._until

    def hold(self, sock: socket.socket) -> None:
        """Let this connection be cut. A duplicate is kept: TLS takes the socket itself over."""
        with self._guard:
            self._drop()
            self._socket = sock.dup()
            if self._cut.is_set():
                self._shut()

    def cut(self) -> None:
        """End whatever waits for the server, and whatever would. From any thread."""
        with self._guard:
            self._cut.set()
            self._shut()

    def end(self) -> None:
        """Cut it for good: what was fetched is not wanted any more. From any thread."""
        self.ended = True
        self.cut()

    def require(self) -> None:
        """Raise ``SlowRetrievalError`` if there is no time left, or the line was cut."""
        if self._cut.is_set() or time.monotonic() >= self._until:
            raise SlowRetrievalError("the time for a refresh is up")

    @contextmanager
    def watched(self) -> Iterator[Self]:
        """Cut the line at the deadline."""
        timer = threading.Timer(max(self._until - time.monotonic(), 0), self.cut)
        timer.daemon = True
        timer.start()
        try:
            yield self
        finally:
            timer.cancel()
            with self._guard:
                self._drop()

    def _shut(self) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
