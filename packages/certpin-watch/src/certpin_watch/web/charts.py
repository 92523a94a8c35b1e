"""Charts as SVG: stacked bars over time, sparklines, and timelines.

Positions are percentages of the width, so that a chart fills its page while its text keeps its
size. Each chart has a description in words for screen readers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin.support.markup import tag
from certpin_watch.web.pictures import (
    Span,
    anchor_at,
    frame,
    horizontal_line,
    label,
    percentage,
    plot_area,
    round_up,
    ticks,
    to_markup,
    vertical_line,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from xml.etree import ElementTree as ET

    from markupsafe import Markup

COLOURS = 6  # colours of series in the style sheet; the last one is for all others

_TOP, _FOOT = 18, 24  # space above and below bars, in CSS pixels
_GAP = 0.14  # between two bars, as a share of a slot
_LANES_TOP, _LANE, _PHASE, _LANES_FOOT = 26, 52, 20, 30  # heights of a timeline, in CSS pixels


@dataclass(frozen=True)
class BarSeries:
    """One series of stacked bars: its name, and its count in each time slot."""

    name: str
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """The sum of the counts of all time slots."""
        return sum(self.counts)


@dataclass(frozen=True)
class Bars:
    """The data of a chart with stacked bars, one bar for each time slot.

    Attributes:
        slots: the beginning of each slot.
        until: the end of the last slot.
        series: the series, the lowest one in the stack first.
        unit: the counted things, in the plural: reports, clients.
        shares: True to draw each series as a share of its bar instead of its number.
    """

    slots: tuple[datetime, ...]
    until: datetime
    series: tuple[BarSeries, ...]
    unit: str
    shares: bool = False

    @property
    def sums(self) -> tuple[int, ...]:
        """The sum of all series in each time slot: the heights of the bars."""
        counts = [series.counts for series in self.series]
        return tuple(map(sum, zip(*counts, strict=True))) if counts else (0,) * len(self.slots)


def stacked_bars(name: str, title: str, bars: Bars, height: int = 200) -> Markup:
    """Draw the bars as SVG.

    Args:
        name: an id that is unique on the page.
        title: the title, for screen readers.
        bars: the data.
        height: in CSS pixels.
    """
    span = Span(bars.slots[0], bars.until)
    plot = height - _TOP - _FOOT
    scale = 1 if bars.shares else round_up(max(bars.sums, default=0))
    parts = [
        horizontal_line(_TOP, "grid"),
        horizontal_line(_TOP + plot / 2, "grid"),
        *_axis(span, _TOP, height - _FOOT + 4, height - 7),
        plot_area(_TOP, plot, len(bars.slots), list(_bar_paths(bars, scale))),
        horizontal_line(_TOP + plot, "base"),
        *_value_labels(scale, plot, shares=bars.shares),
        *_tooltips(bars, plot),
    ]
    return frame(name, title, describe_bars(bars), height, parts)


def sparkline(counts: Sequence[int], text: str) -> Markup:
    """Draw small bars without an axis, to put beside a number; ``text`` describes them."""
    highest = max(counts, default=0) or 1
    steps = "".join(
        f"M{slot + _GAP:g} 24V{24 - max(22 * count / highest, 1.5):.1f}H{slot + 1 - _GAP:g}V24Z"
        for slot, count in enumerate(counts)
        if count
    )
    return to_markup(
        tag(
            "svg",
            tag("path", d=steps, class_="bar"),
            tag("line", x1="0", x2=str(len(counts)), y1="24", y2="24", class_="base"),
            class_="spark",
            viewBox=f"0 0 {len(counts)} 24",
            preserveAspectRatio="none",
            role="img",
            aria_label=text,
        )
    )


def describe_bars(bars: Bars) -> str:
    """Return the data of a bar chart in words, for screen readers."""
    sums = bars.sums
    if not any(sums):
        return f"No {bars.unit}."
    peak = max(range(len(sums)), key=sums.__getitem__)
    totals = ", ".join(f"{series.name} {series.total:,}" for series in bars.series if series.total)
    highest = f"Maximum: {sums[peak]:,}, from {bars.slots[peak]:%Y-%m-%d %H:%M} UTC on."
    return f"{sum(sums):,} {bars.unit}: {totals}. {highest}"


def colour(series: int) -> str:
    """Return the CSS class with the colour of the series at this index."""
    return f"s{min(series, COLOURS - 1) + 1}"


def _bar_paths(bars: Bars, scale: int) -> Iterator[ET.Element]:
    gap = 0.0 if bars.shares else _GAP  # shares of consecutive days form one area
    floor = [0.0] * len(bars.slots)
    sums = bars.sums
    for index, series in enumerate(bars.series):
        steps = []
        for slot, count in enumerate(series.counts):
            if count:
                whole = sums[slot] if bars.shares else scale
                low, high = floor[slot], floor[slot] + 100 * count / whole
                left, right = slot + gap / 2, slot + 1 - gap / 2
                steps.append(
                    f"M{left:g} {100 - low:.2f}V{100 - high:.2f}H{right:g}V{100 - low:.2f}Z"
                )
                floor[slot] = high
        yield tag("path", d="".join(steps), class_=colour(index))


def _tooltips(bars: Bars, plot: int) -> Iterator[ET.Element]:
    """Yield an invisible area over each bar, whose tooltip has the numbers of the bar."""
    width = 100 / len(bars.slots)
    for slot, (begin, total) in enumerate(zip(bars.slots, bars.sums, strict=True)):
        if total:
            lines = [f"{begin:%Y-%m-%d %H:%M}, {total:,} {bars.unit}"]
            lines += [
                f"{series.name}: {series.counts[slot]:,}"
                for series in reversed(bars.series)
                if series.counts[slot]
            ]
            yield tag(
                "rect",
                tag("title", "\n".join(lines)),
                x=percentage(slot * width),
                y=str(_TOP),
                width=percentage(width),
                height=str(plot),
                fill_opacity="0",
            )


def _value_labels(scale: int, plot: int, *, shares: bool) -> Iterator[ET.Element]:
    if shares:  # a second label would be on a coloured area
        yield label("100 %", 0, _TOP - 4)
        return
    for value, y in ((scale, _TOP), (scale / 2, _TOP + plot / 2)):
        if value == int(value):
            yield label(f"{int(value):,}", 0, y - 4)


def _axis(span: Span, top: float, bottom: float, labels: float) -> Iterator[ET.Element]:
    """Yield the grid lines of a time axis, from ``top`` to ``bottom``, and labels at ``labels``.

    All three are vertical positions in CSS pixels.
    """
    for index, (moment, text) in enumerate(ticks(span)):
        x = span.at(moment)
        yield vertical_line(x, top, bottom, "grid")
        yield label(text, x, labels, "minor" if index % 2 else "", anchor_at(x))


@dataclass(frozen=True)
class Phase:
    """A period in which a lane of a timeline is in one state, drawn as a bar.

    Attributes:
        state: the state, which selects the colour.
        since: when the period begins.
        until: when the period ends.
        predicted: True if the period is in the future.
        text: the text inside the bar; empty for the name of the state.
    """

    state: str
    since: datetime
    until: datetime
    predicted: bool = False
    text: str = ""

    @property
    def label(self) -> str:
        """The text inside the bar: ``text``, or the name of the state in capitals."""
        return self.text or self.state.upper()


@dataclass(frozen=True)
class Lane:
    """One row of a timeline: a name, such as a version, and its states over time."""

    name: str
    phases: tuple[Phase, ...]


@dataclass(frozen=True)
class Mark:
    """A vertical line at a time, over all lanes. ``kind`` is ``end`` or ``version``."""

    at: datetime
    text: str
    kind: str = "end"


@dataclass(frozen=True)
class Timeline:
    """The data of a timeline: the period that it shows, the current time, lanes and marks."""

    span: Span
    now: datetime
    lanes: tuple[Lane, ...]
    marks: tuple[Mark, ...] = ()


def timeline(name: str, title: str, content: Timeline) -> Markup:
    """Draw a timeline as SVG. ``name`` is an id that is unique on the page."""
    bottom = _LANES_TOP + _LANE * len(content.lanes)
    parts = [
        *_axis(content.span, _LANES_TOP, bottom + 4, bottom + 19),
        *_future_area(content, bottom),
    ]
    for index, lane in enumerate(content.lanes):
        parts += _lane(lane, content.span, _LANES_TOP + _LANE * index)
    parts += [*_marks(content, bottom), *_now_line(content, bottom)]
    return frame(name, title, describe_lanes(content.lanes), bottom + _LANES_FOOT, parts)


def describe_lanes(lanes: Sequence[Lane]) -> str:
    """Return the lanes of a timeline in words, for screen readers."""
    sentences = []
    for lane in lanes:
        phases = [f"{_describe(phase)} from {phase.since:%Y-%m-%d}" for phase in lane.phases]
        sentences.append(f"{lane.name}: {', '.join(phases) or 'nothing is known'}.")
    return " ".join(sentences)


def _describe(phase: Phase) -> str:
    name = phase.text.strip() or phase.state
    return f"{name} (predicted)" if phase.predicted else name


def _lane(lane: Lane, span: Span, y: int) -> Iterator[ET.Element]:
    yield label(lane.name, 0, y + 15, "strong")
    for phase in lane.phases:
        if phase.until > span.since and phase.since < span.until:
            yield _phase(phase, span, y + 22)


def _phase(phase: Phase, span: Span, y: int) -> ET.Element:
    """Draw one period of a timeline as a bar with a text, ``y`` pixels from the top.

    The bar is a nested SVG, which cuts off text that does not fit.
    """
    left, right = span.at(phase.since), span.at(phase.until)
    kind = f"lane-{phase.state}" + (" predicted" if phase.predicted else "")
    # Half a pixel inside, so that the border is inside too.
    bar = tag("rect", x="0.5", y="0.5", width="100%", height=str(_PHASE), rx="4", class_=kind)
    title = f"{phase.label} from {phase.since:%Y-%m-%d} to {phase.until:%Y-%m-%d}"
    text = label(phase.label, 0, 14.5, f"in-{phase.state}")
    text.attrib["x"] = "7"
    text.attrib["font-size"] = "11"
    return tag(
        "svg",
        tag("title", title),
        bar,
        text,
        x=percentage(left),
        y=str(y),
        width=percentage(max(right - left, 0.4)),  # a very short phase is still visible
        height=str(_PHASE + 1),
    )


def _future_area(content: Timeline, bottom: int) -> Iterator[ET.Element]:
    if not content.span.contains(content.now):
        return
    x = content.span.at(content.now)
    yield tag(
        "rect",
        x=percentage(x),
        y=str(_LANES_TOP),
        width=percentage(100 - x),
        height=str(bottom - _LANES_TOP),
        class_="ahead",
    )


def _now_line(content: Timeline, bottom: int) -> Iterator[ET.Element]:
    if content.span.contains(content.now):
        x = content.span.at(content.now)
        yield vertical_line(x, _LANES_TOP - 6, bottom, "now")
        yield label("now", x, _LANES_TOP - 10, "now", anchor_at(x))


def _marks(content: Timeline, bottom: int) -> Iterator[ET.Element]:
    for mark in content.marks:
        if content.span.contains(mark.at):
            x = content.span.at(mark.at)
            line = vertical_line(x, _LANES_TOP - 6, bottom, f"mark-{mark.kind}")
            line.append(tag("title", f"{mark.text}: {mark.at:%Y-%m-%d}"))
            yield line
            yield label(mark.text, x, _LANES_TOP - 10, f"mark-{mark.kind} minor", anchor_at(x))
