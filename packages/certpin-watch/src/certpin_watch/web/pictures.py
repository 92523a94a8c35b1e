"""Building blocks of SVG pictures (frame, lines, text, axes), and the picture of a chain."""

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
    """Draw a certificate chain as SVG: signatures, trust anchors, pins and flaws.

    Args:
        name: an id that is unique on the page.
        ders: the certificates that a server sent, leaf first.
        context: the host, its trust anchors and pins, and the time.
    """
    return to_markup(draw_chain(ders, context, name))


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
    """Return an SVG element as text for a page; its texts are escaped."""
    return Markup(write(element))  # noqa: S704


def percentage(value: float) -> str:
    """Return a horizontal position or length from 0 to 100 as a CSS percentage."""
    return f"{value:.3f}".rstrip("0").rstrip(".") + "%"


def vertical_line(x: float, top: float, bottom: float, kind: str) -> ET.Element:
    """Return a vertical SVG line at ``x`` percent; ``kind`` is its CSS class.

    It reaches from ``top`` to ``bottom``, in CSS pixels from the top of the picture.
    """
    position = percentage(x)
    return tag("line", x1=position, x2=position, y1=f"{top:g}", y2=f"{bottom:g}", class_=kind)


def horizontal_line(y: float, kind: str) -> ET.Element:
    """Return an SVG line over the whole width at ``y`` pixels; ``kind`` is its CSS class."""
    return tag("line", x1="0", x2="100%", y1=f"{y:g}", y2=f"{y:g}", class_=kind)


def label(text: str, x: float, y: float, kind: str = "", anchor: str = "start") -> ET.Element:
    """Return a text at ``x`` percent and ``y`` pixels as SVG; ``kind`` is its CSS class."""
    return tag("text", text, x=percentage(x), y=f"{y:g}", class_=kind, text_anchor=anchor)


def anchor_at(x: float) -> str:
    """Return the alignment (``text-anchor``) that keeps a text at ``x`` percent visible."""
    return "start" if x < 8 else "end" if x > 92 else "middle"


def plot_area(
    top: float, height: float, columns: float, paths: Sequence[ET.Element], units: float = 100
) -> ET.Element:
    """Return an SVG area with its own coordinate system, stretched to the whole width.

    Args:
        top: position from the top, in CSS pixels.
        height: in CSS pixels.
        columns: the width in the area's coordinates.
        paths: the SVG elements inside.
        units: the height in the area's coordinates.
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
    """The period on the time axis of a picture."""

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
        """Return True if a time is in the period."""
        return self.since <= moment <= self.until


def ticks(span: Span, maximum: int = 6) -> tuple[tuple[datetime, str], ...]:
    """Return at most ``maximum`` round times in a period with their labels, for a time axis."""
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
    """Return a round number that is at least ``value`` and little larger, for a vertical axis."""
    size = 1
    while True:
        for factor in (1, 2, 3, 4, 6, 8):
            if factor * size >= value:
                return factor * size
        size *= 10
