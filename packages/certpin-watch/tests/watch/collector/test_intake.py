"""Check how bodies are committed in batches: which share a commit, and which fail together."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import DataError

from certpin_watch.collector import intake
from certpin_watch.collector.counting import count
from certpin_watch.collector.decode import ReceivedBody
from certpin_watch.collector.intake import Batcher, BatchLimits, Committer, NotDurableError
from certpin_watch.snapshot import Patterns, PinFiles
from certpin_watch.store.tables.observations import REPORT_GROUPS, REPORT_IDENTITIES
from tests import kit
from tests.watch.collector.server import make_watch
from tests.watch.collector.test_counting import body, failure

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from pathlib import Path

    from certpin_watch.context import Watch
    from certpin_watch.store import Store


BOUNDS = BatchLimits(queue=10, queue_bytes=1000, batch=4, batch_bytes=100)


def _body(size: int = 1) -> ReceivedBody:
    return ReceivedBody(0, "", (), b"", size)


class Disk:
    """A substitute for the store that records the size of each batch.

    A commit waits for the event ``allowed``. Then it raises one of ``failures``, while any are
    left.
    """

    def __init__(self, *failures: Exception) -> None:
        self.batches: list[int] = []
        self.started = asyncio.Event()
        self.allowed = asyncio.Event()
        self.failures = list(failures)

    async def commit(self, batch: Sequence[ReceivedBody]) -> None:
        self.batches.append(len(batch))
        self.started.set()
        await self.allowed.wait()
        if self.failures:
            raise self.failures.pop()


async def _outcomes(waiting: Sequence[Coroutine[None, None, None]]) -> list[bool]:
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(error is None or isinstance(error, NotDurableError) for error in found)
    return [error is None for error in found]


def _run(main: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 10))


def test_bodies_that_arrive_during_a_commit_share_the_next_one() -> None:
    async def main() -> None:
        disk = Disk()
        batcher = Batcher(disk.commit, BOUNDS)
        batcher.start()
        first = asyncio.create_task(batcher.put(_body()))
        await disk.started.wait()
        others = asyncio.gather(*(batcher.put(_body()) for _ in range(5)))
        await asyncio.sleep(0)
        assert not first.done()
        disk.allowed.set()
        await asyncio.gather(first, others)
        assert disk.batches == [1, 4, 1]
        await batcher.close()

    _run(main())


def test_client_that_was_answered_and_returns_at_once_shares_the_next_commit() -> None:
    async def main() -> None:
        disk = Disk()
        batcher = Batcher(disk.commit, BOUNDS)
        batcher.start()
        first = asyncio.create_task(batcher.put(_body()))
        await disk.started.wait()
        other = asyncio.create_task(batcher.put(_body()))
        await asyncio.sleep(0)
        disk.allowed.set()
        await first
        await asyncio.gather(other, batcher.put(_body()))
        assert disk.batches == [1, 2]
        await batcher.close()

    _run(main())


def test_batch_is_limited_in_bytes_but_has_at_least_one_body() -> None:
    async def main() -> None:
        disk = Disk()
        disk.allowed.set()
        batcher = Batcher(disk.commit, BOUNDS)
        batcher.start()
        assert all(await _outcomes([batcher.put(_body(n)) for n in (60, 60, 40, 300, 1)]))
        assert disk.batches == [1, 2, 1, 1]
        await batcher.close()

    _run(main())


@pytest.mark.parametrize(("size", "room"), [(1, 10), (400, 2)])
def test_full_queue_refuses_at_once(size: int, room: int) -> None:
    async def main() -> None:
        batcher = Batcher(Disk().commit, BOUNDS)
        waiting = [asyncio.create_task(batcher.put(_body(size))) for _ in range(room)]
        await asyncio.sleep(0)
        with pytest.raises(NotDurableError, match="too many"):
            await batcher.put(_body(size))
        for task in waiting:
            task.cancel()

    _run(main())


@pytest.mark.parametrize("failure", [NotDurableError("the disk is full"), ZeroDivisionError()])
def test_failed_batch_fails_all_of_its_bodies_and_no_others(failure: Exception) -> None:
    async def main() -> None:
        disk = Disk(failure)
        disk.allowed.set()
        batcher = Batcher(disk.commit, BOUNDS)
        batcher.start()
        assert await _outcomes([batcher.put(_body()) for _ in range(6)]) == [False] * 4 + [True] * 2
        await batcher.close()

    _run(main())


def test_closing_commits_the_queue_and_accepts_nothing_new() -> None:
    async def main() -> None:
        disk = Disk()
        batcher = Batcher(disk.commit, BOUNDS)
        batcher.start()
        waiting = [asyncio.create_task(batcher.put(_body())) for _ in range(3)]
        gone = asyncio.create_task(batcher.put(_body()))
        await asyncio.sleep(0)
        gone.cancel()
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0)
        with pytest.raises(NotDurableError, match="is stopping"):
            await batcher.put(_body())
        disk.allowed.set()
        await asyncio.gather(*waiting, closing)
        assert sum(disk.batches) == 4

    _run(main())


POISON = failure(5)
_PINS = """\
schema = 1
name = "bank-app"
version = 1
[[host]]
name = "*.bank.example"
expires = 2099-01-01
pin = [{{ pin = "{}", role = "leaf" }}, {{ pin = "{}", role = "backup" }}]
"""


@pytest.fixture
def watch(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Return a service context with a store that raises an error for one particular report."""

    def count_or_reject(connection: Any, batch: Sequence[ReceivedBody], *more: Any) -> Any:
        if any(POISON in received.records for received in batch):
            raise DataError("INSERT", None, ValueError("it does not fit"))
        return count(connection, batch, *more)

    monkeypatch.setattr(intake, "count", count_or_reject)
    return replace(make_watch("sqlite:///unused.db"), store=sqlite_store)


BATCH = [*(body(failure(n)) for n in range(5)), body(POISON), body(failure(6))]


def rows(store: Store) -> tuple[int, int]:
    """Return the sum of the counts of all groups of reports, and the number of report identities.

    The two are equal if each report is counted once: these identities have no day, so that no late
    report has a second one.
    """
    with store.read() as connection:
        total = connection.execute(select(func.sum(REPORT_GROUPS.c.count))).scalar_one()
        known = select(func.count()).select_from(REPORT_IDENTITIES)
        return int(total), connection.execute(known).scalar_one()


def test_writer_drops_a_rejected_report_and_counts_the_others(
    watch: Watch,
) -> None:
    Committer(watch, drop=True).commit(BATCH)
    assert rows(watch.store) == (6, 6)


def test_intake_refuses_a_rejected_report(watch: Watch) -> None:
    with pytest.raises(NotDurableError, match="rejects this report"):
        Committer(watch).commit(BATCH)
    assert rows(watch.store) == (6, 6)


def test_store_failure_is_logged_once_and_so_is_its_end(
    sqlite_store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    watch = replace(make_watch("sqlite:///unused.db"), store=sqlite_store)
    committer = Committer(watch)
    caplog.set_level(logging.INFO)
    with sqlite_store.write() as connection:
        connection.exec_driver_sql("ALTER TABLE report_groups RENAME TO away")
    for _ in range(3):
        with pytest.raises(NotDurableError):
            committer.commit(BATCH)
    with sqlite_store.write() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO report_groups")
    committer.commit(BATCH)
    assert [record.getMessage() for record in caplog.records] == [
        "reports wait, because the store fails: schema",
        "the store accepts reports again",
    ]


def test_share_of_a_host_is_itself_or_its_pattern(tmp_path: Path) -> None:
    path = tmp_path / "pins.toml"
    assert Patterns().share_of("evil.example") == "*"
    path.write_text(_PINS.format(kit.NOBODY, kit.NOBODY_ELSE))
    patterns = Patterns(
        PinFiles((path,)).snapshot().sets, frozenset({"api.bank.example", "x.example"})
    )
    hosts = ("api.bank.example", "a.bank.example", "b.bank.example", "x.example", "no host")
    shares = ["api.bank.example", "*.bank.example", "*.bank.example", "", ""]
    assert [patterns.share_of(host) for host in hosts] == shares
