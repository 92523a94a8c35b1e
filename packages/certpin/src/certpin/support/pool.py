"""A small pool of daemon threads for calls that block.

The threads of ``concurrent.futures.ThreadPoolExecutor`` are joined when the interpreter ends, so a
server that sends nothing would delay the end of the program by a minute. Daemon threads are not
joined.
"""

from __future__ import annotations

from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")


class DaemonPool:
    """A pool of daemon threads; as a context manager it closes at the end of the block.

    Call its methods from one thread. Each call of ``submit`` starts a thread, up to the limit.

    Args:
        max_threads: how many calls may run at once.
        name: the name of the threads.
    """

    def __init__(self, max_threads: int, name: str) -> None:
        self._max_threads = max_threads
        self._name = name
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads = 0
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        del exc
        self.close()

    def submit(self, call: Callable[[], Result]) -> Future[Result]:
        """Run a function in a thread of the pool.

        Returns:
            The future with its result or its error. If the pool closes before the function starts,
            the future never completes.
        """
        future: Future[Result] = Future()
        self._calls.put(lambda: _run(call, future))
        if self._threads < self._max_threads:
            self._threads += 1
            Thread(target=self._work, daemon=True, name=self._name).start()
        return future

    def close(self) -> None:
        """Drop the calls that have not started, and let the threads end. Does not wait for them."""
        self._closed = True
        for _ in range(self._threads):
            self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            if not self._closed:
                call()


def _run(call: Callable[[], Result], future: Future[Result]) -> None:
    try:
        future.set_result(call())
    except BaseException as exc:  # noqa: BLE001  # raised again by future.result()
        future.set_exception(exc)
