"""Reports over time, from the facts to a picture and its table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from certpin_watch.web.pages.reasons import reason
from certpin_watch.web.pictures.stacked import COLOURS, Bars, Series, colour, stacked

if TYPE_CHECKING:
    from datetime import datetime

    from markupsafe import Markup

    from certpin_watch.store.queries import failures

_MOST_BARS = 60  # that can be told apart on a telephone


@dataclass(frozen=True)
class Drawn:
    """A picture, its legend, and the numbers behind it."""

    picture: Markup
    bars: Bars
    bucket: timedelta
    total: int

    @property
    def legend(self) -> list[tuple[str, str, int]]:
        """Colour, name and total of each series, from the top of the stack down."""
        pairs = enumerate(self.bars.series)
        return [(colour(at), each.name, each.total) for at, each in reversed(list(pairs))]


def drawn(name: str, title: str, found: failures.Series, until: datetime) -> Drawn:
    """The bars of a series, of several buckets each where there are too many."""
    together = -(-len(found.begins) // _MOST_BARS) if found.begins else 1
    size = timedelta(hours=1) if found.bucket == "hour" else timedelta(days=1)
    together = next((each for each in (1, 2, 3, 4, 6, 7, 12, 24, 28) if each >= together), together)
    slots = found.begins[::together] or (until - size,)
    lines = [(_named(found, line), line.counts) for line in found.lines]
    shown = [Series(each, _summed(counts, together)) for each, counts in _few(lines)]
    bars = Bars(slots, max(until, slots[-1] + together * size), tuple(shown), "reports")
    return Drawn(stacked(name, title, bars), bars, together * size, found.total)


def _few(lines: list[tuple[str, tuple[int, ...]]]) -> list[tuple[str, tuple[int, ...]]]:
    """As many as there are colours; the rest is one."""
    if len(lines) <= COLOURS:
        return lines
    rest = [counts for _, counts in lines[COLOURS - 1 :]]
    return [*lines[: COLOURS - 1], ("all others", tuple(map(sum, zip(*rest, strict=True))))]


def _summed(counts: tuple[int, ...], together: int) -> tuple[int, ...]:
    return tuple(sum(counts[at : at + together]) for at in range(0, len(counts), together))


def _named(found: failures.Series, line: failures.Line) -> str:
    if line.rest:
        return "all others"
    if found.by == "served":
        return f"chain {line.value[:12]}" if line.value else "no chain reported"
    if found.by == "version":
        return f"version {line.value}" if line.value != "0" else "version not told"
    return (reason(line.value) if found.by == "reason" else line.value) or "not told"
