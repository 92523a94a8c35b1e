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

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_STEPS = (
    *(count * _MINUTE for count in (1, 5, 10, 15, 30)),
    *(count * _HOUR for count in (1, 3, 6, 12)),
    *(count * _DAY for count in (1, 2, 7, 14)),
)
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120)
_LONGEST_MONTH = 31 * _DAY
_MONDAY = datetime(2001, 1, 1, tzinfo=UTC)  # steps of a week start on Mondays


def chain_picture(name: str, ders: tuple[bytes, ...], context: ChainContext) -> Markup:
    """Draw a chain: signatures, trust anchors, pins and flaws.

    Args:
        name: an id that is unique on the page.
        ders: the certificates that a server sent, leaf first.
        context: the host, its trust anchors and pins, and the time.
    """
    return to_markup(draw_chain(ders, context, name))


def frame(name: str, title: str, text: str, height: int, parts: Sequence[ET.Element]) -> Markup:
    """Return a picture that is as wide as its container.

    Args:
        name: an id that is unique on the page.
        title: the title, for screen readers.
        text: the content in words, for screen readers.
        height: in CSS pixels.
        parts: the elements.
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
    """Return an element as part of a page. ``write`` escapes its text."""
    return Markup(write(element))  # noqa: S704


def percentage(value: float) -> str:
    """Return a horizontal position or length as a CSS percentage."""
    return f"{value:.3f}".rstrip("0").rstrip(".") + "%"


def vertical_line(x: float, top: float, bottom: float, kind: str) -> ET.Element:
    """Return a vertical line of the CSS class ``kind``."""
    position = percentage(x)
    return tag("line", x1=position, x2=position, y1=f"{top:g}", y2=f"{bottom:g}", class_=kind)


def horizontal_line(y: float, kind: str) -> ET.Element:
    """Return a horizontal line over the whole width, of the CSS class ``kind``."""
    return tag("line", x1="0", x2="100%", y1=f"{y:g}", y2=f"{y:g}", class_=kind)


def label(text: str, x: float, y: float, kind: str = "", anchor: str = "start") -> ET.Element:
    """Return a text at a position, of the CSS class ``kind``."""
    return tag("text", text, x=percentage(x), y=f"{y:g}", class_=kind, text_anchor=anchor)


def anchor_at(x: float) -> str:
    """Return the alignment with which a text at ``x`` stays inside the picture."""
    return "start" if x < 8 else "end" if x > 92 else "middle"


def plot_area(
    top: float, height: float, columns: float, paths: Sequence[ET.Element], units: float = 100
) -> ET.Element:
    """Return an area with its own coordinates, stretched to the whole width.

    Args:
        top: position from the top, in CSS pixels.
        height: in CSS pixels.
        columns: width in the coordinates of ``paths``.
        paths: the elements.
        units: height in the coordinates of ``paths``.
    """
    return tag(
        "svg",
        *paths,
        x="0",
        y=f"{top:g}",
        width="100%",
        height=f"{height:g}",
        viewBox=f"0 0 {columns:g} {units:g}",
        preserveAspectRatio="none",
    )


@dataclass(frozen=True)
class Span:
    """The time that a picture shows."""

    since: datetime
    until: datetime

    @property
    def length(self) -> timedelta:
        """The duration, at least a second."""
        return max(self.until - self.since, timedelta(seconds=1))

    def at(self, moment: datetime) -> float:
        """Return the position of a time in percent; times outside are at the nearest edge."""
        return min(100.0, max(0.0, 100 * ((moment - self.since) / self.length)))

    def contains(self, moment: datetime) -> bool:
        """Return True if a time is inside."""
        return self.since <= moment <= self.until


def ticks(span: Span, maximum: int = 6) -> tuple[tuple[datetime, str], ...]:
    """Return round times inside a span with their labels, at most ``maximum``."""
    for step in _STEPS:
        if span.length / step <= maximum:
            form = "%H:%M" if step < _DAY else "%d %b"
            return tuple((moment, f"{moment:{form}}") for moment in _regular_ticks(span, step))
    for months in _MONTHS:
        if span.length / (months * _LONGEST_MONTH) <= maximum:
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
    """Return a round number that is at least ``value`` and not much larger."""
    size = 1
    while True:
        for factor in (1, 2, 3, 4, 6, 8):
            if factor * size >= value:
                return factor * size
        size *= 10
