"""Names to addresses, beside an event loop.

``getaddrinfo`` blocks, and nothing can stop it. It runs in a few daemon threads, which ring a bell
(a socket that the loop watches) when an answer is there. The threads start when the first name is
asked for: a scan of addresses, or through an override, has none.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from contextlib import suppress
from functools import lru_cache
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A family for ``socket.socket`` and an address for its ``connect``.
Address = tuple[int, tuple[Any, ...]]
_THREADS = 16


Q = TypeVar("Q")  # who asks


@lru_cache(maxsize=256)
def literal(host: str, port: int) -> tuple[Address, ...]:
    """The address that ``host`` itself is, or nothing if it is a name. Never asks a server."""
    try:
        return _look_up(host, port, socket.AI_NUMERICHOST)
    except (OSError, ValueError):
        return ()


class Resolver(Generic[Q]):
    """Takes questions, gives answers. All methods are for the thread of the event loop.

    ``wanted`` says whether somebody still waits for an answer; it is called in other threads.
    """

    def __init__(self, wanted: Callable[[Q], bool]) -> None:
        self._wanted = wanted
        self._bell, self._rope = socket.socketpair()
        self._bell.setblocking(False)
        self._rope.setblocking(False)
        self._questions: SimpleQueue[tuple[Q, str, int] | None] = SimpleQueue()
        self._answers: deque[tuple[Q, tuple[Address, ...] | OSError]] = deque()
        self._threads = 0
        self._lock = threading.Lock()  # so that nobody rings a bell that is gone
        self._closed = False

    def fileno(self) -> int:
        """The bell: readable when there are answers."""
        return self._bell.fileno()

    def ask(self, who: Q, host: str, port: int) -> None:
        """Ask for the addresses of a name."""
        if self._threads < _THREADS:
            self._threads += 1
            threading.Thread(target=self._work, daemon=True, name="certpin-resolver").start()
        self._questions.put((who, host, port))

    def answers(self) -> Iterator[tuple[Q, tuple[Address, ...] | OSError]]:
        """The answers since the last call: addresses, or why there are none."""
        with suppress(BlockingIOError):
            self._bell.recv(4096)
        while self._answers:
            yield self._answers.popleft()

    def close(self) -> None:
        """Let the threads go. One that waits for a name server ends with its answer."""
        for _ in range(self._threads):
            self._questions.put(None)
        with self._lock:
            self._closed = True
            self._bell.close()
            self._rope.close()

    def _work(self) -> None:
        while question := self._questions.get():
            who, host, port = question
            if self._wanted(who):
                self._answers.append((who, _answer(host, port)))
                self._ring()

    def _ring(self) -> None:
        with self._lock:
            if not self._closed:
                with suppress(BlockingIOError):  # full: it rings already
                    self._rope.send(b"\0")


def _answer(host: str, port: int) -> tuple[Address, ...] | OSError:
    try:
        return _look_up(host, port)
    except OSError as error:
        return error
    except ValueError as error:  # a name that the idna codec refuses
        return OSError(str(error))


def _look_up(host: str, port: int, flags: int = 0) -> tuple[Address, ...]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return tuple((family, address) for family, _, _, _, address in found)
