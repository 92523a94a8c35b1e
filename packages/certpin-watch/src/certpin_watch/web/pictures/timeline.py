"""Lanes over time: how long each thing was in which state, what is foretold, and what ends when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin.support.markup import tag
from certpin_watch.web.pictures.frame import across, anchor_at, frame, line, text
from certpin_watch.web.pictures.scale import Span, ticks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from xml.etree import ElementTree as ET

    from markupsafe import Markup

_HEAD, _LANE, _BAR, _FOOT = 26, 52, 20, 30


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
    parts = [*_axis(what.span, bottom), *_ahead(what, bottom)]
    for number, lane in enumerate(what.lanes):
        parts += _lane(lane, what.span, _HEAD + _LANE * number)
    parts += [*_marks(what, bottom), *_now(what, bottom)]
    return frame(name, title, in_words(what.lanes), bottom + _FOOT, parts)


def in_words(lanes: Sequence[Lane]) -> str:
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


def _axis(span: Span, bottom: int) -> Iterator[ET.Element]:
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
