"""An event loop in a separate thread, so that the lab serves while the caller's code runs."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


class Loop:
    """A context manager. ``call`` runs a function in the loop's thread and waits for it."""

    def __init__(self) -> None:
        self.asyncio = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="certpin-lab", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.call(self._cancel)
        self.asyncio.call_soon_threadsafe(self.asyncio.stop)
        self._thread.join()

    def call(self, function: Callable[[], T]) -> T:
        """Call a function in the thread of the loop, and return its result."""
        answer: Future[T] = Future()

        def run() -> None:  # no task: there are three calls to each run of a client
            try:
                answer.set_result(function())
            except BaseException as exc:  # noqa: BLE001  # whatever it is, it is the caller's
                answer.set_exception(exc)

        self.asyncio.call_soon_threadsafe(run)
        return answer.result()

    def wait(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine function in the loop, and return its result."""
        return asyncio.run_coroutine_threadsafe(function(), self.asyncio).result()

    def _run(self) -> None:
        self.asyncio.run_forever()
        # Tasks that were cancelled close their sockets: they need the loop for that.
        left = asyncio.all_tasks(self.asyncio)
        self.asyncio.run_until_complete(_ended(left))
        self.asyncio.run_until_complete(self.asyncio.shutdown_asyncgens())
        self.asyncio.close()

    def _cancel(self) -> None:
        for task in asyncio.all_tasks(self.asyncio):
            task.cancel()


async def _ended(tasks: set[asyncio.Task[object]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)  # transports close in the round after
