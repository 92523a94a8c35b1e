"""Compute the daily sums of groups of reports that a test inserted, and check such sums."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select

from certpin_watch.store.migrations.steps import s0002
from certpin_watch.store.tables.columns import TRAITS
from certpin_watch.store.tables.observations import (
    DAY_PLACES,
    DAY_TRAITS,
    REPORT_GROUPS,
    REPORT_PLACES,
    REPORT_TRAITS,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from certpin_watch.store import Store

_DAY = 86_400


def add_up(connection: Connection) -> None:
    """Replace all daily sums by those that the collector would write for the stored groups of
    reports.
    """
    for table in (DAY_PLACES, DAY_TRAITS, REPORT_PLACES, REPORT_TRAITS):
        connection.execute(delete(table))
    s0002.add_up(connection)


def assert_sums_are_right(store: Store) -> None:
    """Check that the stored daily sums are those of the stored groups of reports, without any extra
    sum.
    """
    with store.read() as connection:
        groups = list(connection.execute(select(REPORT_GROUPS)).mappings())
        traits = {row.id: row for row in connection.execute(select(REPORT_TRAITS))}
        places = {row.id: row for row in connection.execute(select(REPORT_PLACES))}
        by_trait = list(connection.execute(select(DAY_TRAITS)).mappings())
        by_place = list(connection.execute(select(DAY_PLACES)).mappings())
    expected: dict[tuple[Any, ...], list[Any]] = {}
    totals: Counter[tuple[Any, ...]] = Counter()
    for row in groups:
        day, said = row["hour"] - row["hour"] % _DAY, tuple(row[name] for name in TRAITS)
        totals[day, said] += row["count"]
        sums = expected.setdefault((day, row["host"], bytes(row["served"]), said), [0, [], []])
        sums[0] += row["count"]
        sums[1].append(row["first_at"])
        sums[2].append(row["last_at"])

    def said_by(number: int) -> tuple[Any, ...]:
        return tuple(traits[number]._mapping[name] for name in TRAITS)

    assert {(row["day"], said_by(row["trait"])): row["count"] for row in by_trait} == totals
    found = {}
    for row in by_place:
        place = places[row["place"]]
        key = (row["day"], place.host, bytes(place.served), said_by(row["trait"]))
        found[key] = (row["count"], row["first_at"], row["last_at"])
    assert found == {
        key: (count, min(first), max(last)) for key, (count, first, last) in expected.items()
    }
