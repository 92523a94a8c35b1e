"""Decide which sightings to believe, so that no alert fires because of a single probe.

Pure. A change is believed when two probes in a row saw it. If a server alternates between two
chains (a name that resolves to several servers, one of which is wrong), both are believed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from certpin_watch.store.probes import SightingRow

CONFIRMED = 2  # probes in a row that must see the same


@dataclass(frozen=True, slots=True)
class ConfirmedSighting:
    """A sighting that is believed.

    ``before`` is the last row before it with another verified chain, None if there is none.
    ``changed_at`` is when this chain was first seen after that, in seconds since 1970.
    """

    row: SightingRow
    before: SightingRow | None = None
    changed_at: int = 0


def debounce(rows: Iterable[SightingRow], recent: int) -> tuple[ConfirmedSighting, ...]:
    """Return the sightings of one location and address that are believed.

    Args:
        rows: all rows of the location and address.
        recent: in seconds since 1970. Alternating content counts only if it was seen since then.

    Returns:
        Nothing if no two probes in a row saw the same.
    """
    runs = _runs(sorted(rows, key=lambda row: (row.first_at, row.last_at)))
    believed: dict[tuple[object, ...], ConfirmedSighting] = {}
    for at, run in enumerate(runs):
        if _is_believed(runs, at, recent):
            believed.pop(_content(run), None)
            believed[_content(run)] = _with_before(runs, at)
    return tuple(believed.values())


def _content(row: SightingRow) -> tuple[object, ...]:
    """Return the values that count as a change. The reason why a server is unreachable doesn't."""
    if row.outcome == "unreachable":
        return (row.outcome,)
    return row.outcome, row.served, row.verified, row.code


def _runs(rows: Sequence[SightingRow]) -> list[SightingRow]:
    """Join rows in a row that have the same content."""
    runs: list[SightingRow] = []
    for row in rows:
        if runs and _content(runs[-1]) == _content(row):
            count = runs[-1].count + row.count
            runs[-1] = replace(row, first_at=runs[-1].first_at, count=count)
        else:
            runs.append(row)
    return runs


def _is_believed(runs: list[SightingRow], at: int, recent: int) -> bool:
    """Return True for the last run that is confirmed, and for runs that come back repeatedly."""
    run = runs[at]
    again = [
        other for other in runs if _content(other) == _content(run) and other.last_at >= recent
    ]
    if len(again) >= CONFIRMED and run.last_at >= recent:
        return True
    if not runs[-1].latest:  # the name doesn't resolve to this address any more
        return False
    confirmed = [index for index, other in enumerate(runs) if other.count >= CONFIRMED]
    return bool(confirmed) and at == confirmed[-1]


def _with_before(runs: list[SightingRow], at: int) -> ConfirmedSighting:
    """Find the chain that a server had before. Times without an answer in between don't count."""
    run, changed = runs[at], runs[at].first_at
    for other in reversed(runs[:at]):
        if other.verified == run.verified:
            changed = other.first_at
        elif other.verified:
            return ConfirmedSighting(run, other, changed)
    return ConfirmedSighting(run, None, changed)
