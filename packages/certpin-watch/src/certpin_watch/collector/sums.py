"""Reports added up by day, in the transaction that counts them in their groups.

What a sum is of is stored apart, once: what reports say of themselves (traits), and which chain
they met at which host (a place). A day has room for a number of sums, as an hour has for groups;
when it is full, what is new is added to sums that say less (``grouping.fold``), while the groups go
on to say all. The verified chain is in no sum.
"""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import func, select

from certpin_watch.collector.grouping import DAY, fold, own_step, step_of
from certpin_watch.collector.statements import (
    execute_many,
    upsert_day_places,
    upsert_day_traits,
    upsert_places,
    upsert_traits,
)
from certpin_watch.store.tables.columns import TRAITS
from certpin_watch.store.tables.reports import DAY_PLACES, REPORT_PLACES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection

    from certpin_watch.collector.grouping import Group, Room

    Spot = tuple[int, int]  # the numbers of a place and of traits

_FULL = 4  # hours' worth of groups that a day has room for

_encode = msgspec.msgpack.Encoder().encode


def trait_key(values: tuple[Any, ...]) -> bytes:
    """The SHA-256 of what reports say of themselves, in the order of ``TRAITS``."""
    return sha256(_encode(values)).digest()


def find_spots(
    connection: Connection, groups: Mapping[bytes, Group], room: Room
) -> dict[bytes, Spot]:
    """Where the reports of each group are added up, by its key; what is new is written down."""
    folded = dict(_folded(connection, groups, room))
    said = {key: tuple(getattr(each, name) for name in TRAITS) for key, each in folded.items()}
    met = {key: (each.host, each.served) for key, each in folded.items()}
    days = {key: _day(groups[key].hour) for key in sorted(groups, key=lambda key: groups[key].hour)}
    traits = _traits(connection, {said[key]: day for key, day in days.items()})
    places = _places(connection, {met[key]: day for key, day in days.items()})
    return {key: (places[met[key]], traits[said[key]]) for key in groups}


def add_up(
    connection: Connection, rows: Mapping[bytes, dict[str, Any]], spots: Mapping[bytes, Spot]
) -> None:
    """Add what was counted in groups to the sums of its day; ``rows`` are those of the groups."""
    by_trait: Counter[tuple[int, int]] = Counter()
    by_place: dict[tuple[int, int, int], dict[str, Any]] = {}
    for key, row in rows.items():
        (place, trait), day = spots[key], _day(row["hour"])
        by_trait[day, trait] += row["count"]
        told = {name: row[name] for name in ("count", "first_at", "last_at")}
        at = (place, day, trait)
        by_place[at] = _both(by_place[at], told) if at in by_place else told
    execute_many(
        connection,
        upsert_day_traits,
        [
            {"day": day, "trait": trait, "count": by_trait[day, trait]}
            for day, trait in sorted(by_trait)
        ],
    )
    execute_many(
        connection,
        upsert_day_places,
        [
            {"place": place, "day": day, "trait": trait, **by_place[place, day, trait]}
            for place, day, trait in sorted(by_place)
        ],
    )


def _folded(
    connection: Connection, groups: Mapping[bytes, Group], room: Room
) -> Iterable[tuple[bytes, Group]]:
    """As with the groups of an hour: the fuller, the less what is new says; and each part of what
    is watched has some for itself.
    """
    counts: dict[int, int] = {}
    shares: dict[int, Counter[str]] = {}
    for key, group in groups.items():
        day = _day(group.hour)
        if day not in counts:
            of_day = select(func.count()).where(DAY_PLACES.c.day == day)
            counts[day] = connection.execute(of_day).scalar_one()
        step = step_of(counts[day], room.of(_FULL * room.groups, group.host))
        if step and day not in shares:
            shares[day] = _shares(connection, day, room)
        if step:
            step = own_step(step, group.host, shares[day], room)
            shares[day][room.share(group.host)] += 1
        yield key, fold(group, step, room)
        counts[day] += 1


def _shares(connection: Connection, day: int, room: Room) -> Counter[str]:
    """How many sums each part of what is watched has on this day."""
    places = REPORT_PLACES.c
    rows = (
        select(places.host, func.count())
        .join(DAY_PLACES, DAY_PLACES.c.place == places.id)
        .where(DAY_PLACES.c.day == day)
        .group_by(places.host)
    )
    found: Counter[str] = Counter()
    for host, number in connection.execute(rows):
        found[room.share(host)] += number
    return found


def _traits(
    connection: Connection, wanted: Mapping[tuple[Any, ...], int]
) -> dict[tuple[Any, ...], int]:
    """The number of each combination. In the order of their keys: see ``counting``."""
    keys = {trait_key(values): values for values in wanted}
    rows = [
        {"key": key, "seen": wanted[keys[key]], **dict(zip(TRAITS, keys[key], strict=True))}
        for key in sorted(keys)
    ]
    found = connection.execute(upsert_traits(connection), rows)
    return {keys[bytes(row.key)]: row.id for row in found}


def _places(
    connection: Connection, wanted: Mapping[tuple[str, bytes], int]
) -> dict[tuple[str, bytes], int]:
    rows = [{"host": each[0], "served": each[1], "seen": wanted[each]} for each in sorted(wanted)]
    found = connection.execute(upsert_places(connection), rows)
    return {(row.host, bytes(row.served)): row.id for row in found}


def _both(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {
        "count": one["count"] + other["count"],
        "first_at": min(one["first_at"], other["first_at"]),
        "last_at": max(one["last_at"], other["last_at"]),
    }


def _day(at: int) -> int:
    return at - at % DAY
