"""The object ``Watch``, which all parts of the service get; functions that pause and end tasks."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from certpin.pins import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from certpin_watch.settings import ServiceSettings
    from certpin_watch.snapshot import PinFiles
    from certpin_watch.store import Store


@dataclass(frozen=True)
class Watch:
    """The settings, store, pin files and clock of the monitoring service; all its parts use them.

    Attributes:
        settings: the settings in ``watch.toml``.
        store: the database.
        pin_files: the monitored pin files.
        clock: returns the current time.
        process: a random ID of this process. The name of the machine would not be unique, because
            two machines can have the same name and the same paths.
    """

    settings: ServiceSettings
    store: Store
    pin_files: PinFiles
    clock: Callable[[], datetime] = utc_now
    process: str = field(default_factory=lambda: secrets.token_hex(8))


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Sleep for a number of seconds, or until ``stop`` is set.

    The caller has to check ``stop`` afterwards.
    """
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


_CANCEL_AGAIN = 0.1  # seconds


async def end_task(task: asyncio.Task[Any]) -> None:
    """Cancel a task again and again until it has ended. Its result or exception is ignored.

    One cancellation is not always enough. Before Python 3.12, ``asyncio.wait_for`` can lose a
    cancellation: it does so if the future that it waits for ends at the same time (CPython's issue
    81839). A task that connects again and again would then never stop.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_CANCEL_AGAIN)
    await asyncio.gather(task, return_exceptions=True)
