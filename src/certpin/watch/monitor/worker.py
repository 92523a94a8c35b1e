"""A worker: takes the jobs of its vantage, asks, and publishes what it saw.

It has no store and no pin file: a job carries what has to be known. A job is done when its result
is durable at the broker. A worker that dies before that leaves its jobs to the next one; what two
saw for one job counts once.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from nats.js.errors import NotFoundError

from certpin.errors import InputError
from certpin.watch.metrics.counters import COUNTERS
from certpin.watch.monitor.link import (
    JOBS,
    TROUBLE,
    in_words,
    inbox_of,
    linked,
    pause,
    place_of_jobs,
    publish,
    result_subject,
    take,
    taker,
)
from certpin.watch.monitor.probing import Prober
from certpin.watch.monitor.wire import decode_job, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nats.aio.msg import Msg

    from certpin.watch.monitor.link import Link
    from certpin.watch.monitor.wire import Job, Result
    from certpin.watch.secret import Secret
    from certpin.watch.web.health import Condition

log = logging.getLogger("certpin.watch.worker")


async def work(
    vantage: str,
    url: Secret,
    stop: asyncio.Event,
    *,
    window: int = 256,
    condition: Condition | None = None,
) -> None:
    """Work until ``stop`` is set; jobs that are under way then go to another worker at once.

    Goes on through every trouble with the broker, and waits for the service to make its streams.
    ``condition`` is told once there are jobs to be had: what it needs is there then.
    """
    while not stop.is_set():
        try:
            name = f"certpin worker {vantage}"
            async with linked(url, name, stop, inbox_of(vantage)) as link:
                await _Worker(vantage, link, stop, window).run(condition)
        except NotFoundError:
            log.info(
                "no watch has handed out jobs yet: its watch.toml has to have nats and vantages"
            )
            await pause(stop)
        except TROUBLE as exc:
            log.warning("no way to the NATS server: %s", in_words(exc))
            await pause(stop)


class _Worker:
    """With one connection."""

    def __init__(
        self,
        vantage: str,
        link: Link,
        stop: asyncio.Event,
        window: int,
    ) -> None:
        self._vantage = vantage
        self._link = link
        self._stop = stop
        self._window = window
        self._halt = threading.Event()
        self._prober = Prober(window, halted=self._halt.is_set)

    async def run(self, condition: Condition | None) -> None:
        jobs = await taker(self._link, JOBS, place_of_jobs(self._vantage))
        if condition:
            condition.needs["nats"] = lambda: self._link.client.is_connected
        halting = asyncio.create_task(self._halt_at_stop())
        try:
            while not self._stop.is_set():
                await self._do(await take(jobs, self._window))
        finally:
            halting.cancel()
            self._halt.set()

    async def _do(self, messages: list[Msg]) -> None:
        """Ask what these messages say. What was not done by the end is given back."""
        if not messages:
            return
        waiting: dict[str, tuple[Job, Msg]] = {}
        for message in messages:
            job = _read(message, self._vantage)
            if job is None:
                await message.term()
            else:
                waiting[job.identity] = (job, message)
        beating = asyncio.create_task(self._beat(waiting))
        try:
            await self._ask([job for job, _ in waiting.values()], waiting)
        finally:
            beating.cancel()
            for _, message in waiting.values():
                with suppress(*TROUBLE):
                    await message.nak()

    async def _ask(self, jobs: list[Job], waiting: dict[str, tuple[Job, Msg]]) -> None:
        """Ask in a thread, and publish meanwhile."""
        seen: asyncio.Queue[Result | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def tell(result: Result | None) -> None:
            loop.call_soon_threadsafe(seen.put_nowait, result)

        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(_ask, self._prober, jobs, tell))
            while (result := await seen.get()) is not None:
                group.create_task(self._report(result, waiting))

    async def _report(self, result: Result, waiting: dict[str, tuple[Job, Msg]]) -> None:
        subject = result_subject(self._vantage)
        if await publish(self._link.jetstream, subject, encode(result)):
            for each in result.seen:
                COUNTERS.probed(each.outcome, each.took / 1_000_000)
            _, message = waiting.pop(result.identity)
            with suppress(*TROUBLE):  # then it comes again, and its result is a repeat
                await message.ack()

    async def _beat(self, waiting: dict[str, tuple[Job, Msg]]) -> None:
        """Say now and then that somebody is at it."""
        pause = (place_of_jobs(self._vantage).ack_wait or 0) / 3
        while True:
            await asyncio.sleep(pause)
            for _, message in tuple(waiting.values()):
                with suppress(*TROUBLE):
                    await message.in_progress()

    async def _halt_at_stop(self) -> None:
        await self._stop.wait()
        self._halt.set()


def _ask(prober: Prober, jobs: Sequence[Job], tell: Callable[[Result | None], None]) -> None:
    try:
        for result in prober.ask(jobs):
            tell(result)
    finally:
        tell(None)


def _read(message: Msg, vantage: str) -> Job | None:
    """A job, if it is one, and for this vantage."""
    try:
        job = decode_job(message.data)
    except InputError as exc:
        log.warning("what came as a job is dropped: %s", exc.problem)
        return None
    return job if job.vantage == vantage else None
