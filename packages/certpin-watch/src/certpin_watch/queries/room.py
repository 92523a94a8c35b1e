"""How much room is left for what reports bring, and what is used up."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
from sqlalchemy import func, select

from certpin_watch.queries.base import DAY, HOUR, seconds
from certpin_watch.store import budget
from certpin_watch.store.tables.chains import CHAINS
from certpin_watch.store.tables.reports import REPORT_GROUPS

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Table

    from certpin_watch.collector.settings import Settings


class Part(msgspec.Struct, frozen=True):
    """Something that there is so much of: ``used`` of ``most``."""

    name: str
    used: int
    most: int

    @property
    def is_full(self) -> bool:
        """Whether hardly anything more has room, but for what hosts have for themselves."""
        return 20 * self.used >= 19 * self.most


class Room(NamedTuple):
    """What reports brought, and may bring.

    ``bytes`` are those of chains that nobody but clients has met, and of samples; ``chains`` such
    chains of the last hour; ``groups`` those of this hour and of this day.
    """

    bytes: Part
    chains: Part
    groups_hour: Part
    groups_day: Part

    @property
    def parts(self) -> tuple[Part, ...]:
        """All of them."""
        return tuple(self)

    @property
    def full(self) -> tuple[str, ...]:
        """The names of those that are nearly used up."""
        return tuple(each.name for each in self.parts if each.is_full)


def room(connection: Connection, now: datetime, settings: Settings) -> Room:
    """As it is now."""
    at = seconds(now)
    chains, groups = CHAINS.c, REPORT_GROUPS.c
    # Not what is far ahead, as in `collector`: it came while the clock ran ahead.
    lately = chains.first_at.between(at - HOUR + 1, at + HOUR)
    new = _count(connection, CHAINS, lately, chains.told > 0)
    hour, today = at - at % HOUR, at - at % DAY
    of_hour = _count(connection, REPORT_GROUPS, groups.hour == hour)
    of_day = _count(connection, REPORT_GROUPS, groups.hour >= today, groups.hour < today + DAY)
    # An eighth of the bytes is kept back for what watched hosts have for themselves.
    most = settings.budget - settings.budget // 8
    return Room(
        Part("bytes", budget.used_of(connection), most),
        Part("chains in an hour", new, settings.chains_per_hour),
        Part("groups in an hour", of_hour, settings.groups_per_hour),
        Part("groups in a day", of_day, settings.groups_per_day),
    )


def _count(connection: Connection, table: Table, *where: ColumnElement[bool]) -> int:
    counted = select(func.count()).select_from(table).where(*where)
    return int(connection.execute(counted).scalar_one())
