"""Charts as SVG: stacked bars over time, sparklines, and timelines.

Positions are percentages of the width, so that a chart fills its page while its text keeps its
size. Each chart describes itself in words for screen readers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin.support.markup import tag
from certpin_watch.web.pictures import (
    Span,
    across,
    anchor_at,
    drawn,
    frame,
    level,
    line,
    surface,
    text,
    ticks,
    top,
)

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
    return frame(name, title, describe_bars(bars), height, parts)


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


def describe_bars(bars: Bars) -> str:
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


_HEAD, _LANE, _BAR, _LANES_FOOT = 26, 52, 20, 30


@dataclass(frozen=True)
class Stay:
    """A state and how long it lasted. ``foretold``: it has not come yet.

    ``words`` stand there instead of the state's own name.
    """

    state: str
    since: datetime
    until: datetime
    foretold: bool = False
    words: str = ""

    @property
    def name(self) -> str:
        """What is written into it."""
        return self.words or self.state.upper()


@dataclass(frozen=True)
class Lane:
    """One thing over time."""

    name: str
    stays: tuple[Stay, ...]


@dataclass(frozen=True)
class Mark:
    """A moment that concerns every lane. ``kind`` is ``end`` or ``version``."""

    at: datetime
    words: str
    kind: str = "end"


@dataclass(frozen=True)
class Timeline:
    """Everything that is drawn."""

    span: Span
    now: datetime
    lanes: tuple[Lane, ...]
    marks: tuple[Mark, ...] = ()


def timeline(name: str, title: str, what: Timeline) -> Markup:
    """The picture: a lane below the other, now as a line through them all."""
    bottom = _HEAD + _LANE * len(what.lanes)
    parts = [*_lane_axis(what.span, bottom), *_ahead(what, bottom)]
    for number, lane in enumerate(what.lanes):
        parts += _lane(lane, what.span, _HEAD + _LANE * number)
    parts += [*_marks(what, bottom), *_now(what, bottom)]
    return frame(name, title, describe_lanes(what.lanes), bottom + _LANES_FOOT, parts)


def describe_lanes(lanes: Sequence[Lane]) -> str:
    """What the lanes show, for whoever cannot see them."""
    said = []
    for lane in lanes:
        stays = [f"{_said(stay)} from {stay.since:%Y-%m-%d}" for stay in lane.stays]
        said.append(f"{lane.name}: {', '.join(stays) or 'nothing is known'}.")
    return " ".join(said)


def _said(stay: Stay) -> str:
    name = stay.words.strip() or stay.state
    return f"foretold {name}" if stay.foretold else name


def _lane(lane: Lane, span: Span, at: int) -> Iterator[ET.Element]:
    yield text(lane.name, 0, at + 15, "strong")
    for stay in lane.stays:
        if stay.until > span.since and stay.since < span.until:
            yield _stay(stay, span, at + 22)


def _stay(stay: Stay, span: Span, at: int) -> ET.Element:
    """A picture within the picture, so that a word that does not fit is cut off."""
    left, right = span.at(stay.since), span.at(stay.until)
    kind = f"lane-{stay.state}" + (" foretold" if stay.foretold else "")
    # A bar is drawn inside its lines; one of a moment can still be seen.
    bar = tag("rect", x="0.5", y="0.5", width="100%", height=str(_BAR), rx="4", class_=kind)
    title = f"{stay.name} from {stay.since:%Y-%m-%d} to {stay.until:%Y-%m-%d}"
    inside = text(stay.name, 0, 14.5, f"in-{stay.state}")
    inside.attrib["x"] = "7"
    inside.attrib["font-size"] = "11"
    return tag(
        "svg",
        tag("title", title),
        bar,
        inside,
        x=across(left),
        y=str(at),
        width=across(max(right - left, 0.4)),
        height=str(_BAR + 1),
    )


def _lane_axis(span: Span, bottom: int) -> Iterator[ET.Element]:
    for number, (moment, words) in enumerate(ticks(span)):
        x = span.at(moment)
        yield line(x, _HEAD, bottom + 4, "grid")
        yield text(words, x, bottom + 19, "minor" if number % 2 else "", anchor_at(x))


def _ahead(what: Timeline, bottom: int) -> Iterator[ET.Element]:
    if not what.span.holds(what.now):
        return
    x = what.span.at(what.now)
    yield tag(
        "rect",
        x=across(x),
        y=str(_HEAD),
        width=across(100 - x),
        height=str(bottom - _HEAD),
        class_="ahead",
    )


def _now(what: Timeline, bottom: int) -> Iterator[ET.Element]:
    if what.span.holds(what.now):
        x = what.span.at(what.now)
        yield line(x, _HEAD - 6, bottom, "now")
        yield text("now", x, _HEAD - 10, "now", anchor_at(x))


def _marks(what: Timeline, bottom: int) -> Iterator[ET.Element]:
    for mark in what.marks:
        if what.span.holds(mark.at):
            x = what.span.at(mark.at)
            drawn = line(x, _HEAD - 6, bottom, f"mark-{mark.kind}")
            drawn.append(tag("title", f"{mark.words}: {mark.at:%Y-%m-%d}"))
            yield drawn
            yield text(mark.words, x, _HEAD - 10, f"mark-{mark.kind} minor", anchor_at(x))
