"""The service's end: jobs are handed out to other vantages, and their results are written down."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from sqlalchemy.exc import DataError, IntegrityError

from certpin.errors import InputError, StoreError
from certpin.watch.metrics.counters import COUNTERS
from certpin.watch.monitor.link import (
    RESULTS,
    TROUBLE,
    in_words,
    job_subject,
    linked,
    make_places,
    make_streams,
    pause,
    place_of_results,
    publish,
    result_subject,
    take,
    taker,
)
from certpin.watch.monitor.sightings import keep_results
from certpin.watch.monitor.targets import charges, targets_of
from certpin.watch.monitor.wire import MOST_BYTES, decode_result, encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

    from certpin.watch.monitor.link import Link
    from certpin.watch.monitor.schedule import Key
    from certpin.watch.monitor.wire import Job, Result
    from certpin.watch.watch import Watch

log = logging.getLogger("certpin.watch.monitor")

_AT_ONCE = 256


class Desk:
    """For one event loop. Without a connection nothing is handed out; it is tried again later."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._jetstream: JetStreamContext | None = None
        self._lost = False  # whether a job was not published
        self._out: dict[Key, int] = {}  # the moment for which each job was handed out last

    async def hand_out(self, jobs: Iterable[Job]) -> None:
        """Publish the jobs that are not out yet. One that another service published is not twice
        there: jobs for the same moment have the same identity.
        """
        new = [job for job in jobs if self._out.get(_key(job)) != job.slot]
        for at in range(0, len(new), _AT_ONCE):
            await asyncio.gather(*map(self._publish, new[at : at + _AT_ONCE]))
        if self._lost and self._jetstream is not None:
            self._lost = False
            with suppress(*TROUBLE):  # the stream of the jobs may be gone: these go out again
                await self._make(self._jetstream)

    async def collect(self, stop: asyncio.Event) -> None:
        """Write down what workers saw, until ``stop`` is set."""
        if (url := self._watch.settings.nats) is None:
            return
        told = ""
        while not stop.is_set():
            try:
                async with linked(url, "certpin monitor", stop) as link:
                    await self._make(link.jetstream)
                    self._jetstream, told = link.jetstream, ""
                    await self._collect(link, stop)
            except TROUBLE as exc:
                if (said := in_words(exc)) != told:
                    told = said
                    log.warning("no way to other vantages: %s", said)
                await pause(stop)
            finally:
                self._jetstream = None

    async def _make(self, jetstream: JetStreamContext) -> None:
        settings = self._watch.settings.monitor
        await make_streams(jetstream, settings)
        named = {*settings.vantages, *(each for host in settings.hosts for each in host.vantages)}
        await make_places(jetstream, named - {settings.vantage})

    async def _publish(self, job: Job) -> None:
        payload = encode(job)
        if len(payload) > MOST_BYTES:
            log.warning("%s has more trust anchors than a message can carry", job.host)
        elif self._jetstream is None:
            return
        elif await publish(self._jetstream, job_subject(job.vantage), payload, job.identity):
            self._out[_key(job)] = job.slot
        else:
            self._lost = True

    async def _collect(self, link: Link, stop: asyncio.Event) -> None:
        results = await taker(link, RESULTS, place_of_results())
        while not stop.is_set():
            messages = await take(results, _AT_ONCE)
            read = [(each, _read(each)) for each in messages]
            for message in [each for each, result in read if result is None]:
                await message.term()
            good = [(each, result) for each, result in read if result is not None]
            if good:
                kept = await asyncio.to_thread(self._keep, [result for _, result in good])
                for message, _ in good if kept else ():
                    await message.ack()

    def _keep(self, results: list[Result]) -> bool:
        """Store what answers a question of this watch; whether that is durable now."""
        try:
            asked = self._asked()
            answers = [each for each in results if _fits(each, asked)]
            answers = self._store(answers)
            for seen in (seen for each in answers for seen in each.seen):
                COUNTERS.probed(seen.outcome, seen.took / 1_000_000)
        except StoreError as exc:
            log.warning("results of other vantages wait: %s", exc.problem)
            return False
        return True

    def _store(self, answers: list[Result]) -> list[Result]:
        """Write them down; which of them could be. One that cannot stands in no other's way."""
        try:
            with self._watch.store.write() as connection:
                keep_results(connection, answers, self._watch.clock())
        except (DataError, IntegrityError):
            pass  # one of them: which?
        else:
            return answers
        if len(answers) == 1:
            log.error("a result of %s fits into no store, and is given up", answers[0].vantage)
            return []
        half = len(answers) // 2
        return self._store(answers[:half]) + self._store(answers[half:])

    def _asked(self) -> dict[Key, bool]:
        """Whom this watch asks; and whether that is at each address of the name."""
        watch = self._watch
        found = charges(watch.watched.glance().sets, watch.settings.monitor, watch.clock())
        targets = targets_of(found)
        return {
            (*target.key, vantage): target.every_address
            for target in targets
            for vantage in target.vantages
        }


def _read(message: Msg) -> Result | None:
    """A result, if it is one, and of the vantage under whose subject it came."""
    try:
        result = decode_result(message.data)
    except InputError as exc:
        log.warning("what came from a worker is dropped: %s", exc.problem)
        return None
    if message.subject != result_subject(result.vantage):
        log.warning("a result came under the name of another vantage, and is dropped")
        return None
    return result


def _fits(result: Result, asked: Mapping[Key, bool]) -> bool:
    """Whether it answers a question. Each edge is a row: who was asked for one answer gives one."""
    every = asked.get(_key(result))
    return every or (every is not None and [seen.edge for seen in result.seen] == [""])


def _key(one: Job | Result) -> Key:
    return one.host, one.port, one.way, one.vantage
