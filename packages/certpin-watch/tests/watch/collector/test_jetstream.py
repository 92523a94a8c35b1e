"""Check that reports get from the collector to the store, directly and through NATS JetStream."""

from __future__ import annotations

import asyncio
import operator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import nats as client
import pytest
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from sqlalchemy import event, func, select

from certpin.errors import FormatError
from certpin_watch.collector import jetstream, writer
from certpin_watch.collector.app import open_intake
from certpin_watch.collector.decode import pack_batch, records_of, unpack_batch
from certpin_watch.collector.intake import NotDurableError
from certpin_watch.collector.jetstream import _check_stream, ensure_stream, subject
from certpin_watch.collector.outage import UnsafeStreamError, describe_failure
from certpin_watch.counters import COUNTERS
from certpin_watch.settings import CollectorSettings
from certpin_watch.store.tables.observations import REPORT_GROUPS, REPORT_IDENTITIES
from tests.servers.nats import nats
from tests.watch.collector import bodies
from tests.watch.collector.asgi_client import post_all
from tests.watch.collector.server import create_tables, make_watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from certpin_watch.context import Watch
    from tests.servers.nats import Nats


MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def server() -> Iterator[Nats]:
    with nats() as running:
        yield running


def _watch(tmp_path: Path, nats: str | None = None, **limits: Any) -> Watch:
    watch = make_watch(f"sqlite:///{tmp_path}/w.db", nats, **limits)
    create_tables(watch)
    return watch


def counts(watch: Watch) -> tuple[int, int]:
    """Return the sum of the counts of all groups of reports, and the number of report identities.

    The two are equal if each report is counted once.
    """
    with watch.store.read() as connection:
        total = connection.execute(select(func.sum(REPORT_GROUPS.c.count))).scalar() or 0
        seen = select(func.count()).select_from(REPORT_IDENTITIES)
        return total, connection.execute(seen).scalar_one()


async def write_until(watch: Watch, reports: int) -> None:
    """Run a writer until ``reports`` are counted."""
    stop = asyncio.Event()
    task = asyncio.create_task(writer.run(watch, stop))
    async with asyncio.timeout(30):
        while (await asyncio.to_thread(counts, watch))[0] < reports:
            assert not task.done()
            await asyncio.sleep(0.02)
        stop.set()
        await task


def test_accepted_reports_are_counted_in_the_store(tmp_path: Path) -> None:
    watch = _watch(tmp_path)
    sent = [bodies.body(number % 20) for number in range(30)]
    assert post_all(watch, sent) == [204] * 30
    assert counts(watch) == (20, 20)
    watch.store.close()


def test_clock_that_goes_back_does_not_change_the_counts(tmp_path: Path) -> None:
    now = datetime(2027, 1, 1, 12, 30, tzinfo=UTC)
    watch = _watch(tmp_path)
    for step, first in ((0, 0), (-1, 5), (0, 10)):
        moved = replace(watch, clock=partial(operator.add, now, timedelta(hours=step)))
        assert post_all(moved, [bodies.body(n) for n in range(first, first + 10)]) == [204] * 10
    assert counts(watch) == (20, 20)
    watch.store.close()


@pytest.mark.medium
def test_full_disk_refuses_reports_and_repeats_are_counted_once(tmp_path: Path) -> None:
    watch = _watch(tmp_path)
    max_pages = [0]

    @event.listens_for(watch.store.engine, "checkout")
    def _limit(connection: Any, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {max_pages[0] or 10**6}")

    chains = [{"served-certificate-chain": [pem] * 20} for pem in bodies.chain()]
    sent = [bodies.body(n, network=f"net {n}", **chains[n % 2]) for n in range(300)]
    with watch.store.read() as connection:
        max_pages[0] = connection.exec_driver_sql("PRAGMA page_count").scalar_one() + 5
    first = post_all(watch, sent[:10]) + post_all(watch, sent)
    assert 503 in first
    good = counts(watch)
    assert good[0] == good[1] < 300
    max_pages[0] = 0
    assert post_all(watch, sent) == [204] * 300
    assert counts(watch) == (300, 300)
    watch.store.close()


def test_without_tables_reports_are_refused(tmp_path: Path) -> None:
    watch = make_watch(f"sqlite:///{tmp_path}/w.db")
    assert post_all(watch, [bodies.body(1)]) == [503]
    watch.store.close()


@pytest.mark.slow
def test_reports_wait_in_the_stream_until_a_writer_counts_them(
    server: Nats, tmp_path: Path
) -> None:
    watch = _watch(tmp_path, server.url, stream="WAIT", stream_bytes=MEGABYTE)
    sent = [bodies.body(number % 20) for number in range(60)]
    assert _through_stream(watch, sent) == [204] * 60
    assert counts(watch) == (0, 0)
    asyncio.run(write_until(watch, 20))
    assert counts(watch) == (20, 20)
    assert _through_stream(watch, sent[:5]) == [204] * 5
    assert _through_stream(watch, [bodies.body(99)]) == [204]
    asyncio.run(write_until(watch, 21))
    assert counts(watch) == (21, 21)
    watch.store.close()


def _through_stream(watch: Watch, sent: list[bytes]) -> list[int]:
    """Post bodies to a collector that sends them to JetStream, and return the statuses.

    The collector refuses reports until it has connected, so the first body is posted repeatedly.
    """
    return post_all(watch, sent, ready=True)


@pytest.mark.slow
def test_full_stream_refuses_reports_and_drops_none(server: Nats, tmp_path: Path) -> None:
    watch = _watch(tmp_path, server.url, stream="FULL", stream_bytes=MEGABYTE)

    async def fill() -> int:
        accepted = 0
        async with open_intake(watch) as intake:
            for number in range(3000):
                [report] = _reports(number)
                try:
                    await intake.accept(report)
                    accepted += 1
                except NotDurableError:
                    if accepted:
                        return accepted
                    await asyncio.sleep(0.01)
        return accepted

    accepted = asyncio.run(fill())
    assert 10 < accepted < 1000
    asyncio.run(write_until(watch, accepted))
    assert counts(watch) == (accepted, accepted)
    watch.store.close()


@pytest.mark.slow
def test_after_a_failure_intake_is_ready_once_a_message_is_stored(
    server: Nats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then the intake refuses at once, so that no client waits for a server that stores
    nothing.
    """
    monkeypatch.setattr(jetstream, "_RETRY", 0.02)
    watch = _watch(tmp_path, server.url, stream="PROVE", stream_bytes=MEGABYTE)
    name = watch.settings.collector.stream

    async def work() -> None:
        link = await client.connect(server.url)
        there = link.jetstream()
        async with open_intake(watch) as intake:
            assert not intake.is_ready()
            await _becomes(intake.is_ready, True)
            await intake.accept(*_reports(1))
            full = StreamConfig(name=name, subjects=[subject(watch.settings.collector)],
                                max_msgs=1, discard=DiscardPolicy.NEW,
                                retention=RetentionPolicy.WORK_QUEUE)  # fmt: skip
            await there.update_stream(full)
            with pytest.raises(NotDurableError):
                await intake.accept(*_reports(2))
            assert not intake.is_ready()
            await asyncio.sleep(0.1)  # meanwhile the intake checks the full stream repeatedly
            assert not intake.is_ready()
            assert (await there.stream_info(name)).state.messages == 1
            await there.purge_stream(name)
            await _becomes(intake.is_ready, True)
            [proof] = [await there.get_msg(name, (await there.stream_info(name)).state.last_seq)]
            assert unpack_batch(proof.data or b"", 0) == []
        await link.close()

    asyncio.run(work())
    watch.store.close()


@pytest.mark.slow
def test_intake_connects_again_after_any_error(
    server: Nats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watch = _watch(tmp_path, server.url, stream="ODD", stream_bytes=MEGABYTE)
    wrong = [ValueError("an invalid answer")]

    async def odd(*there: Any) -> None:
        if wrong:
            raise wrong.pop()
        await ensure_stream(*there)

    async def work() -> None:
        async with open_intake(watch) as intake:
            await _becomes(intake.is_ready, True)

    monkeypatch.setattr(jetstream, "ensure_stream", odd)
    asyncio.run(work())
    watch.store.close()
    assert "because NATS is not ready: ValueError" in caplog.text


async def _becomes(holds: Callable[[], bool], wanted: bool) -> None:
    async with asyncio.timeout(20):
        while holds() != wanted:  # noqa: ASYNC110  # no signal
            await asyncio.sleep(0.01)


def _reports(number: int) -> list[Any]:
    from certpin.reports.codecs import decode
    from certpin_watch.collector.decode import ReceivedBody

    reports = decode(bodies.report(number), "application/json", datetime.now(UTC))
    return [ReceivedBody(1, "192.0.2.0/24", records_of(reports, ""), b"x" * 5000, 8000)]


@pytest.mark.slow
def test_unreadable_message_is_dropped_and_counted(server: Nats, tmp_path: Path) -> None:
    watch = _watch(tmp_path, server.url, stream="POISON", stream_bytes=MEGABYTE)
    assert _through_stream(watch, [bodies.body(1)]) == [204]
    before = _poisoned()

    async def poison() -> None:
        connection = await client.connect(server.url)
        for junk in (b"", b"junk", b"\x91" * 5000):
            await connection.jetstream().publish(subject(watch.settings.collector), junk)
        await connection.close()

    asyncio.run(poison())
    assert _through_stream(watch, [bodies.body(2)]) == [204]
    asyncio.run(write_until(watch, 2))
    assert _poisoned() == before + 3
    watch.store.close()


def _poisoned() -> float:
    labels = {"fate": "poisoned"}
    return COUNTERS.registry.get_sample_value("certpin_collector_reports_total", labels) or 0


@pytest.mark.slow
def test_server_with_a_small_max_payload_gets_short_messages(tmp_path: Path) -> None:
    with nats(payload=32 * 1024) as short:
        watch = _watch(tmp_path, short.url, stream="SHORT", stream_bytes=MEGABYTE)
        sent = [bodies.body(number) for number in range(100)]
        assert _through_stream(watch, sent) == [204] * 100
    watch.store.close()


@pytest.mark.slow
def test_rejected_report_stays_in_the_stream_and_does_not_hold_up_others(
    server: Nats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database may reject a report, for example after a change of its tables.

    The report is written once the database accepts it.
    """
    monkeypatch.setattr(writer, "_REDELIVER", 0.2)
    watch = _watch(tmp_path, server.url, stream="REFUSED", stream_bytes=MEGABYTE)
    with watch.store.write() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER picky BEFORE INSERT ON report_groups WHEN new.network = 'odd' "
            "BEGIN SELECT RAISE(ABORT, 'it does not fit'); END"
        )
    assert _through_stream(watch, [bodies.body(1, network="odd")]) == [204]
    assert _through_stream(watch, [bodies.body(2)]) == [204]
    asyncio.run(write_until(watch, 1))
    with watch.store.write() as connection:
        connection.exec_driver_sql("DROP TRIGGER picky")
    asyncio.run(write_until(watch, 2))
    watch.store.close()


@pytest.mark.parametrize(
    "setting",
    [{"discard": "old"}, {"max_age": 3600}, {"retention": "limits"}, {"storage": "memory"}],
)
def test_stream_that_could_drop_reports_is_refused(server: Nats, setting: dict[str, Any]) -> None:
    async def ensure() -> None:
        connection = await client.connect(server.url)
        made: dict[str, Any] = {
            "retention": "workqueue",
            "discard": "new",
            "max_bytes": MEGABYTE,
        } | setting
        await connection.jetstream().add_stream(name="DROPS", subjects=["DROPS.batch"], **made)
        try:
            await ensure_stream(connection.jetstream(), CollectorSettings(stream="DROPS"))
        finally:
            await connection.jetstream().delete_stream("DROPS")
            await connection.close()

    with pytest.raises(UnsafeStreamError) as refused:
        asyncio.run(ensure())
    assert "discard new" in describe_failure(refused.value)


@pytest.mark.parametrize(
    "more",
    [
        {"storage": StorageType.MEMORY},
        {"retention": RetentionPolicy.INTEREST},
        {"max_age": 3600.0},
        {"discard": DiscardPolicy.OLD},
    ],
)
def test_each_unsafe_stream_setting_is_detected(more: dict[str, Any]) -> None:
    good = StreamConfig(
        storage=StorageType.FILE,
        retention=RetentionPolicy.WORK_QUEUE,
        discard=DiscardPolicy.NEW,
        max_bytes=MEGABYTE,
    )
    _check_stream(good)
    with pytest.raises(UnsafeStreamError):
        _check_stream(good.evolve(**more))


def test_invalid_utf_8_in_the_stream_is_refused_like_other_junk() -> None:
    data = pack_batch(_reports(1))
    assert b"bank.example" in data
    with pytest.raises(FormatError):  # not a UnicodeError, which would end the writer
        unpack_batch(data.replace(b"bank.example", b"bank\x80example"), 0)


def test_message_id_identifies_the_reports() -> None:
    one, other = _reports(1), _reports(2)
    assert jetstream.message_id(one) == one[0].records[0].identity.hex()
    assert jetstream.message_id(one + other) != jetstream.message_id(other + one)


@pytest.mark.medium
def test_unavailable_server_does_not_delay_the_stop(tmp_path: Path) -> None:
    watch = _watch(tmp_path, "nats://127.0.0.1:9")
    assert post_all(watch, [bodies.body(1)]) == [503]

    async def stopped() -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(writer.run(watch, stop))
        await asyncio.sleep(0.05)
        stop.set()
        await asyncio.wait_for(task, 5)

    asyncio.run(stopped())
    watch.store.close()


def test_without_a_nats_server_there_is_no_writer(tmp_path: Path) -> None:
    watch = _watch(tmp_path)
    asyncio.run(asyncio.wait_for(writer.run(watch, asyncio.Event()), 5))
    watch.store.close()
