"""Tasks are ended although a library loses a cancellation."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from certpin_watch.context import end_task


async def _reconnect(lost: int) -> None:
    """Wait, as a library that takes a cancellation for a failed attempt ``lost`` times."""
    for _ in range(lost):
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
    await asyncio.Event().wait()


def test_a_task_ends_although_its_library_loses_cancellations() -> None:
    async def end() -> asyncio.Task[None]:
        task = asyncio.create_task(_reconnect(1))
        await asyncio.sleep(0)
        await end_task(task)
        return task

    assert asyncio.run(end()).cancelled()
