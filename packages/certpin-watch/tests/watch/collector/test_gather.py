"""One commit for a moment: who waits for it, who shares it, and who is told that it failed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from certpin_watch.collector.decode import ReceivedBody
from certpin_watch.collector.intake import Batcher, BatchLimits, NotDurableError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

BOUNDS = BatchLimits(queue=10, queue_bytes=1000, batch=4, batch_bytes=100)


def body(weight: int = 1) -> ReceivedBody:
    return ReceivedBody(0, "", (), b"", weight)


class Disk:
    """Commits when it is let; ``failures`` are raised first."""

    def __init__(self, *failures: Exception) -> None:
        self.batches: list[int] = []
        self.asked = asyncio.Event()
        self.let = asyncio.Event()
        self.failures = list(failures)

    async def commit(self, batch: Sequence[ReceivedBody]) -> None:
        self.batches.append(len(batch))
        self.asked.set()
        await self.let.wait()
        if self.failures:
            raise self.failures.pop()


async def _outcomes(waiting: Sequence[Coroutine[None, None, None]]) -> list[bool]:
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(each is None or isinstance(each, NotDurableError) for each in found)
    return [each is None for each in found]


def _run(main: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 10))


def test_whoever_comes_while_a_commit_is_on_its_way_shares_the_next_one() -> None:
    async def main() -> None:
        disk = Disk()
        gatherer = Batcher(disk.commit, BOUNDS)
        gatherer.start()
        first = asyncio.create_task(gatherer.put(body()))
        await disk.asked.wait()
        others = asyncio.gather(*(gatherer.put(body()) for _ in range(5)))
        await asyncio.sleep(0)
        assert not first.done()
        disk.let.set()
        await asyncio.gather(first, others)
        assert disk.batches == [1, 4, 1]
        await gatherer.close()

    _run(main())


def test_whoever_was_answered_and_comes_again_at_once_shares_the_next_one() -> None:
    async def main() -> None:
        disk = Disk()
        gatherer = Batcher(disk.commit, BOUNDS)
        gatherer.start()
        first = asyncio.create_task(gatherer.put(body()))
        await disk.asked.wait()
        other = asyncio.create_task(gatherer.put(body()))
        await asyncio.sleep(0)
        disk.let.set()
        await first
        await asyncio.gather(other, gatherer.put(body()))
        assert disk.batches == [1, 2]
        await gatherer.close()

    _run(main())


def test_a_batch_has_so_many_bytes_and_at_least_one_body() -> None:
    async def main() -> None:
        disk = Disk()
        disk.let.set()
        gatherer = Batcher(disk.commit, BOUNDS)
        gatherer.start()
        assert all(await _outcomes([gatherer.put(body(n)) for n in (60, 60, 40, 300, 1)]))
        assert disk.batches == [1, 2, 1, 1]
        await gatherer.close()

    _run(main())


@pytest.mark.parametrize(("weight", "room"), [(1, 10), (400, 2)])
def test_a_full_queue_refuses_at_once(weight: int, room: int) -> None:
    async def main() -> None:
        gatherer = Batcher(Disk().commit, BOUNDS)
        waiting = [asyncio.create_task(gatherer.put(body(weight))) for _ in range(room)]
        await asyncio.sleep(0)
        with pytest.raises(NotDurableError, match="too many"):
            await gatherer.put(body(weight))
        for each in waiting:
            each.cancel()

    _run(main())


@pytest.mark.parametrize("failure", [NotDurableError("the disk is full"), ZeroDivisionError()])
def test_a_failure_is_told_to_all_of_its_batch_and_to_nobody_else(failure: Exception) -> None:
    async def main() -> None:
        disk = Disk(failure)
        disk.let.set()
        gatherer = Batcher(disk.commit, BOUNDS)
        gatherer.start()
        assert await _outcomes([gatherer.put(body()) for _ in range(6)]) == [False] * 4 + [True] * 2
        await gatherer.close()

    _run(main())


def test_what_waits_at_the_end_is_committed_and_nothing_new_is_taken() -> None:
    async def main() -> None:
        disk = Disk()
        gatherer = Batcher(disk.commit, BOUNDS)
        gatherer.start()
        waiting = [asyncio.create_task(gatherer.put(body())) for _ in range(3)]
        gone = asyncio.create_task(gatherer.put(body()))
        await asyncio.sleep(0)
        gone.cancel()
        closing = asyncio.create_task(gatherer.close())
        await asyncio.sleep(0)
        with pytest.raises(NotDurableError, match="is stopping"):
            await gatherer.put(body())
        disk.let.set()
        await asyncio.gather(*waiting, closing)
        assert sum(disk.batches) == 4

    _run(main())
