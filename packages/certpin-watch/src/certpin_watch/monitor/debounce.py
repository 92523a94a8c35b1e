"""Ignore changes that only one probe saw, so that a single odd probe causes no alert.

Pure. A sighting is a period in which the probes of a location saw the same at an address. A change
is believed if two consecutive probes saw it. If a server alternates between two chains (a name that
resolves to several servers, one of which is wrong), both are believed.
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
    """A period of equal probe results (``row``) that at least two probes confirm.

    ``before`` is the latest earlier period with another verified chain, None if there is none.
    ``changed_at`` is when the chain of ``row`` was first seen after that, in Unix seconds.
    """

    row: SightingRow
    before: SightingRow | None = None
    changed_at: int = 0


def debounce(rows: Iterable[SightingRow], recent: int) -> tuple[ConfirmedSighting, ...]:
    """Return the sightings of one location and address that at least two probes confirm.

    Args:
        rows: all sightings (periods of equal results) of the location and address.
        recent: in Unix seconds. Alternating chains count only if they were seen since then.

    Returns:
        The confirmed sightings; empty if no two consecutive probes saw the same.
    """
    runs = _runs(sorted(rows, key=lambda row: (row.first_at, row.last_at)))
    believed: dict[tuple[object, ...], ConfirmedSighting] = {}
    for at, run in enumerate(runs):
        if _is_believed(runs, at, recent):
            believed.pop(_content(run), None)
            believed[_content(run)] = _with_before(runs, at)
    return tuple(believed.values())


def _content(row: SightingRow) -> tuple[object, ...]:
    """Return the fields of a sighting that count as a change if they differ.

    The reason why a server is unreachable is not one of them.
    """
    if row.outcome == "unreachable":
        return (row.outcome,)
    return row.outcome, row.served, row.verified, row.code


def _runs(rows: Sequence[SightingRow]) -> list[SightingRow]:
    """Merge consecutive sightings whose results are equal (``_content``) into one."""
    runs: list[SightingRow] = []
    for row in rows:
        if runs and _content(runs[-1]) == _content(row):
            count = runs[-1].count + row.count
            runs[-1] = replace(row, first_at=runs[-1].first_at, count=count)
        else:
            runs.append(row)
    return runs


def _is_believed(runs: list[SightingRow], at: int, recent: int) -> bool:
    """Return True if the sighting ``runs[at]`` is the last confirmed one, or returns repeatedly."""
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
    """Return the sighting ``runs[at]``, and the last earlier one with another verified chain.

    Periods in which the server was unreachable are skipped.
    """
    run, changed = runs[at], runs[at].first_at
    for other in reversed(runs[:at]):
        if other.verified == run.verified:
            changed = other.first_at
        elif other.verified:
            return ConfirmedSighting(run, other, changed)
    return ConfirmedSighting(run, None, changed)
