"""How reports divide by several things at once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from certpin_watch.queries import sums
from certpin_watch.queries.base import seconds
from certpin_watch.queries.met import chain_count
from certpin_watch.queries.reported import PLACES, parts_until, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from certpin_watch.queries.met import ChainCount
    from certpin_watch.queries.reported import Only, Parts, Range
    from certpin_watch.queries.sums import Met

MOST_VALUES = 8


def breakdown(
    connection: Connection,
    within: Range,
    by: Sequence[str],
    only: Only | None = None,
    *,
    most: int = MOST_VALUES,
) -> Mapping[str, tuple[tuple[str, int], ...]]:
    """For each of these, its largest values and how many reports had them."""
    read = parts_until(connection, seconds(within.since), seconds(within.until))
    met = sums.places(connection, read, only) if any(name in PLACES for name in by) else ()
    return _divided(connection, read, by, only, most, met)


def breakdown_and_chains(
    connection: Connection, within: Range, by: Sequence[str], only: Only | None, limit: int
) -> tuple[Mapping[str, tuple[tuple[str, int], ...]], tuple[ChainCount, ...]]:
    """The same, and the chains that clients met most often: from one look at all hosts."""
    read = parts_until(connection, seconds(within.since), seconds(within.until))
    met = sums.places(connection, read, only)
    split = _divided(connection, read, by, only, MOST_VALUES, met)
    return split, tuple(map(chain_count, met[:limit]))


def _divided(
    connection: Connection, read: Parts, by: Sequence[str], only: Only | None, most: int,
    met: Iterable[Met],
) -> Mapping[str, tuple[tuple[str, int], ...]]:  # fmt: skip
    of_traits = [name for name in by if name not in PLACES]
    counts = dict(sums.traits(connection, read, of_traits, only)) if of_traits else {}
    of_places = [name for name in by if name in PLACES]
    counts |= {name: Counter() for name in of_places}
    for each in met:
        for name in of_places:
            counts[name][text_of(getattr(each, name))] += each.number
    return {name: tuple(counts[name].most_common(most)) for name in by}
