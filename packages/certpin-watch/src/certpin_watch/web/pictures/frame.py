"""What the pictures share: the frame with its words, lines, texts and surfaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from certpin.support.markup import tag, write

if TYPE_CHECKING:
    from collections.abc import Sequence
    from xml.etree import ElementTree as ET


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
