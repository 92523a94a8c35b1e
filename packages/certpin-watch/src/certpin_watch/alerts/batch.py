"""What goes into one message to a service that keeps incidents, such as PagerDuty.

1. An alert is in one incident there, from when it is told until it is over.
2. Many that are new at once are one incident together. It is over with the last of them.
3. What happened to several alerts of one incident is told once.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from certpin_watch.alerts.outbox import incidents, others_open
from certpin_watch.store.tables.alerts import ALERTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from certpin_watch.alerts.outbox import Row


@dataclass(frozen=True)
class Batch:
    """Rows that one message tells. Not ``needed``: they are done without any."""

    rows: tuple[Row, ...] = ()
    incident: str = ""
    needed: bool = True


def incident_batch(connection: Connection, rows: Sequence[Row], digest: int) -> Batch:
    """The next of what is due."""
    if not rows:
        return Batch()
    known = incidents(connection, rows)
    there = [each for each in rows if each.what != "resolved"]
    new = tuple(each for each in there if each.alert not in known)
    if len({each.alert for each in new}) > digest:
        return Batch(new, incident_key(_keys(connection, new)))
    first = rows[0]
    incident = known.get(first.alert) or incident_key(_keys(connection, [first]))
    if first.what == "resolved":
        return Batch((first,), incident, not others_open(connection, first, incident))
    same = tuple(each for each in there if known.get(each.alert) == incident)
    return Batch(same or (first,), incident)


def incident_key(keys: Sequence[str]) -> str:
    """The key of an incident of these alerts: the same one every time."""
    whole = "\n\n".join(sorted(keys))
    return f"certpin-{hashlib.sha256(whole.encode()).hexdigest()[:32]}"


def _keys(connection: Connection, rows: Sequence[Row]) -> list[str]:
    numbers = [each.alert for each in rows]
    return list(connection.execute(select(ALERTS.c.key).where(ALERTS.c.id.in_(numbers))).scalars())
