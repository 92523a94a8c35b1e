"""How retention of each kind of row ended last."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # msgspec reads the fields when it first encodes
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import select

from certpin_watch.queries.base import DAY, moment, moment_or_none, seconds
from certpin_watch.store.tables.sweeps import SWEEPS

if TYPE_CHECKING:
    from sqlalchemy import Connection

_LATE = 3 * DAY  # without an attempt, of which there is one an hour; after a leap none for a day


class Sweep(msgspec.Struct, frozen=True):
    """How retention of a kind ended when it was last tried.

    ``done_at`` is when everything past its time was last deleted; none if it never was. ``reason``
    is the word for why the last attempt failed (``store/failures.py``), ``late`` if there was no
    attempt for days, and empty if all is well.
    """

    kind: str
    tried_at: datetime
    done_at: datetime | None
    reason: str


def sweeps(connection: Connection, now: datetime) -> tuple[Sweep, ...]:
    """Return every kind that was ever tried, by name."""
    rows = connection.execute(select(SWEEPS).order_by(SWEEPS.c.kind))
    late = seconds(now) - _LATE
    return tuple(
        Sweep(
            row.kind,
            moment(row.tried_at),
            moment_or_none(row.done_at),
            row.reason or ("late" if row.tried_at < late else ""),
        )
        for row in rows
    )
