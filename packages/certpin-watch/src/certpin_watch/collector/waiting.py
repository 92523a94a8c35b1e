"""How much waits in the stream to be counted. The writers look, and note it in the store.

Pages, API, metrics and alerts read it there. A writer that is gone notes nothing: what is not
looked at for long is as telling as what waits for long.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from sqlalchemy import delete
from sqlalchemy.exc import SQLAlchemyError

from certpin.errors import CertpinError
from certpin_watch.store import insert
from certpin_watch.store.tables.reports import REPORT_QUEUE

if TYPE_CHECKING:
    from nats.aio.client import Client

    from certpin_watch.snapshot import Watch
    from certpin_watch.store import Store

_EACH = 5.0  # seconds between two looks
_PATIENCE = 5.0

_log = logging.getLogger("certpin.watch.collector")


class Waiting(NamedTuple):
    """Messages that are not counted yet, and since when the first of them is there."""

    messages: int
    oldest_at: int | None


class _State(msgspec.Struct):
    messages: int
    first_ts: str


class _Stream(msgspec.Struct):
    """What JetStream says of a stream (nats-py leaves the moment of the first message out)."""

    state: _State


async def keep_looking(watch: Watch, client: Client) -> None:
    """Note again and again how much waits. Ends when it is cancelled; raises nothing."""
    while True:
        try:
            waiting = await look(client, watch.settings.collector.stream)
            await asyncio.to_thread(note, watch, waiting)
        except Exception as exc:  # noqa: BLE001  # what is not noted is seen to be old
            _log.debug("what waits in the stream is not known: %s", type(exc).__name__)
        await asyncio.sleep(_EACH)


async def look(client: Client, stream: str) -> Waiting:
    """Ask JetStream. Raises an error of nats-py, or ``msgspec.DecodeError``."""
    answer = await client.request(f"$JS.API.STREAM.INFO.{stream}", timeout=_PATIENCE)
    return waiting_of(answer.data)


def waiting_of(data: bytes) -> Waiting:
    """What an answer says. Raises ``msgspec.DecodeError`` or ``ValueError``. Pure."""
    state = msgspec.json.decode(data, type=_Stream).state
    if not state.messages:
        return Waiting(0, None)
    return Waiting(state.messages, int(datetime.fromisoformat(state.first_ts).timestamp()))


def note(watch: Watch, waiting: Waiting) -> None:
    """Write it down. Raises ``StoreError``."""
    row = {**waiting._asdict(), "looked_at": int(watch.clock().timestamp())}
    with watch.store.write() as connection:
        new = insert(connection, REPORT_QUEUE).values(stream=watch.settings.collector.stream, **row)
        connection.execute(new.on_conflict_do_update(index_elements=["stream"], set_=row))


def forget(store: Store) -> None:
    """Forget streams that were empty, where there is no stream any more. Raises nothing."""
    try:
        with store.write() as connection:
            connection.execute(delete(REPORT_QUEUE).where(REPORT_QUEUE.c.messages == 0))
    except (CertpinError, SQLAlchemyError) as exc:
        _log.debug("the stream of before is not forgotten: %s", type(exc).__name__)
