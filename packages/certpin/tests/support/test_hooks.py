"""The thread that calls an app's hooks: it ends when idle, and no event is lost when it does."""

from __future__ import annotations

import logging
import queue
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from certpin.errors import ConfigError
from certpin.support.hooks import Hooks

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


def test_a_class_and_a_builtin_are_hooks() -> None:
    calling(_Hook, print, queue.Queue[int]().put)  # type: ignore[arg-type]  # makes objects only
