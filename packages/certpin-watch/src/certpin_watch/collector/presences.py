"""Clients that told which version they hold, counted by day; and bounded however much they differ.

A day has room for so many rows. When it is full, new ones say less: first nothing of the app, then
nothing but that somebody told something. Pin sets that nobody watches have a quarter of the room,
and versions that went out are always counted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import func, select, tuple_

from certpin_watch.collector.grouping import DAY, OTHER
from certpin_watch.collector.statements import PRESENCE_KEY, upsert_presences
from certpin_watch.store.tables.reports import PRESENCES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from certpin_watch.collector.received import Holding
    from certpin_watch.snapshot import WatchedSet

_PIECE = 100  # keys in one question: each has six values


class Key(NamedTuple):
    """What tells a row from the others; ``PRESENCE_KEY`` in this order."""

    day: int
    pin_set: str
    version: int
    app: str
    app_version: str
    platform: str


class Space(NamedTuple):
    """How many rows a day has; ``pin_sets`` are those that are watched, ``None`` for all.

    ``versions`` are those that went out, with their pin set: they are counted however full a day
    is. Whoever could have an old version counted as nothing would have the planner believe that
    nobody holds it any more.
    """

    rows: int = 10_000
    pin_sets: frozenset[str] | None = None
    versions: frozenset[tuple[str, int]] = frozenset()

    def of(self, pin_set: str) -> int:
        """The part of it that this pin set may fill."""
        watched = self.pin_sets is None or pin_set in self.pin_sets
        return self.rows if watched else self.rows // 4


def space_of(sets: Iterable[WatchedSet], rows: int) -> Space:
    """That of the pin sets that are watched."""
    numbers: dict[str, set[int]] = {}
    for each in sets:
        own = {each.pins.version, *(version.number for version in each.field.versions)}
        numbers.setdefault(each.pins.name, set()).update(own)
    versions = frozenset((name, number) for name, own in numbers.items() for number in own)
    return Space(rows, frozenset(numbers) or None, versions)


def count_presences(
    connection: Connection, holdings: Iterable[tuple[Holding, int]], space: Space
) -> None:
    """Count clients, each with the moment at which it told."""
    told = Counter(
        Key(at - at % DAY, each.pin_set, each.version, each.app, each.app_version, each.platform)
        for each, at in holdings
    )
    days: dict[int, list[Key]] = defaultdict(list)
    for key in sorted(told):
        days[key.day].append(key)
    counts: Counter[Key] = Counter()
    for day, keys in days.items():
        for key, placed in _places(connection, day, keys, space).items():
            counts[placed] += told[key]
    rows = [{**key._asdict(), "count": counts[key]} for key in sorted(counts)]
    if rows:
        connection.execute(upsert_presences(connection), rows)


def folds(key: Key) -> tuple[Key, Key, Key]:
    """The same, saying less and less."""
    nameless = key._replace(app=OTHER, app_version=OTHER, platform=OTHER)
    return key, nameless, nameless._replace(pin_set=OTHER, version=0)


def _places(connection: Connection, day: int, keys: list[Key], space: Space) -> dict[Key, Key]:
    """For each the row that it is counted in. A row that is there takes all that belongs to it."""
    there = _there(connection, {each for key in keys for each in folds(key)})
    in_day = select(func.count()).where(PRESENCES.c.day == day)
    count = connection.execute(in_day).scalar_one()
    placed: dict[Key, Key] = {}
    for key in keys:
        most = space.of(key.pin_set)
        whole, nameless, last = folds(key)
        went_out = (key.pin_set, key.version) in space.versions
        if whole in there or count < most:
            found = whole
        else:
            found = nameless if went_out or nameless in there or count < 2 * most else last
        count += found not in there
        there.add(found)
        placed[key] = found
    return placed


def _there(connection: Connection, keys: set[Key]) -> set[Key]:
    columns = [PRESENCES.c[name] for name in PRESENCE_KEY]
    ordered, found = sorted(keys), set()
    for at in range(0, len(ordered), _PIECE):
        piece = [tuple(each) for each in ordered[at : at + _PIECE]]
        rows = connection.execute(select(*columns).where(tuple_(*columns).in_(piece)))
        found |= {Key(*row) for row in rows}
    return found
