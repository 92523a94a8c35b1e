"""Call an app's hooks: functions that receive each event, in separate threads."""

from __future__ import annotations

import inspect
import os
import queue
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from certpin.errors import ConfigError
from certpin.support.forks import Forked, register

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterable

Event = TypeVar("Event")
Hook = TypeVar("Hook")

_WAITING = 256  # events that are queued for the hooks
_IDLE = 5  # seconds without an event, after which a thread ends


def checked_hooks(hooks: Iterable[Hook], what: str) -> tuple[Hook, ...]:
    """Return an app's hooks as a tuple, after a check that a call runs each of them.

    Args:
        hooks: the functions, or objects with a method ``__call__``.
        what: the noun for an event, such as ``update``.

    Raises:
        ConfigError: ``hooks`` is not a list of functions, or one of them is asynchronous.
    """
    found = _tuple_of(hooks)
    if found is None or not all(map(callable, found)):
        raise ConfigError(
            f"{hooks!r} is not a list of functions",
            key=f"{what} hooks",
            fix="give a list, also for one function: [hook]",
        )
    for hook in found:
        method = getattr(type(hook), "__call__", None)  # noqa: B004  # the function itself
        if inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(method):
            raise ConfigError(
                f"{hook!r} is asynchronous, and would never run",
                key=f"{what} hook",
                fix="give a plain function; it runs in a separate thread, from which "
                "asyncio.run_coroutine_threadsafe(…, loop) reaches an event loop",
            )
    return found


def _tuple_of(hooks: Any) -> tuple[Any, ...] | None:
    with suppress(TypeError):  # nothing to iterate over
        return tuple(hooks)
    return None


class _Threads(Forked):
    """Daemon threads that run tasks. Each task begins at once, in an idle thread or in a new one.

    So there are as many threads as tasks run at the same time. A thread ends after some seconds
    without a task.
    """

    def __init__(self) -> None:
        self.after_fork_in_child()
        register(self)

    def after_fork_in_child(self) -> None:
        """Begin without threads: the child process has none of its parent's."""
        self._changed = threading.Condition()
        self._tasks: deque[Callable[[], None]] = deque()
        self._idle = 0  # threads that run no task, also those that are starting

    def run(self, task: Callable[[], None]) -> None:
        """Run a task, which must not raise.

        This method raises ``RuntimeError`` if no thread can start.
        """
        with self._changed:
            self._tasks.append(task)
            if self._idle >= len(self._tasks):
                self._changed.notify()
                return
            self._idle += 1
        try:
            threading.Thread(target=self._work, name="certpin-hooks", daemon=True).start()
        except RuntimeError:
            with self._changed:
                self._idle -= 1
                if task in self._tasks:  # no other thread has finished and taken it
                    self._tasks.remove(task)
                    raise

    def _work(self) -> None:
        while (task := self._next()) is not None:
            task()
            task = None  # an idle thread must not keep the client of its last task alive
            with self._changed:
                self._idle += 1

    def _next(self) -> Callable[[], None] | None:
        """Wait for a task, and return it; return None if there was none for some seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._tasks, _IDLE)
            self._idle -= 1
            return self._tasks.popleft() if self._tasks else None


_threads = _Threads()


class Hooks(Generic[Event]):
    """Calls an app's hooks in a separate thread, so that they neither break nor delay connections.

    Events wait in a queue of limited length. If the hooks are so slow that the queue is full, new
    events are dropped, with a warning in the log. Each ``Hooks`` object has its own thread while
    its hooks run, so slow hooks don't delay those of other objects. When no event is left, other
    objects can use the thread, so an app with many objects does not accumulate threads.

    Args:
        hooks: functions that are called with each event.
        what: the noun for an event in log messages, such as ``update``.
        logger: a function that returns the logger.

    Raises:
        ConfigError: a hook is not a function, or is asynchronous.
    """

    def __init__(
        self,
        hooks: Iterable[Callable[[Event], object]],
        what: str,
        logger: Callable[[], logging.Logger],
    ) -> None:
        self._hooks = checked_hooks(hooks, what)
        self._what = what
        self._logger = logger
        self._begin()

    def _begin(self) -> None:
        self._waiting: queue.Queue[Event] = queue.Queue(_WAITING)
        self._starting = threading.Lock()
        self._has_thread = False
        # Last: a thread that sees this process must not find the parent's lock.
        self._process = os.getpid()

    def notify(self, event: Event) -> None:
        """Queue an event for the hooks. Never waits; raises only errors of log handlers."""
        if not self._hooks:
            return
        if self._process != os.getpid():
            self._begin()  # after a fork: there is no thread, and the parent may have held the lock
        try:
            self._waiting.put_nowait(event)
            self._ensure_thread()
        except queue.Full:
            self._logger().warning(
                "%s hooks are too slow: one %s was not handed to them", self._what, self._what
            )
        except RuntimeError:
            self._logger().warning(
                "no thread for %s hooks: the interpreter is shutting down", self._what
            )

    def _ensure_thread(self) -> None:
        with self._starting:
            if not self._has_thread:
                _threads.run(self._run)
                self._has_thread = True

    def _run(self) -> None:
        while True:
            try:
                event = self._waiting.get_nowait()
            except queue.Empty:
                if self._end_if_idle():
                    return
                continue
            for hook in self._hooks:
                with suppress(BaseException):  # of a log handler
                    self._call(hook, event)

    def _end_if_idle(self) -> bool:
        """Stop using the current thread if no event is queued.

        Returns:
            True if the thread has to leave this object now; False if an event was queued meanwhile.
        """
        with self._starting:  # who queues an event looks for the thread afterwards
            self._has_thread = not self._waiting.empty()
            return not self._has_thread

    def _call(self, hook: Callable[[Event], object], event: Event) -> None:
        try:
            hook(event)
        # An exit too: the next hooks and events wait behind this call.
        except BaseException:  # noqa: BLE001  # whatever it raises, it breaks nothing
            self._logger().exception("a %s hook raised", self._what)
