"""Charts as SVG: stacked bars over time, sparklines, pictures of chains, and parts for charts.

Positions are percentages of the width, so that a chart fills its page while its text keeps its
size. Each chart has a description in words for screen readers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from markupsafe import Markup

from certpin.lab.report.picture import draw_chain
from certpin.support.markup import tag, write
from certpin_watch.html import noun_for, number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from xml.etree import ElementTree as ET

    from certpin.lab.report.flaws import ChainContext

COLOURS = 6  # colours of series in the style sheet; the last one is for all others

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_STEPS = (
    *(count * _MINUTE for count in (1, 5, 10, 15, 30)),
    *(count * _HOUR for count in (1, 3, 6, 12)),
    *(count * _DAY for count in (1, 2, 7, 14)),
)
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120)
_LONGEST_MONTH = 31 * _DAY
_MAX_STEPS = 6  # of an axis; it has one tick more if both of its ends are ticks
_MONDAY = datetime(2001, 1, 1, tzinfo=UTC)  # steps of a week start on Mondays

_TOP, _FOOT = 18, 24  # space above and below bars, in CSS pixels
_GAP = 0.14  # between two bars, as a share of a slot


@dataclass(frozen=True)
class BarSeries:
    """A series of a bar chart: its name, such as a reason, and its count in each time slot."""

    name: str
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """The sum of the series over all time slots."""
        return sum(self.counts)


@dataclass(frozen=True)
class Bars:
    """The data of a chart with stacked bars, one bar for each time slot.

    Attributes:
        slots: the beginning of each slot.
        until: the end of the last slot.
        series: the series, the lowest one in the stack first.
        unit: the noun for one of the counted things, such as "report" or "client".
        shares: True to draw each series as a percentage of its bar, so that all bars have the same
            height.
        units: the plural of ``unit``; empty if the plural only adds an s.
    """

    slots: tuple[datetime, ...]
    until: datetime
    series: tuple[BarSeries, ...]
    unit: str
    shares: bool = False
    units: str = ""

    @property
    def sums(self) -> tuple[int, ...]:
        """The total of all series in each time slot: the height of the bar."""
        counts = [series.counts for series in self.series]
        return tuple(map(sum, zip(*counts, strict=True))) if counts else (0,) * len(self.slots)

    def counted(self, count: int) -> str:
        """Return a count with the unit of the chart as text, such as ``1 report``."""
        return number(count, self.unit, self.units)


def stacked_bars(name: str, title: str, bars: Bars, height: int = 200) -> Markup:
    """Draw a bar chart as SVG, with several series stacked in each bar.

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
        *time_axis(span, _TOP, height - _FOOT + 4, height - 7),
        plot_area(_TOP, plot, len(bars.slots), list(_bar_paths(bars, scale))),
        horizontal_line(_TOP + plot, "base"),
        *_value_labels(scale, plot, shares=bars.shares),
        *_tooltips(bars, plot),
    ]
    return frame(name, title, describe_bars(bars), height, parts)


def sparkline(counts: Sequence[int], text: str) -> Markup:
    """Draw small bars without an axis as SVG, to put beside a number.

    ``counts`` are the heights of the bars. ``text`` describes them for screen readers.
    """
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


def chain_picture(name: str, ders: tuple[bytes, ...], context: ChainContext) -> Markup:
    """Draw a certificate chain as SVG, with its signatures, trust anchors, pins and mistakes.

    Args:
        name: an id that is unique on the page.
        ders: the certificates that a server sent, leaf first.
        context: the host, its trust anchors and pins, and the time.
    """
    return to_markup(draw_chain(ders, context, name))


def describe_bars(bars: Bars) -> str:
    """Return the data of a bar chart in words, for screen readers."""
    sums = bars.sums
    if not any(sums):
        return f"No {noun_for(0, bars.unit, bars.units)}."
    peak = max(range(len(sums)), key=sums.__getitem__)
    totals = ", ".join(f"{series.name} {series.total:,}" for series in bars.series if series.total)
    highest = f"Maximum: {sums[peak]:,}, from {bars.slots[peak]:%Y-%m-%d %H:%M} UTC on."
    return f"{bars.counted(sum(sums))}: {totals}. {highest}"


def colour(series: int) -> str:
    """Return the CSS class that colours a series.

    ``series`` is its index in the stack, 0 for the lowest. If there are more series than colours,
    the rest share the last colour.
    """
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
    """Yield an invisible SVG area over each bar, with the numbers of the bar as tooltip.

    ``plot`` is the height of the chart without its labels, in CSS pixels.
    """
    width = 100 / len(bars.slots)
    for slot, (begin, total) in enumerate(zip(bars.slots, bars.sums, strict=True)):
        if total:
            lines = [f"{begin:%Y-%m-%d %H:%M}, {bars.counted(total)}"]
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


def time_axis(span: Span, top: float, bottom: float, labels: float) -> Iterator[ET.Element]:
    """Yield the grid lines of a time axis and their labels, as SVG elements.

    Args:
        span: the period on the axis.
        top: the upper end of the lines, in CSS pixels from the top of the picture.
        bottom: the lower end of the lines, in CSS pixels.
        labels: the vertical position of the labels, in CSS pixels.
    """
    for index, (moment, text) in enumerate(ticks(span)):
        x = span.at(moment)
        yield vertical_line(x, top, bottom, "grid")
        yield label(text, x, labels, "minor" if index % 2 else "", anchor_at(x))


def frame(name: str, title: str, text: str, height: int, parts: Sequence[ET.Element]) -> Markup:
    """Combine elements into an SVG picture that is as wide as its container.

    Args:
        name: an id that is unique on the page.
        title: the title, for screen readers.
        text: a description of the picture in words, for screen readers.
        height: in CSS pixels.
        parts: the SVG elements inside.
    """
    return to_markup(
        tag(
            "svg",
            tag("title", title, id=f"{name}-title"),
            tag("desc", text, id=f"{name}-words"),
            *parts,
            class_="picture",
            width="100%",
            height=str(height),
            role="img",
            aria_labelledby=f"{name}-title {name}-words",
        )
    )


def to_markup(element: ET.Element) -> Markup:
    """Return an SVG element as HTML for a page; its texts are escaped."""
    return Markup(write(element))  # noqa: S704


def percentage(value: float) -> str:
    """Return a number from 0 to 100 as a CSS percentage, such as ``12.5%``."""
    return f"{value:.3f}".rstrip("0").rstrip(".") + "%"


def vertical_line(x: float, top: float, bottom: float, kind: str) -> ET.Element:
    """Return a vertical SVG line at ``x`` percent of the width; ``kind`` is its CSS class.

    The line reaches from ``top`` to ``bottom``, in CSS pixels from the top of the picture.
    """
    position = percentage(x)
    return tag("line", x1=position, x2=position, y1=f"{top:g}", y2=f"{bottom:g}", class_=kind)


def horizontal_line(y: float, kind: str) -> ET.Element:
    """Return an SVG line over the whole width, ``y`` pixels from the top.

    ``kind`` is its CSS class.
    """
    return tag("line", x1="0", x2="100%", y1=f"{y:g}", y2=f"{y:g}", class_=kind)


def label(text: str, x: float, y: float, kind: str = "", anchor: str = "start") -> ET.Element:
    """Return an SVG text at ``x`` percent of the width, ``y`` pixels from the top.

    ``kind`` is its CSS class, and ``anchor`` its alignment (``text-anchor``).
    """
    return tag("text", text, x=percentage(x), y=f"{y:g}", class_=kind, text_anchor=anchor)


def anchor_at(x: float) -> str:
    """Return the alignment (``text-anchor``) that keeps a label at ``x`` percent in the picture.

    It is "start" near the left edge, "end" near the right edge, else "middle".
    """
    return "start" if x < 8 else "end" if x > 92 else "middle"


def plot_area(top: float, height: float, columns: float, paths: Sequence[ET.Element]) -> ET.Element:
    """Return an SVG area with coordinates that don't depend on the size of the picture.

    The area is ``columns`` wide and 100 high in these coordinates. It is stretched to the whole
    width of the picture.

    Args:
        top: position from the top, in CSS pixels.
        height: in CSS pixels.
        columns: the width in the area's coordinates.
        paths: the SVG elements inside.
    """
    return tag(
        "svg",
        *paths,
        x="0",
        y=f"{top:g}",
        width="100%",
        height=f"{height:g}",
        viewBox=f"0 0 {columns:g} 100",
        preserveAspectRatio="none",
    )


@dataclass(frozen=True)
class Span:
    """The period that the time axis of a picture shows, with its start and end."""

    since: datetime
    until: datetime

    @property
    def length(self) -> timedelta:
        """The duration of the period, at least a second."""
        return max(self.until - self.since, timedelta(seconds=1))

    def at(self, moment: datetime) -> float:
        """Return the horizontal position of a time in percent, from 0 to 100.

        A time outside of the period gets the position of the nearest edge.
        """
        return min(100.0, max(0.0, 100 * ((moment - self.since) / self.length)))

    def contains(self, moment: datetime) -> bool:
        """Return True if a time is in the period, or equal to its start or end."""
        return self.since <= moment <= self.until


def ticks(span: Span) -> tuple[tuple[datetime, str], ...]:
    """Return at most seven round times within a period, as pairs with a label, for a time axis."""
    for step in _STEPS:
        if span.length / step <= _MAX_STEPS:
            form = "%H:%M" if step < _DAY else "%d %b"
            return tuple((moment, f"{moment:{form}}") for moment in _regular_ticks(span, step))
    for months in _MONTHS:
        if span.length / (months * _LONGEST_MONTH) <= _MAX_STEPS:
            break
    form = "%b %Y" if months < 12 else "%Y"
    return tuple((moment, f"{moment:{form}}") for moment in _monthly_ticks(span, months))


def _regular_ticks(span: Span, step: timedelta) -> Iterator[datetime]:
    moment = _MONDAY + -(-(span.since - _MONDAY) // step) * step
    while moment <= span.until:
        yield moment
        moment += step


def _monthly_ticks(span: Span, months: int) -> Iterator[datetime]:
    since = span.since
    month = (since.year * 12 + since.month - 1) // months * months
    while (moment := datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)) <= span.until:
        if moment >= since:
            yield moment
        month += months


def round_up(value: float) -> int:
    """Return the smallest round number that is at least ``value``, for the end of a chart's axis.

    A round number is 1, 2, 3, 4, 6 or 8 times a power of ten.
    """
    size = 1
    while True:
        for factor in (1, 2, 3, 4, 6, 8):
            if factor * size >= value:
                return factor * size
        size *= 10
