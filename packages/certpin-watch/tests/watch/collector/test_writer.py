"""Check the writer's record of the queue in NATS: stored, shown, and deleted without a stream.

Pages and metrics show the record.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from certpin.errors import ConfigError
from certpin_watch import service
from certpin_watch.collector import writer
from certpin_watch.collector.jetstream import connect, ensure_stream, subject
from certpin_watch.collector.outage import Outage
from certpin_watch.collector.writer import (
    QueueState,
    keep_recording_queue,
    parse_queue,
    read_queue,
    save_queue,
)
from certpin_watch.context import Watch
from certpin_watch.metrics.exporter import MetricsExporter
from certpin_watch.secret import Secret
from certpin_watch.settings import (
    AlertSettings,
    CollectorSettings,
    NotificationSettings,
    ServiceSettings,
)
from certpin_watch.snapshot import PinFiles
from certpin_watch.store.queries import freshness
from certpin_watch.store.queries.capacity import report_queue
from certpin_watch.web import unknowns
from tests.servers.nats import nats

if TYPE_CHECKING:
    from certpin_watch.store import Store
    from certpin_watch.store.queries.capacity import Queue


def _queue(watch: Watch, later: int = 0) -> Queue | None:
    with watch.store.read() as connection:
        return report_queue(connection, watch.clock() + timedelta(seconds=later))


def test_queue_state_is_read_from_an_answer_of_jetstream() -> None:
    empty = b'{"state": {"messages": 0, "first_ts": "0001-01-01T00:00:00Z"}}'
    full = b'{"state": {"messages": 7, "first_ts": "2027-01-01T12:00:00.123456789Z", "bytes": 1}}'
    assert parse_queue(empty) == QueueState(0, None)
    assert parse_queue(full) == QueueState(7, 1798804800)


def test_queue_is_late_if_messages_wait_or_no_writer_records_it(sqlite_store: Store) -> None:
    watch = Watch(ServiceSettings(), sqlite_store, PinFiles([]))
    assert _queue(watch) is None
    save_queue(watch, QueueState(0, None))
    found, later = _queue(watch), _queue(watch, 120)
    assert found is not None
    assert later is not None
    assert (found.late, later.late) == (False, True)
    save_queue(watch, QueueState(3, int(watch.clock().timestamp()) - 120))
    found = _queue(watch)
    assert found is not None
    assert (found.messages, found.late) == (3, True)


def test_record_of_a_clock_that_ran_ahead_is_not_fresh(sqlite_store: Store) -> None:
    watch = Watch(ServiceSettings(), sqlite_store, PinFiles([]))
    save_queue(watch, QueueState(0, None))
    found = _queue(watch, -3600)
    assert found is not None
    assert found.late
    assert found.waits(watch.clock() - timedelta(hours=1)) > timedelta(minutes=50)


def test_pages_and_metrics_show_the_queue(sqlite_store: Store) -> None:
    watch = Watch(ServiceSettings(), sqlite_store, PinFiles([]))
    now = watch.clock()
    save_queue(watch, QueueState(3, int(now.timestamp()) - 120))

    def messages_shown(later: int = 0) -> list[str]:
        moment = now + timedelta(seconds=later)
        with watch.store.read() as connection:
            fresh = freshness.freshness(connection, watch.pin_files.snapshot(), moment)
        return [text for text in unknowns.of_service(fresh, moment) if "wait" in text]

    (found,) = messages_shown()
    assert found.startswith("Reports wait to be counted: those since 20")
    assert "are safe in the queue, and missing here" in found
    metrics = dict(
        line.split(" ", 1)
        for line in MetricsExporter(watch).page("")[0].decode().splitlines()
        if line.startswith("certpin_report_queue")
    )
    assert float(metrics["certpin_report_queue_messages"]) == 3
    counted = float(metrics["certpin_report_queue_counted_timestamp_seconds"])
    assert counted == int(now.timestamp()) - 120
    save_queue(watch, QueueState(0, None))
    assert messages_shown() == []
    (found,) = messages_shown(120)  # no writer has recorded it since
    assert "Is a writer running" in found


@pytest.mark.slow
def test_queue_of_a_real_stream_is_recorded_repeatedly(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_RECORD", 0.02)
    monkeypatch.setattr(writer, "_REPLY", 0.5)

    async def work() -> None:
        with nats() as server:
            address = Secret(server.url)
            there = ServiceSettings(nats=address, collector=CollectorSettings())
            watch = replace(Watch(there, sqlite_store, PinFiles([])))
            client = await connect(address, "a test", Outage(address, "a test waits"))
            stream = client.jetstream()
            await ensure_stream(stream, there.collector)
            assert await read_queue(client, there.collector.stream) == QueueState(0, None)
            recording = asyncio.create_task(keep_recording_queue(watch, client))
            before = time.time()
            for number in range(3):
                await stream.publish(subject(there.collector), b"%d" % number)
            await _until(watch, 3)
            found = await read_queue(client, there.collector.stream)
            assert found.oldest_at is not None
            assert int(before) <= found.oldest_at <= time.time()
            await stream.delete_stream(there.collector.stream)
            await asyncio.sleep(0.1)  # the queue can't be read, and nothing is recorded
            last = _queue(watch)
            assert last is not None
            assert last.messages == 3
            await ensure_stream(stream, there.collector)
            await _until(watch, 0)
            recording.cancel()
            with suppress(asyncio.CancelledError):
                await recording
            await client.close()

    asyncio.run(work())


async def _until(watch: Watch, messages: int) -> None:
    async with asyncio.timeout(20):
        while (found := _queue(watch)) is None or found.messages != messages:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("messages", [0, 3])
def test_without_a_stream_records_of_empty_ones_are_deleted(
    sqlite_store: Store, messages: int
) -> None:
    watch = Watch(ServiceSettings(), sqlite_store, PinFiles([]))
    save_queue(watch, QueueState(messages, None))
    asyncio.run(writer.run(watch, asyncio.Event()))
    assert (_queue(watch) is None) == (messages == 0)


@pytest.mark.medium
def test_unknown_notification_service_is_refused_before_the_start(
    sqlite_store: Store,
) -> None:
    alerts = AlertSettings(tell=(NotificationSettings("chat", Secret("nonsense://")),))
    with pytest.raises(ConfigError, match="chat"):
        service.make_ready(Watch(ServiceSettings(alerts=alerts), sqlite_store, PinFiles([])))
