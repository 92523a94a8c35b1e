"""Cancel a coroutine of asyncio in a chosen step."""

from __future__ import annotations

import asyncio
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator


@types.coroutine
def cancelled_in_step(step: int, coroutine: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Run a coroutine, and cancel the current task when the coroutine waits for the n-th time.

    Args:
        step: the number ``n``. If the coroutine waits less often, it runs to its end.
        coroutine: the coroutine.

    Returns:
        The result of the coroutine.
    """
    task, error = asyncio.current_task(), None
    assert task is not None
    while True:
        try:
            waiting = coroutine.throw(error) if error else coroutine.send(None)
        except StopIteration as ended:
            return ended.value
        step -= 1
        if step == 0:
            task.cancel()
        error = None
        try:
            yield waiting
        except BaseException as exc:  # noqa: BLE001  # for the coroutine
            error = exc
