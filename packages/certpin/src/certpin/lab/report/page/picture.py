"""The drawing of a chain as SVG inside the page. The page's style sheet colours it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.report.drawing import WIDTH, Arrow, Box
from certpin.lab.report.page.markup import PATHS, tag

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

    from certpin.lab.report.drawing import Drawing, Heading, Line

_SIGNS = {"trusted": "anchor", "pinned": "pin", "flaw": "cross"}
_LEFT, _INDENT, _MIDDLE = 18, 22, 40


def picture(drawing: Drawing, name: str) -> ET.Element:
    """Return the picture. ``name`` is unique within the page."""
    height = str(drawing.height)
    svg = tag(
        "svg",
        tag("title", "Who signed whom", id=f"{name}-title"),
        tag("desc", drawing.words, id=f"{name}-words"),
        class_="chain",
        viewBox=f"0 0 {WIDTH} {height}",
        width=str(WIDTH),
        height=height,
        role="img",
        aria_labelledby=f"{name}-title {name}-words",
    )
    for part in drawing.parts:
        svg.append(_part(part))
    return svg


def _part(part: Box | Arrow | Heading) -> ET.Element:
    if isinstance(part, Box):
        return _box(part)
    if isinstance(part, Arrow):
        return _arrow(part)
    return _text(part.text, 2, part.top + 20, "heading")


def _box(box: Box) -> ET.Element:
    frame = tag(
        "rect",
        x="1",
        y=str(box.top),
        width=str(WIDTH - 2),
        height=str(box.height),
        rx="8",
        class_="frame",
    )
    group = tag("g", frame, class_=f"box {box.kind}")
    if box.kind in {"trusted", "flawed"}:
        edge = tag("rect", x="1", y=str(box.top + 8), width="4", height=str(box.height - 16))
        edge.attrib["class"] = "edge"
        group.append(edge)
    for number, line in enumerate(box.lines):
        for element in _line(line, box.baseline(number)):
            group.append(element)
    return group


def _line(line: Line, baseline: int) -> list[ET.Element]:
    sign = _SIGNS.get(line.kind)
    text = _text(line.text, _LEFT + (_INDENT if sign else 0), baseline, line.kind)
    if not sign or not line.first:
        return [text]
    drawn = tag("path", d=PATHS[sign], class_=f"line {line.kind}")
    drawn.attrib["transform"] = f"translate({_LEFT} {baseline - 12.5})"
    return [drawn, text]


def _arrow(arrow: Arrow) -> ET.Element:
    x, tip = _MIDDLE, arrow.bottom
    return tag(
        "g",
        tag("path", d=f"M{x} {arrow.top}V{tip - 6}", class_="shaft"),
        tag("path", d=f"M{x - 5} {tip - 8}L{x} {tip}L{x + 5} {tip - 8}Z", class_="tip"),
        _text(arrow.label, x + 16, (arrow.top + tip) // 2 + 5, "label"),
        class_=f"arrow {arrow.kind}",
    )


def _text(text: str, x: int, y: int, kind: str) -> ET.Element:
    return tag("text", text, x=str(x), y=str(y), class_=kind)
