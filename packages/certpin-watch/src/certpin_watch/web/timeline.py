"""Timelines as SVG: a row (lane) for each version or pin, with its states as bars over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin.support.markup import tag
from certpin_watch.web.charts import (
    Span,
    anchor_at,
    frame,
    label,
    percentage,
    time_axis,
    vertical_line,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from xml.etree import ElementTree as ET

    from markupsafe import Markup

_LANES_TOP, _LANE, _PHASE, _LANES_FOOT = 26, 52, 20, 30  # heights of a timeline, in CSS pixels


@dataclass(frozen=True)
class Phase:
    """A period in which a version or pin is in one state, drawn as a bar in its row of a timeline.

    Attributes:
        state: the state, which selects the colour.
        since: when the period begins.
        until: when the period ends.
        predicted: True if the period is in the future.
        text: the text inside the bar. If it is empty, the bar shows the name of the state.
    """

    state: str
    since: datetime
    until: datetime
    predicted: bool = False
    text: str = ""

    @property
    def label(self) -> str:
        """The text inside the bar: ``text``, or else the name of the state in capitals."""
        return self.text or self.state.upper()


@dataclass(frozen=True)
class Lane:
    """One row of a timeline: a name, such as a version, and the periods in which it has a state."""

    name: str
    phases: tuple[Phase, ...]


@dataclass(frozen=True)
class Mark:
    """A marked time on a timeline: a vertical line over all rows, with a text."""

    at: datetime
    text: str


@dataclass(frozen=True)
class Timeline:
    """The data of a timeline: the period that it shows, the current time, its rows and marks."""

    span: Span
    now: datetime
    lanes: tuple[Lane, ...]
    marks: tuple[Mark, ...] = ()


def timeline(name: str, title: str, content: Timeline) -> Markup:
    """Draw a timeline as SVG.

    Args:
        name: an id that is unique on the page.
        title: the title, for screen readers.
        content: the data.
    """
    bottom = _LANES_TOP + _LANE * len(content.lanes)
    parts = [
        *time_axis(content.span, _LANES_TOP, bottom + 4, bottom + 19),
        *_future_area(content, bottom),
    ]
    for index, lane in enumerate(content.lanes):
        parts += _lane(lane, content.span, _LANES_TOP + _LANE * index)
    parts += [*_marks(content, bottom), *_now_line(content, bottom)]
    return frame(name, title, describe_lanes(content.lanes), bottom + _LANES_FOOT, parts)


def describe_lanes(lanes: Sequence[Lane]) -> str:
    """Describe the lanes (rows) of a timeline and their states in words, for screen readers."""
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
    """Draw one period of a timeline as a bar with a text.

    The bar is a nested SVG, which cuts off text that does not fit.

    Args:
        phase: the period and its state.
        span: the period that the whole time axis shows.
        y: the position of the bar, in pixels from the top.
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
            line = vertical_line(x, _LANES_TOP - 6, bottom, "mark-end")
            line.append(tag("title", f"{mark.text}: {mark.at:%Y-%m-%d}"))
            yield line
            yield label(mark.text, x, _LANES_TOP - 10, "mark-end minor", anchor_at(x))
