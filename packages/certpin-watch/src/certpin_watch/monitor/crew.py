"""A few threads for calls that block. Nobody waits for them at the end: they are daemons."""

from __future__ import annotations

from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")

_HANDS = 16


class Crew:
    """A context manager: at its end what nobody has begun with is dropped.

    The threads start when there is something to do. (Those of an executor are waited for when the
    interpreter ends, and a server that says nothing can hold one for a minute.)
    """

    def __init__(self) -> None:
        self._work: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._hands = 0
        self._gone = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        del exc
        self._gone = True
        for _ in range(self._hands):
            self._work.put(None)

    def submit(self, job: Callable[[], Result]) -> Future[Result]:
        """Have it done. The future may never end, if the crew goes first."""
        future: Future[Result] = Future()
        self._work.put(lambda: _do(job, future))
        if self._hands < _HANDS:
            self._hands += 1
            Thread(target=self._labour, daemon=True, name="certpin-monitor").start()
        return future

    def _labour(self) -> None:
        while (job := self._work.get()) is not None:
            if not self._gone:
                job()


def _do(job: Callable[[], Result], future: Future[Result]) -> None:
    try:
        future.set_result(job())
    except BaseException as exc:  # noqa: BLE001  # raised again where the result is asked for
        future.set_exception(exc)
