"""Bars over time, each a stack: how many of what, or which share of all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin.support.markup import tag
from certpin_watch.web.pictures.frame import (
    across,
    anchor_at,
    drawn,
    frame,
    level,
    line,
    surface,
    text,
)
from certpin_watch.web.pictures.scale import Span, ticks, top

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from xml.etree import ElementTree as ET

    from markupsafe import Markup

COLOURS = 6  # that the style sheet has; the last is for all the rest

_TOP, _FOOT = 18, 24
_GAP = 0.14  # of a bar's place


@dataclass(frozen=True)
class Series:
    """One thing that is counted: its name, and how many of it in each slot."""

    name: str
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """Of all slots."""
        return sum(self.counts)


@dataclass(frozen=True)
class Bars:
    """The slots, from left to right, and what is counted in them. ``unit``: reports, clients."""

    slots: tuple[datetime, ...]
    until: datetime
    series: tuple[Series, ...]
    unit: str
    shares: bool = False  # of each slot's sum, instead of numbers

    @property
    def sums(self) -> tuple[int, ...]:
        """Of each slot."""
        each = [series.counts for series in self.series]
        return tuple(map(sum, zip(*each, strict=True))) if each else (0,) * len(self.slots)


def stacked(name: str, title: str, bars: Bars, height: int = 200) -> Markup:
    """The picture. The first series is at the bottom."""
    span = Span(bars.slots[0], bars.until)
    plot = height - _TOP - _FOOT
    most = 1 if bars.shares else top(max(bars.sums, default=0))
    parts = [level(_TOP, "grid"), level(_TOP + plot / 2, "grid"), *_axis(span, height)]
    parts.append(surface(_TOP, plot, len(bars.slots), list(_paths(bars, most))))
    parts += [level(_TOP + plot, "base"), *_levels(most, plot, shares=bars.shares)]
    parts += _titles(bars, plot)
    return frame(name, title, in_words(bars), height, parts)


def sparkline(counts: Sequence[int], words: str) -> Markup:
    """Small bars without an axis, beside a number that says how many they are."""
    most = max(counts, default=0) or 1
    steps = "".join(
        f"M{at + _GAP:g} 24V{24 - max(22 * count / most, 1.5):.1f}H{at + 1 - _GAP:g}V24Z"
        for at, count in enumerate(counts)
        if count
    )
    return drawn(
        tag(
            "svg",
            tag("path", d=steps, class_="bar"),
            tag("line", x1="0", x2=str(len(counts)), y1="24", y2="24", class_="base"),
            class_="spark",
            viewBox=f"0 0 {len(counts)} 24",
            preserveAspectRatio="none",
            role="img",
            aria_label=words,
        )
    )


def in_words(bars: Bars) -> str:
    """What the bars show, for whoever cannot see them."""
    sums = bars.sums
    if not any(sums):
        return f"No {bars.unit}."
    at = max(range(len(sums)), key=sums.__getitem__)
    named = ", ".join(f"{each.name} {each.total:,}" for each in bars.series if each.total)
    said = f"{sum(sums):,} {bars.unit}: {named}. The most, {sums[at]:,},"
    return f"{said} from {bars.slots[at]:%Y-%m-%d %H:%M} UTC on."


def colour(number: int) -> str:
    """How the style sheet names the colour of a series."""
    return f"s{min(number, COLOURS - 1) + 1}"


def _paths(bars: Bars, most: int) -> Iterator[ET.Element]:
    gap = 0.0 if bars.shares else _GAP  # shares of following days are one surface
    floor = [0.0] * len(bars.slots)
    sums = bars.sums
    for number, series in enumerate(bars.series):
        steps = []
        for at, count in enumerate(series.counts):
            if count:
                whole = sums[at] if bars.shares else most
                low, high = floor[at], floor[at] + 100 * count / whole
                left, right = at + gap / 2, at + 1 - gap / 2
                steps.append(
                    f"M{left:g} {100 - low:.2f}V{100 - high:.2f}H{right:g}V{100 - low:.2f}Z"
                )
                floor[at] = high
        yield tag("path", d="".join(steps), class_=colour(number))


def _titles(bars: Bars, plot: int) -> Iterator[ET.Element]:
    """What stands behind each bar, for whoever points at it."""
    wide = 100 / len(bars.slots)
    for at, (slot, total) in enumerate(zip(bars.slots, bars.sums, strict=True)):
        if total:
            named = [f"{e.name}: {e.counts[at]:,}" for e in reversed(bars.series) if e.counts[at]]
            yield tag(
                "rect",
                tag("title", "\n".join([f"{slot:%Y-%m-%d %H:%M}, {total:,} {bars.unit}", *named])),
                x=across(at * wide),
                y=str(_TOP),
                width=across(wide),
                height=str(plot),
                fill_opacity="0",
            )


def _levels(most: int, plot: int, *, shares: bool) -> Iterator[ET.Element]:
    if shares:  # whatever stood further down would stand on colour
        yield text("100 %", 0, _TOP - 4)
        return
    for value, y in ((most, _TOP), (most / 2, _TOP + plot / 2)):
        if value == int(value):
            yield text(f"{int(value):,}", 0, y - 4)


def _axis(span: Span, height: int) -> Iterator[ET.Element]:
    for number, (moment, words) in enumerate(ticks(span)):
        x = span.at(moment)
        yield line(x, _TOP, height - _FOOT + 4, "grid")
        kind = "minor" if number % 2 else ""
        yield text(words, x, height - 7, kind, anchor_at(x))
