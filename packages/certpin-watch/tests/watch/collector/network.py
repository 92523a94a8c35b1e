"""A network that tests can cut: it forwards TCP connections until the test stops it."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

from tests.servers._run import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator


_TURN = 0.2  # seconds between two checks whether it is closed


class Line:
    """A TCP forwarder that listens on ``port`` and connects to the port ``target`` on this machine.

    While the event ``open`` is not set, bytes are held back, and neither side gets an error.
    """

    def __init__(self, target: int) -> None:
        self.open = threading.Event()
        self.open.set()
        self._closed = threading.Event()
        self._target = target
        self._listener = socket.create_server((LOOPBACK, 0))
        self._listener.settimeout(_TURN)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """Close every connection."""
        self._closed.set()
        self.open.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(TimeoutError):
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection((LOOPBACK, self._target))
                except OSError:
                    near.close()
                    continue
                for pair in ((near, far), (far, near)):
                    self._threads.append(threading.Thread(target=self._pass, args=pair))
                    self._threads[-1].start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        source.settimeout(_TURN)
        with source, contextlib.suppress(OSError):
            while not self._closed.is_set():
                with contextlib.suppress(TimeoutError):
                    data = source.recv(65536)
                    while not self.open.wait(_TURN):
                        pass
                    if not data:
                        break
                    sink.sendall(data)
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def line(target: int) -> Iterator[Line]:
    """Run a TCP forwarder to the port ``target`` of this machine while the block runs."""
    found = Line(target)
    try:
        yield found
    finally:
        found.close()
