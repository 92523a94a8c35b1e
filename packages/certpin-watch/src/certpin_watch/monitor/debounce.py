"""Decide which probe results to believe: a change counts when a second probe in a row saw it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CONFIRMED = 2  # probes in a row that saw the same


@dataclass(frozen=True, slots=True)
class Row:
    """What a vantage saw of one address from ``first_at`` to ``last_at``, in ``count`` probes."""

    host: str
    port: int
    vantage: str
    way: str
    edge: str
    address: str
    outcome: str
    served: bytes
    verified: bytes
    problem: str
    code: int
    first_at: int
    last_at: int
    count: int
    latest: bool

    @property
    def place(self) -> tuple[str, int, str, str, str]:
        """What tells it from what is seen elsewhere."""
        return self.host, self.port, self.way, self.vantage, self.edge

    @property
    def content(self) -> tuple[object, ...]:
        """What has to be the same. Whoever does not answer is as silent for any reason."""
        if self.outcome == "unreachable":
            return (self.outcome,)
        return self.outcome, self.served, self.verified, self.code


@dataclass(frozen=True, slots=True)
class Settled:
    """What is believed of a place; the last row before it that had another verified chain, and
    the moment at which this one's was first seen after that.
    """

    row: Row
    before: Row | None = None
    changed_at: int = 0


def settle(rows: Iterable[Row], recent: int) -> tuple[Settled, ...]:
    """What is believed of one place, from its rows; nothing, if nobody has looked twice.

    ``recent`` is the moment since which it counts that a server shows now this and now that.
    """
    runs = _runs(sorted(rows, key=lambda row: (row.first_at, row.last_at)))
    believed: dict[tuple[object, ...], Settled] = {}
    for at, run in enumerate(runs):
        if _believed(runs, at, recent):
            believed.pop(run.content, None)
            believed[run.content] = _with_before(runs, at)
    return tuple(believed.values())


def _runs(rows: Sequence[Row]) -> list[Row]:
    """Rows that follow each other and are the same in what counts, as one."""
    runs: list[Row] = []
    for row in rows:
        if runs and runs[-1].content == row.content:
            count = runs[-1].count + row.count
            runs[-1] = replace(row, first_at=runs[-1].first_at, count=count)
        else:
            runs.append(row)
    return runs


def _believed(runs: list[Row], at: int, recent: int) -> bool:
    """Whether a run is what goes on, or comes back again and again."""
    run = runs[at]
    again = [each for each in runs if each.content == run.content and each.last_at >= recent]
    if len(again) >= CONFIRMED and run.last_at >= recent:
        return True
    if not runs[-1].latest:  # the name does not lead there any more
        return False
    confirmed = [place for place, each in enumerate(runs) if each.count >= CONFIRMED]
    return bool(confirmed) and at == confirmed[-1]


def _with_before(runs: list[Row], at: int) -> Settled:
    """A run with what its server showed before; times without an answer in between do not count."""
    run, changed = runs[at], runs[at].first_at
    for each in reversed(runs[:at]):
        if each.verified == run.verified:
            changed = each.first_at
        elif each.verified:
            return Settled(run, each, changed)
    return Settled(run, None, changed)
