"""Building blocks of SVG: the frame of a picture, lines, text, axes; and the picture of a chain."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from markupsafe import Markup

from certpin.lab.report.picture import draw_chain
from certpin.support.markup import tag, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from xml.etree import ElementTree as ET

    from certpin.lab.report.flaws import ChainContext


def frame(name: str, title: str, words: str, height: int, parts: Sequence[ET.Element]) -> Markup:
    """The picture. ``name`` is its own within the page; ``words`` are for whoever cannot see it."""
    return drawn(
        tag(
            "svg",
            tag("title", title, id=f"{name}-title"),
            tag("desc", words, id=f"{name}-words"),
            *parts,
            class_="picture",
            width="100%",
            height=str(height),
            role="img",
            aria_labelledby=f"{name}-title {name}-words",
        )
    )


def drawn(element: ET.Element) -> Markup:
    """The element as part of a page. Its texts were escaped when it was written."""
    return Markup(write(element))  # noqa: S704


def across(percent: float) -> str:
    """A place on the way from the left edge to the right one."""
    return f"{percent:.3f}".rstrip("0").rstrip(".") + "%"


def line(x: float, top: float, bottom: float, kind: str) -> ET.Element:
    """A line from above to below."""
    place = across(x)
    return tag("line", x1=place, x2=place, y1=f"{top:g}", y2=f"{bottom:g}", class_=kind)


def level(y: float, kind: str) -> ET.Element:
    """A line from left to right."""
    return tag("line", x1="0", x2="100%", y1=f"{y:g}", y2=f"{y:g}", class_=kind)


def text(words: str, x: float, y: float, kind: str = "", anchor: str = "start") -> ET.Element:
    """Words at a place."""
    return tag("text", words, x=across(x), y=f"{y:g}", class_=kind, text_anchor=anchor)


def anchor_at(x: float) -> str:
    """How words at a place across are set, so that none leave the picture."""
    return "start" if x < 8 else "end" if x > 92 else "middle"


def surface(
    top: float, height: float, width: float, paths: Sequence[ET.Element], tall: float = 100
) -> ET.Element:
    """A part of the picture with units of its own, stretched to the whole width."""
    return tag(
        "svg",
        *paths,
        x="0",
        y=f"{top:g}",
        width="100%",
        height=f"{height:g}",
        viewBox=f"0 0 {width:g} {tall:g}",
        preserveAspectRatio="none",
    )


_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_STEPS = (
    *(count * _MINUTE for count in (1, 5, 10, 15, 30)),
    *(count * _HOUR for count in (1, 3, 6, 12)),
    *(count * _DAY for count in (1, 2, 7, 14)),
)
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120)
_LONGEST_MONTH = 31 * _DAY
_MONDAY = datetime(2001, 1, 1, tzinfo=UTC)  # so that steps of weeks begin with one


@dataclass(frozen=True)
class Span:
    """From one moment to a later one."""

    since: datetime
    until: datetime

    @property
    def length(self) -> timedelta:
        """How long it is: never nothing."""
        return max(self.until - self.since, timedelta(seconds=1))

    def at(self, moment: datetime) -> float:
        """Where a moment is, in percent of the way; what is outside stands at the edge."""
        return min(100.0, max(0.0, 100 * ((moment - self.since) / self.length)))

    def holds(self, moment: datetime) -> bool:
        """Whether a moment is within it."""
        return self.since <= moment <= self.until


def ticks(span: Span, most: int = 6) -> tuple[tuple[datetime, str], ...]:
    """Round moments within a span, at most so many, and how they are written."""
    for step in _STEPS:
        if span.length / step <= most:
            form = "%H:%M" if step < _DAY else "%d %b"
            return tuple((each, f"{each:{form}}") for each in _regular(span, step))
    for months in _MONTHS:
        if span.length / (months * _LONGEST_MONTH) <= most:
            break
    form = "%b %Y" if months < 12 else "%Y"
    return tuple((each, f"{each:{form}}") for each in _monthly(span, months))


def top(most: float) -> int:
    """A round number that is not below the highest, and not far above it."""
    size = 1
    while True:
        for factor in (1, 2, 3, 4, 6, 8):
            if factor * size >= most:
                return factor * size
        size *= 10


def _regular(span: Span, step: timedelta) -> Iterator[datetime]:
    at = _MONDAY + -(-(span.since - _MONDAY) // step) * step
    while at <= span.until:
        yield at
        at += step


def _monthly(span: Span, months: int) -> Iterator[datetime]:
    since = span.since
    number = (since.year * 12 + since.month - 1) // months * months
    while (at := datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)) <= span.until:
        if at >= since:
            yield at
        number += months


def chain(name: str, ders: tuple[bytes, ...], scene: ChainContext) -> Markup:
    """What a server sent, leaf first. ``name`` is its own within the page."""
    return drawn(draw_chain(ders, scene, name))
