"""Intakes: what makes a report durable. The store itself, or a stream of NATS JetStream."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

from certpin.errors import ConfigError
from certpin_watch.collector.commit import Committer
from certpin_watch.collector.gather import Bounds, Gatherer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Sequence

    from certpin_watch.collector.jetstream import JetStreamIntake
    from certpin_watch.collector.received import Received
    from certpin_watch.snapshot import Watch

_BATCH = 500  # bodies in one transaction
_BATCH_BYTES = 8 * 1024 * 1024


class Intake(Protocol):
    """Takes in what a body told."""

    def accept(self, received: Received) -> Awaitable[None]:
        """Return when it is durable. Raises ``NotDurableError``."""

    def is_ready(self) -> bool:
        """Whether a report could be made durable now, as far as is known."""


class StoreIntake:
    """The reports of a moment share one transaction, in the one thread that writes."""

    def __init__(self, watch: Watch) -> None:
        settings = watch.settings.collector
        self._committer = Committer(watch)
        bounds = Bounds(settings.queue, settings.queue_bytes, _BATCH, _BATCH_BYTES)
        self._gatherer = Gatherer(self._commit, bounds)
        self._thread = ThreadPoolExecutor(1, "certpin-intake")

    def accept(self, received: Received) -> Awaitable[None]:
        """Return when it is committed. Raises ``NotDurableError``."""
        return self._gatherer.put(received)

    def is_ready(self) -> bool:
        """Nothing but the store is needed, and that is asked for itself."""
        return True

    def start(self) -> None:
        """Begin, in the event loop that runs."""
        self._gatherer.start()

    async def close(self) -> None:
        """Commit what waits, and end."""
        await self._gatherer.close()
        self._thread.shutdown()

    async def _commit(self, batch: Sequence[Received]) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._committer.commit, batch)


@asynccontextmanager
async def open_intake(watch: Watch) -> AsyncIterator[Intake]:
    """The intake that the settings ask for: JetStream where there is a NATS server.

    What was taken in is durable when the block ends. A NATS server that is away is waited for in
    the background: ``accept`` raises meanwhile.
    """
    intake = StoreIntake(watch) if watch.settings.nats is None else _jetstream(watch)
    intake.start()
    try:
        yield intake
    finally:
        await intake.close()


def _jetstream(watch: Watch) -> JetStreamIntake:
    require_nats()
    from certpin_watch.collector.jetstream import JetStreamIntake

    return JetStreamIntake(watch)


def require_nats() -> None:
    """Raises ``ConfigError`` where the client of NATS is not installed."""
    if find_spec("nats") is None:
        raise ConfigError(
            "JetStream needs the package nats-py", key="nats", fix="pip install 'certpin[cluster]'"
        )
