"""What works in the background: begun together, begun again where it fails, ended together."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from certpin_watch.health import ProcessHealth
    from certpin_watch.watch import Watch

    Part = Callable[[Watch, asyncio.Event], Awaitable[None]]

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0  # seconds before a part that failed is begun again
_SETTLED = 10.0  # seconds that a part has run for when it is taken to be well
_PATIENCE = 20.0  # seconds for the parts to end, once they are told to

_log = logging.getLogger("certpin.watch")


async def run_parts(
    parts: Mapping[str, Part], watch: Watch, stop: asyncio.Event, health: ProcessHealth
) -> None:
    """Run them until ``stop`` is set and they have ended. One that hangs then is given up."""
    tasks = [
        asyncio.create_task(_keep_running(name, part, watch, stop, health), name=name)
        for name, part in parts.items()
    ]
    await stop.wait()
    if not tasks:
        return
    _, hanging = await asyncio.wait(tasks, timeout=_PATIENCE)
    for task in hanging:
        _log.error("%s does not end, and is given up", task.get_name())
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _keep_running(
    name: str, part: Part, watch: Watch, stop: asyncio.Event, health: ProcessHealth
) -> None:
    """Whatever a part raises, the others go on, and ``/readyz`` says which one does not."""
    pause = _FIRST_PAUSE
    while not stop.is_set():
        task = asyncio.ensure_future(part(watch, stop))
        try:
            if (await asyncio.wait({task}, timeout=_SETTLED))[1]:
                health.failing.discard(name)
                pause = _FIRST_PAUSE
            await task
        except Exception:  # noqa: BLE001  # it may be mended by the time that it is begun again
            _log.exception("%s failed, and is begun again", name)
            health.failing.add(name)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        else:
            return
        finally:
            task.cancel()
