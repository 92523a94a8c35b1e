"""Decide which probe results to believe, so that no alert fires because of a single probe.

Pure. A sighting is a period in which the probes of a location saw the same at an address. A change
is believed when two consecutive probes saw it. If a server alternates between two chains (a name
that resolves to several servers, one of which is wrong), both are believed.
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
    """A sighting that at least two probes confirm.

    ``before`` is the latest earlier row with another verified chain, None if there is none.
    ``changed_at`` is when the chain of ``row`` was first seen after that, in Unix seconds.
    """

    row: SightingRow
    before: SightingRow | None = None
    changed_at: int = 0


def debounce(rows: Iterable[SightingRow], recent: int) -> tuple[ConfirmedSighting, ...]:
    """Return the confirmed sightings of one location and address.

    Args:
        rows: all sightings of the location and address.
        recent: in Unix seconds. Alternating chains count only if they were seen since then.

    Returns:
        An empty tuple if no two consecutive probes saw the same.
    """
    runs = _runs(sorted(rows, key=lambda row: (row.first_at, row.last_at)))
    believed: dict[tuple[object, ...], ConfirmedSighting] = {}
    for at, run in enumerate(runs):
        if _is_believed(runs, at, recent):
            believed.pop(_content(run), None)
            believed[_content(run)] = _with_before(runs, at)
    return tuple(believed.values())


def _content(row: SightingRow) -> tuple[object, ...]:
    """Return the fields of a sighting whose change matters.

    They don't include the reason why a server is unreachable.
    """
    if row.outcome == "unreachable":
        return (row.outcome,)
    return row.outcome, row.served, row.verified, row.code


def _runs(rows: Sequence[SightingRow]) -> list[SightingRow]:
    """Join consecutive sightings that have the same content."""
    runs: list[SightingRow] = []
    for row in rows:
        if runs and _content(runs[-1]) == _content(row):
            count = runs[-1].count + row.count
            runs[-1] = replace(row, first_at=runs[-1].first_at, count=count)
        else:
            runs.append(row)
    return runs


def _is_believed(runs: list[SightingRow], at: int, recent: int) -> bool:
    """Return True if run ``at`` is the last confirmed one, or one that comes back repeatedly."""
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
    """Add the chain that the server had before to sighting ``at``. Skip unreachable periods."""
    run, changed = runs[at], runs[at].first_at
    for other in reversed(runs[:at]):
        if other.verified == run.verified:
            changed = other.first_at
        elif other.verified:
            return ConfirmedSighting(run, other, changed)
    return ConfirmedSighting(run, None, changed)
