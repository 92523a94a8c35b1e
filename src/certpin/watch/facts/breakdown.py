"""How reports divide by several things at once, from one look at the groups."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from certpin.watch.facts.base import HOUR, seconds
from certpin.watch.facts.failures import _where
from certpin.watch.store.tables.reports import REPORT_GROUPS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from certpin.watch.facts.failures import Only, Range

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
    columns = [REPORT_GROUPS.c[name] for name in by]
    since = seconds(within.since) // HOUR * HOUR
    statement = select(*columns, func.sum(REPORT_GROUPS.c.count)).where(
        REPORT_GROUPS.c.hour >= since, REPORT_GROUPS.c.hour < seconds(within.until), *_where(only)
    )
    counts: dict[str, Counter[str]] = {name: Counter() for name in by}
    for *values, number in connection.execute(statement.group_by(*columns)):
        for name, value in zip(by, values, strict=True):
            counts[name][str(value)] += int(number)
    return {name: tuple(each.most_common(most)) for name, each in counts.items()}
