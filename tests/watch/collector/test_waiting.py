"""What waits in the stream is noted, read as a fact, and forgotten where there is no stream."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from certpin.errors import ConfigError
from certpin.watch import service
from certpin.watch.alerts.settings import Settings as Alerts
from certpin.watch.alerts.settings import Tell
from certpin.watch.collector import writer
from certpin.watch.collector.waiting import Waiting, note, waiting_of
from certpin.watch.facts.queue import queue
from certpin.watch.secret import Secret
from certpin.watch.settings import Settings
from certpin.watch.watch import Watch
from certpin.watch.watched import Watched

if TYPE_CHECKING:
    from certpin.watch.facts.queue import Queue
    from certpin.watch.store import Store


def _queue(watch: Watch, later: int = 0) -> Queue | None:
    with watch.store.read() as connection:
        return queue(connection, watch.clock() + timedelta(seconds=later))


def test_an_answer_of_jetstream_says_how_much_waits_and_since_when() -> None:
    empty = b'{"state": {"messages": 0, "first_ts": "0001-01-01T00:00:00Z"}}'
    full = b'{"state": {"messages": 7, "first_ts": "2027-01-01T12:00:00.123456789Z", "bytes": 1}}'
    assert waiting_of(empty) == Waiting(0, None)
    assert waiting_of(full) == Waiting(7, 1798804800)


def test_a_queue_is_late_when_it_waits_or_nobody_looks_for_long(sqlite_store: Store) -> None:
    watch = Watch(Settings(), sqlite_store, Watched([]))
    assert _queue(watch) is None
    note(watch, Waiting(0, None))
    found, later = _queue(watch), _queue(watch, 120)
    assert found is not None
    assert later is not None
    assert (found.late, later.late) == (False, True)
    note(watch, Waiting(3, int(watch.clock().timestamp()) - 120))
    found = _queue(watch)
    assert found is not None
    assert (found.messages, found.late) == (3, True)


@pytest.mark.parametrize("messages", [0, 3])
def test_without_a_stream_an_empty_one_is_forgotten(sqlite_store: Store, messages: int) -> None:
    watch = Watch(Settings(), sqlite_store, Watched([]))
    note(watch, Waiting(messages, None))
    asyncio.run(writer.run(watch, asyncio.Event()))
    assert (_queue(watch) is None) == (messages == 0)


def test_a_service_that_nobody_knows_is_refused_before_anything_begins(
    sqlite_store: Store,
) -> None:
    alerts = Alerts(tell=(Tell("chat", Secret("nonsense://")),))
    with pytest.raises(ConfigError, match="chat"):
        service.make_ready(Watch(Settings(alerts=alerts), sqlite_store, Watched([])))
