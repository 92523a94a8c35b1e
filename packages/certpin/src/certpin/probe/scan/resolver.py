"""Resolve host names in threads, for a program with an event loop.

``getaddrinfo`` blocks, and nothing can interrupt it. So it runs in a few daemon threads, which wake
the loop through a socket when an answer is ready. The threads start when the first name is
resolved: a scan of only IP addresses, or with a fixed address to connect to, starts no thread.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from contextlib import suppress
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from certpin.support.network import DaemonPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

# A family for ``socket.socket`` and an address for its ``connect``.
Address = tuple[int, tuple[Any, ...]]
_THREADS = 16


Q = TypeVar("Q")  # identifies a question


@lru_cache(maxsize=256)
def literal(host: str, port: int) -> tuple[Address, ...]:
    """Return the socket address if ``host`` is an IP address, so that no DNS query is needed.

    Return ``()`` if ``host`` is a name.
    """
    try:
        return _look_up(host, port, socket.AI_NUMERICHOST)
    except (OSError, ValueError):
        return ()


class Resolver(Generic[Q]):
    """Resolves host names in threads. Call all methods in the thread of the event loop.

    The caller passes a *question* to ``ask``: any value that identifies the lookup, such as the
    ``HostScan`` of the host. ``answers`` yields this value together with the addresses.

    Args:
        wanted: a function that takes a question, and returns True if the caller still needs the
            answer. It is called in the resolver's threads.
    """

    def __init__(self, wanted: Callable[[Q], bool]) -> None:
        self._wanted = wanted
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._answers: deque[tuple[Q, tuple[Address, ...] | OSError]] = deque()
        self._pool = DaemonPool(_THREADS, "certpin-resolver")
        self._lock = threading.Lock()  # no thread may write to a closed socket
        self._closed = False
        self._failure: BaseException | None = None

    def fileno(self) -> int:
        """Return the file descriptor that becomes readable when answers are ready."""
        return self._wake_reader.fileno()

    def ask(self, question: Q, host: str, port: int) -> None:
        """Begin to resolve ``host``. ``answers`` later yields ``question`` with the result.

        ``question`` is any value by which the caller recognises the result. The result is the
        addresses of the host, which contain ``port``, or the error of the name lookup.
        """
        resolved = self._pool.submit(partial(self._resolve, question, host, port))
        resolved.add_done_callback(self._note_failure)

    def answers(self) -> Iterator[tuple[Q, tuple[Address, ...] | OSError]]:
        """Yield the lookups that ended since the last call, each as a pair.

        The first part is the ``question`` that the caller passed to ``ask``. The second part is the
        addresses of the host, or the error of the name lookup.

        If a thread failed for a different reason than the name lookup, its error is raised here,
        and its question gets no answer.
        """
        with suppress(BlockingIOError):
            self._wake_reader.recv(4096)
        if self._failure is not None:
            raise self._failure
        while self._answers:
            yield self._answers.popleft()

    def close(self) -> None:
        """Stop the threads. A thread that is resolving a name ends when it gets the answer."""
        self._pool.close()
        with self._lock:
            self._closed = True
            self._wake_reader.close()
            self._wake_writer.close()

    def _resolve(self, question: Q, host: str, port: int) -> None:
        if self._wanted(question):
            self._answers.append((question, _answer(host, port)))
            self._wake()

    def _note_failure(self, resolved: Future[None]) -> None:
        if error := resolved.exception():
            self._failure = error
            self._wake()

    def _wake(self) -> None:
        with self._lock:
            if not self._closed:
                with suppress(BlockingIOError):  # the buffer is full: the loop will wake anyway
                    self._wake_writer.send(b"\0")


def _answer(host: str, port: int) -> tuple[Address, ...] | OSError:
    try:
        return _look_up(host, port)
    except OSError as error:
        return error
    except ValueError as error:  # the idna codec refuses the name
        return OSError(str(error))


def _look_up(host: str, port: int, flags: int = 0) -> tuple[Address, ...]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return tuple((family, address) for family, _, _, _, address in found)
