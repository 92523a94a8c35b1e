"""Draw a chain as SVG: a box for each certificate, one below the other, the root at the top.

Positions are computed without I/O, in the units of the SVG. The picture has one column, which fits
the screen of a phone. ``certpin.support.markup`` has the colours.
"""

from __future__ import annotations

import textwrap
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin.lab.report.flaws import flaws
from certpin.support.markup import ICON_PATHS, tag
from certpin.x509.chain import Signature, chain_paths, short_name

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

    from certpin.lab.report.flaws import ChainContext
    from certpin.x509.chain import ChainPath, PathCertificate

WIDTH = 372
_GAP, _HEADING, _LINE, _PADDING = 46, 34, 19, 12
_LETTERS, _NAME_LETTERS = 38, 42  # letters of a line, at its font size
_LINES = 2  # lines of a name; a longer one is cut, and shown in full below the picture
_SIGNS = {"trusted": "anchor", "pinned": "pin", "flaw": "cross"}
_LEFT, _INDENT, _MIDDLE = 18, 22, 40


@dataclass(frozen=True)
class Line:
    """One line of text in the box of a certificate, in a picture of a chain.

    ``kind`` selects its style: name, role, pin, trusted, pinned or flaw.
    """

    kind: str
    text: str
    first: bool = True  # only the first part of a wrapped line has the icon


@dataclass(frozen=True)
class Box:
    """The box of a certificate in the picture of a chain, with its lines of text.

    ``top`` is the vertical position of the box, in units of the SVG. ``kind`` selects its style:
    ``trusted``, ``flawed``, ``plain``, or ``absent`` for an issuer that the server did not send.
    """

    top: int
    lines: tuple[Line, ...]
    kind: str

    @property
    def height(self) -> int:
        """The height of the box, in units of the SVG."""
        return 2 * _PADDING + _LINE * len(self.lines)

    def baseline(self, number: int) -> int:
        """Return the vertical position of the text in a line of the box, in units of the SVG.

        ``number`` is the number of the line, from 0.
        """
        return self.top + _PADDING + _LINE * number + 14


@dataclass(frozen=True)
class Arrow:
    """The arrow from an issuer to the certificate below it, in the picture of a chain.

    Its style shows if the issuer's signature in the certificate is valid.
    """

    top: int
    bottom: int
    kind: str  # good, bad or unknown
    label: str


@dataclass(frozen=True)
class Heading:
    """The caption above certificates that the server sent, but that the leaf doesn't need."""

    top: int
    text: str


@dataclass(frozen=True)
class Drawing:
    """The layout of a whole picture.

    Attributes:
        height: the height of the picture, in units of the SVG.
        parts: the boxes of certificates, the arrows between them, and the captions.
        words: the description of the picture for screen readers.
    """

    height: int
    parts: tuple[Box | Arrow | Heading, ...]
    words: str


def draw_chain(chain: tuple[bytes, ...], context: ChainContext, name: str) -> ET.Element:
    """Return a picture of a served chain as an SVG element.

    Args:
        chain: the certificates as DER, the leaf first.
        context: the host, roots, pins and time with which the certificates are checked for flaws.
        name: a name for the picture that is unique in the page, for HTML ids.
    """
    drawing = lay_out(chain, context)
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
        svg.append(_element(part))
    return svg


def lay_out(chain: tuple[bytes, ...], context: ChainContext) -> Drawing:
    """Return the layout of a chain's picture: the position of every box, arrow and heading.

    Args:
        chain: the certificates as DER, the leaf first.
        context: the host, roots, pins and time with which the certificates are checked for flaws.
    """
    at, parts, words = 2, list[Box | Arrow | Heading](), list[str]()
    for path in chain_paths(chain, context.trusted):
        if not path.on_path:
            parts.append(Heading(at, "Sent along, and not on the path from the server up:"))
            at += _HEADING
        drawn = _lay_out_path(path, context, at)
        parts += drawn
        at = _end(drawn) + 14
        words.append(_in_words(path, context))
    return Drawing(at - 12, tuple(parts), " ".join(words))


def _lay_out_path(path: ChainPath, context: ChainContext, at: int) -> list[Box | Arrow | Heading]:
    parts: list[Box | Arrow | Heading] = []
    top = path.certificates[-1]
    if top.above is Signature.MISSING:
        ghost = Box(at, _absent(top), "absent")
        parts += [ghost, _arrow(ghost, top)]
    for index in reversed(range(len(path.certificates))):
        place = path.certificates[index]
        start = parts[-1].bottom + 2 if parts and isinstance(parts[-1], Arrow) else at
        box = _box(
            place,
            context.pinned_role(place.facts),
            flaws(context, path, index),
            _role(path, index),
            start,
        )
        parts.append(box)
        if index:
            parts.append(_arrow(box, path.certificates[index - 1]))
    return parts


def _end(parts: list[Box | Arrow | Heading]) -> int:
    last = parts[-1]
    return last.top + last.height if isinstance(last, Box) else last.top


def _box(place: PathCertificate, pinned: str, found: tuple[str, ...], role: str, top: int) -> Box:
    lines = [*_folded("name", short_name(place.facts.subject)), Line("role", role)]
    lines.append(Line("pin", place.facts.pin or f"{place.facts.sha256[:47]}…"))
    if place.trusted:
        lines.append(Line("trusted", "trusted root"))
    if pinned:
        lines.append(Line("pinned", f"pinned ({pinned})"))
    for flaw in found:
        lines += _folded("flaw", flaw, max_lines=3)
    kind = "trusted" if place.trusted else "flawed" if found else "plain"
    return Box(top, tuple(lines), kind)


def _absent(place: PathCertificate) -> tuple[Line, ...]:
    name = _folded("name", short_name(place.facts.issuer))
    return (*name, Line("role", "not sent, and not trusted"))


def _arrow(above: Box, below: PathCertificate) -> Arrow:
    kind, label = {
        Signature.GOOD: ("good", "signs"),
        Signature.BAD: ("bad", "did NOT sign this"),
        Signature.UNCHECKED: ("unknown", "issuer by name; the signature can't be checked"),
    }.get(below.above, ("unknown", "issuer by name"))
    top = above.top + above.height
    return Arrow(top, top + _GAP - 2, kind, label)


def _role(path: ChainPath, index: int) -> str:
    place = path.certificates[index]
    if not path.on_path and not index:
        return "sent along"
    if not index:
        return "the server's certificate"
    kind = "root" if place.trusted or place.above is Signature.ITSELF else "authority"
    return kind if place.sent else f"{kind}, from the client's own store"


def _folded(kind: str, text: str, max_lines: int = _LINES) -> list[Line]:
    wide = any(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    letters = _NAME_LETTERS if kind == "name" else _LETTERS
    pieces = textwrap.wrap(text, letters // 2 if wide else letters) or [""]
    if len(pieces) > max_lines:
        pieces = [*pieces[: max_lines - 1], f"{pieces[max_lines - 1][:-1]}…"]
    return [Line(kind, piece, first=not number) for number, piece in enumerate(pieces)]


def _in_words(path: ChainPath, context: ChainContext) -> str:
    """Return a description of a chain in words, for screen readers of the picture.

    ``path`` is the certification path in the chain. ``context`` has the host, roots, pins and time
    with which the certificates are checked for flaws.
    """
    said = [] if path.on_path else ["Sent along:"]
    for index, place in enumerate(path.certificates):
        marks = [_role(path, index), *(["trusted"] if place.trusted else [])]
        pinned = context.pinned_role(place.facts)
        marks += [f"pinned as {pinned}"] if pinned else []
        marks += flaws(context, path, index)
        said.append(f"{short_name(place.facts.subject)} ({', '.join(marks)}): {place.above}.")
    return " ".join(said)


def _element(part: Box | Arrow | Heading) -> ET.Element:
    if isinstance(part, Box):
        return _box_element(part)
    if isinstance(part, Arrow):
        return _arrow_element(part)
    return _text(part.text, 2, part.top + 20, "heading")


def _box_element(box: Box) -> ET.Element:
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
        for element in _line_elements(line, box.baseline(number)):
            group.append(element)
    return group


def _line_elements(line: Line, baseline: int) -> list[ET.Element]:
    sign = _SIGNS.get(line.kind)
    text = _text(line.text, _LEFT + (_INDENT if sign else 0), baseline, line.kind)
    if not sign or not line.first:
        return [text]
    drawn = tag("path", d=ICON_PATHS[sign], class_=f"line {line.kind}")
    drawn.attrib["transform"] = f"translate({_LEFT} {baseline - 12.5})"
    return [drawn, text]


def _arrow_element(arrow: Arrow) -> ET.Element:
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
