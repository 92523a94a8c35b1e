"""Write down that reports are taken: where nobody did, their number is not nought but unknown."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from certpin.errors import StoreError
from certpin_watch.store.tables.reports import LISTENED

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from certpin_watch.snapshot import Watch

PAUSE = 180  # seconds without a note after which nobody was there
_EVERY = 60.0  # seconds between two notes

_log = logging.getLogger("certpin.watch.collector")


async def run(watch: Watch, stop: asyncio.Event, takes: Callable[[], bool]) -> None:
    """Note it each minute, and once more at the end; not where the intake ``takes`` none."""
    while True:
        try:
            if takes():
                await asyncio.to_thread(_note, watch)
        except StoreError as exc:  # then nothing is taken, either
            _log.warning("that reports are taken is not written down: %s", exc.reason)
        if stop.is_set():
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _EVERY)


def _note(watch: Watch) -> None:
    with watch.store.write() as connection:
        note(connection, int(watch.clock().timestamp()))


def note(connection: Connection, now: int) -> None:
    """Somebody takes reports at this moment."""
    column = LISTENED.c.until
    # What is noted of the future is not so yet: the clock was set back.
    for name in ("since", "until"):
        ahead = LISTENED.c[name] > now
        connection.execute(update(LISTENED).where(ahead).values(**{name: now}))
    last = connection.execute(
        select(LISTENED).where(column >= now - PAUSE).order_by(column.desc()).limit(1)
    ).first()
    if last is None:
        connection.execute(insert(LISTENED).values(since=now, until=now))
    else:
        connection.execute(update(LISTENED).where(LISTENED.c.id == last.id).values(until=now))
