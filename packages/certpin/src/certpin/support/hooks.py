"""Call an app's hooks: functions that receive each event, in a separate thread."""

from __future__ import annotations

import inspect
import os
import queue
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

from certpin.errors import ConfigError

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterable

Event = TypeVar("Event")

_WAITING = 256  # events that are queued for the hooks
_IDLE = 5  # seconds without an event, after which the thread ends


def refuse_coroutines(hooks: Iterable[object], what: str) -> None:
    """Raise ``ConfigError`` if a hook is asynchronous: a call would only make a coroutine.

    Args:
        hooks: the functions, or objects with a method ``__call__``.
        what: the noun for an event, such as ``update``.
    """
    for hook in hooks:
        method = getattr(type(hook), "__call__", None)  # noqa: B004  # the function itself
        if inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(method):
            raise ConfigError(
                f"{hook!r} is asynchronous, and would never run",
                key=f"{what} hook",
                fix="give a plain function; it runs in a separate thread, from which "
                "asyncio.run_coroutine_threadsafe(…, loop) reaches an event loop",
            )


class Hooks(Generic[Event]):
    """Calls an app's hooks in a separate thread, so that they neither break nor delay connections.

    Events wait in a queue of limited length. If the hooks are so slow that the queue is full, new
    events are dropped, and the log says so. An event starts the thread if none runs, and the thread
    ends after some seconds without events. So an app that makes many objects with hooks does not
    accumulate threads.

    Args:
        hooks: functions that are called with each event.
        what: the noun for an event in log messages, such as ``update``.
        logger: a function that returns the logger.

    Raises:
        ConfigError: a hook is asynchronous.
    """

    def __init__(
        self,
        hooks: tuple[Callable[[Event], object], ...],
        what: str,
        logger: Callable[[], logging.Logger],
    ) -> None:
        refuse_coroutines(hooks, what)
        self._hooks = hooks
        self._what = what
        self._logger = logger
        self._begin()

    def _begin(self) -> None:
        self._waiting: queue.Queue[Event] = queue.Queue(_WAITING)
        self._starting = threading.Lock()
        self._worker: threading.Thread | None = None
        # Last: a thread that sees this process must not find the parent's lock.
        self._process = os.getpid()

    def notify(self, event: Event) -> None:
        """Queue an event for the hooks. Never waits; raises only errors of log handlers."""
        if not self._hooks:
            return
        if self._process != os.getpid():
            self._begin()  # after a fork: there is no worker, and the parent may have held the lock
        try:
            self._waiting.put_nowait(event)
            self._ensure_worker()
        except queue.Full:
            self._logger().warning(
                "%s hooks are too slow: one %s was not handed to them", self._what, self._what
            )
        except RuntimeError:
            self._logger().warning(
                "no thread for %s hooks: the interpreter is shutting down", self._what
            )

    def _ensure_worker(self) -> None:
        with self._starting:
            if self._worker is None or not self._worker.is_alive():
                self._worker = threading.Thread(
                    target=self._run, name=f"certpin-{self._what}-hooks", daemon=True
                )
                self._worker.start()

    def _run(self) -> None:
        while True:
            try:
                event = self._waiting.get(timeout=_IDLE)
            except queue.Empty:
                if self._end_if_idle():
                    return
                continue
            for hook in self._hooks:
                with suppress(Exception):  # of a log handler
                    self._call(hook, event)

    def _end_if_idle(self) -> bool:
        """Release the worker thread if no event is queued.

        Returns:
            True if the thread has to end now; False if an event was queued in the meantime.
        """
        with self._starting:  # who queues an event looks for the thread afterwards
            if self._waiting.empty():
                self._worker = None
            return self._worker is None

    def _call(self, hook: Callable[[Event], object], event: Event) -> None:
        try:
            hook(event)
        # An exit too: the next hooks and events wait behind this call.
        except BaseException:  # noqa: BLE001  # whatever it raises, it breaks nothing
            self._logger().exception("a %s hook raised", self._what)
