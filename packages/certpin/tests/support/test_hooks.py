"""The thread that calls an app's hooks: it ends when idle, and no event is lost when it does."""

from __future__ import annotations

import logging
import queue
import threading
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from certpin.errors import ConfigError
from certpin.support import hooks as module
from certpin.support.hooks import Hooks, checked_hooks
from tests.updates.test_crashes import in_a_child
from tests.updates.test_updater import until

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 10  # seconds


@pytest.fixture
def short_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("certpin.support.hooks._IDLE", 0.001)


def calling(*hooks: Callable[[int], object]) -> Hooks[int]:
    return Hooks(hooks, "test", lambda: logging.getLogger("certpin"))


def test_the_thread_ends_without_events_and_begins_with_the_next(short_idle: None) -> None:
    heard: queue.Queue[tuple[int, threading.Thread]] = queue.Queue()
    hooks = calling(lambda event: heard.put((event, threading.current_thread())))
    for event in range(2000):
        hooks.notify(event)
        found, thread = heard.get(timeout=PATIENCE)
        assert found == event  # each once, and in order
        if event % 50 == 0:  # the other events come while the thread may be ending
            thread.join(PATIENCE)
            assert not thread.is_alive()
    assert heard.empty()


def test_an_event_that_comes_when_the_wait_has_just_ended_is_not_lost(short_idle: None) -> None:
    class Late(queue.Queue[int]):
        """A queue with a first ``get`` that times out although the queue has an event."""

        ended = False

        def get(self, block: bool = True, timeout: float | None = None) -> int:
            if not self.ended:
                self.ended = True
                raise queue.Empty
            return super().get(block, timeout)

    heard: queue.Queue[int] = queue.Queue()
    hooks = calling(heard.put)
    hooks._waiting = Late()
    hooks.notify(7)
    assert heard.get(timeout=PATIENCE) == 7


def test_a_log_handler_that_raises_stops_neither_the_next_hook_nor_the_next_event() -> None:
    def raising(event: int) -> None:
        raise ValueError(event)

    def exiting_logger() -> logging.Logger:
        raise SystemExit

    heard: queue.Queue[int] = queue.Queue()
    hooks = Hooks((raising, heard.put), "test", exiting_logger)
    for event in range(2):
        hooks.notify(event)
        assert heard.get(timeout=PATIENCE) == event


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> module._Threads:
    """Return the threads that the hooks of a test share, without those of other tests."""
    monkeypatch.setattr(module, "_threads", made := module._Threads())
    return made


def test_objects_share_idle_threads(threads: module._Threads) -> None:
    """An app that makes a client with hooks for each request has no thread for each of them."""
    heard: queue.Queue[threading.Thread] = queue.Queue()
    used = set()
    for event in range(50):
        calling(lambda _: heard.put(threading.current_thread())).notify(event)
        used.add(heard.get(timeout=PATIENCE))
        until(lambda: threads._idle == 1)
    assert len(used) == 1


def test_slow_hooks_of_one_object_delay_no_other(threads: module._Threads) -> None:
    entered, let_go = threading.Event(), threading.Event()
    heard: queue.Queue[int] = queue.Queue()

    def slow(_: int) -> None:
        entered.set()
        let_go.wait(PATIENCE)
        heard.put(0)

    for _ in range(3):
        calling(slow).notify(0)
        assert entered.wait(PATIENCE)
        entered.clear()
    for event in (1, 2, 3):
        calling(heard.put).notify(event)
        assert heard.get(timeout=PATIENCE) == event
    let_go.set()
    assert [heard.get(timeout=PATIENCE) for _ in range(3)] == [0, 0, 0]
    until(lambda: not threads._tasks)


def test_an_idle_thread_keeps_no_hook_alive(threads: module._Threads) -> None:
    class Recording:
        def __init__(self) -> None:
            self.called = threading.Event()

        def __call__(self, _: int) -> None:
            self.called.set()

    hook = Recording()
    calling(hook).notify(1)
    assert hook.called.wait(PATIENCE)
    alive = weakref.ref(hook)
    del hook
    until(lambda: threads._idle == 1)
    assert alive() is None


def test_an_event_is_handed_over_once_threads_can_start_again(
    threads: module._Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    heard: queue.Queue[int] = queue.Queue()
    hooks = calling(heard.put)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        hooks.notify(1)
    assert threads._idle == 0
    assert not threads._tasks
    hooks.notify(2)
    assert [heard.get(timeout=PATIENCE) for _ in range(2)] == [1, 2]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_no_idle_thread(threads: module._Threads) -> None:
    heard: queue.Queue[int] = queue.Queue()
    calling(heard.put).notify(1)
    assert heard.get(timeout=PATIENCE) == 1
    until(lambda: threads._idle == 1)

    def in_the_child() -> None:
        calling(heard.put).notify(2)
        assert heard.get(timeout=PATIENCE) == 2

    assert in_a_child(in_the_child) == 0


class _Hook:
    """An object with an asynchronous call, and an asynchronous method."""

    async def __call__(self, event: int) -> None: ...

    async def method(self, event: int) -> None: ...


async def _function(event: int) -> None: ...


@pytest.mark.parametrize(
    "hook",
    [_function, partial(_function), _Hook(), _Hook().method],
    ids=["function", "partial", "object", "method"],
)
def test_an_asynchronous_hook_is_refused(hook: Callable[[int], object]) -> None:
    with pytest.raises(ConfigError, match="asynchronous, and would never run") as caught:
        calling(print, hook)
    assert "plain function" in caught.value.fix


@pytest.mark.parametrize(
    "hooks",
    [print, "print", [None], [print, "print"], None, 5],
    ids=["function", "text", "none in a list", "text in a list", "none", "number"],
)
def test_hooks_that_are_no_list_of_functions_are_refused(hooks: Any) -> None:
    """They would be found missing at the first event only, by a line in the log."""
    with pytest.raises(ConfigError, match="is not a list of functions") as caught:
        Hooks(hooks, "failure", logging.getLogger)
    assert (caught.value.key, caught.value.fix[-6:]) == ("failure hooks", "[hook]")


def test_hooks_may_be_of_any_iterable() -> None:
    assert checked_hooks(iter([print, len]), "failure") == (print, len)
    assert checked_hooks(set(), "failure") == ()


def test_a_class_and_a_builtin_are_hooks() -> None:
    calling(_Hook, print, queue.Queue[int]().put)  # type: ignore[arg-type]  # makes objects only
