"""The layout of the picture of a chain: boxes below each other, roots on top.

Pure geometry in the units of the picture. One column, so that a telephone shows it whole.
"""

from __future__ import annotations

import textwrap
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin.lab.report.certificates import short_name
from certpin.lab.report.chain import Signature, strands
from certpin.lab.report.flaws import flaws

if TYPE_CHECKING:
    from certpin.lab.report.chain import Place, Scene, Strand

WIDTH = 372
_GAP, _HEADING, _LINE, _PADDING = 46, 34, 19, 12
_LETTERS, _NAME_LETTERS = 38, 42  # of a line, at the size of most text
_LINES = 2  # of a name; a longer one is cut, and shown in full below the picture


@dataclass(frozen=True)
class Line:
    """One line of a box. ``kind`` is name, role, pin, trusted, pinned or flaw."""

    kind: str
    text: str
    first: bool = True  # a folded line has its sign at the first part alone


@dataclass(frozen=True)
class Box:
    """A certificate. ``kind`` is trusted, flawed, absent or plain."""

    top: int
    lines: tuple[Line, ...]
    kind: str

    @property
    def height(self) -> int:
        """The height of the box."""
        return 2 * _PADDING + _LINE * len(self.lines)

    def baseline(self, number: int) -> int:
        """Return the vertical position of a line."""
        return self.top + _PADDING + _LINE * number + 14


@dataclass(frozen=True)
class Arrow:
    """The link from an issuer to its subject, and whether the signature is valid."""

    top: int
    bottom: int
    kind: str  # good, bad or unknown
    label: str


@dataclass(frozen=True)
class Heading:
    """The caption of a strand that is not on the path."""

    top: int
    text: str


@dataclass(frozen=True)
class Drawing:
    """The whole picture, and its description in words."""

    height: int
    parts: tuple[Box | Arrow | Heading, ...]
    words: str


def draw(chain: tuple[bytes, ...], scene: Scene) -> Drawing:
    """Lay out the picture of a served chain."""
    at, parts, words = 2, list[Box | Arrow | Heading](), list[str]()
    for strand in strands(chain, scene):
        if not strand.on_path:
            parts.append(Heading(at, "Sent along, and not on the path from the server up:"))
            at += _HEADING
        drawn = _strand(strand, scene, at)
        parts += drawn
        at = _end(drawn) + 14
        words.append(_in_words(strand, scene))
    return Drawing(at - 12, tuple(parts), " ".join(words))


def _strand(strand: Strand, scene: Scene, at: int) -> list[Box | Arrow | Heading]:
    parts: list[Box | Arrow | Heading] = []
    top = strand.places[-1]
    if top.above is Signature.MISSING:
        ghost = Box(at, _absent(top), "absent")
        parts += [ghost, _arrow(ghost, top)]
    for index in reversed(range(len(strand.places))):
        place = strand.places[index]
        start = parts[-1].bottom + 2 if parts and isinstance(parts[-1], Arrow) else at
        box = _box(place, flaws(scene, strand, index), _role(strand, index), start)
        parts.append(box)
        if index:
            parts.append(_arrow(box, strand.places[index - 1]))
    return parts


def _end(parts: list[Box | Arrow | Heading]) -> int:
    last = parts[-1]
    return last.top + last.height if isinstance(last, Box) else last.top


def _box(place: Place, found: tuple[str, ...], role: str, top: int) -> Box:
    lines = [*_folded("name", short_name(place.facts.subject)), Line("role", role)]
    lines.append(Line("pin", place.facts.pin or f"{place.facts.sha256[:47]}…"))
    if place.trusted:
        lines.append(Line("trusted", "trusted root"))
    if place.pinned:
        lines.append(Line("pinned", f"pinned ({place.pinned})"))
    for flaw in found:
        lines += _folded("flaw", flaw, most=3)
    kind = "trusted" if place.trusted else "flawed" if found else "plain"
    return Box(top, tuple(lines), kind)


def _absent(place: Place) -> tuple[Line, ...]:
    name = _folded("name", short_name(place.facts.issuer))
    return (*name, Line("role", "not sent, and not trusted"))


def _arrow(above: Box, below: Place) -> Arrow:
    kind, label = {
        Signature.GOOD: ("good", "signs"),
        Signature.BAD: ("bad", "did NOT sign this"),
        Signature.UNCHECKED: ("unknown", "signs, it says; this cannot be checked"),
    }.get(below.above, ("unknown", "signs, it says"))
    top = above.top + above.height
    return Arrow(top, top + _GAP - 2, kind, label)


def _role(strand: Strand, index: int) -> str:
    place = strand.places[index]
    if not strand.on_path and not index:
        return "sent along"
    if not index:
        return "the server's certificate"
    kind = "root" if place.trusted or place.above is Signature.ITSELF else "authority"
    return kind if place.sent else f"{kind}, from the client's own store"


def _folded(kind: str, text: str, most: int = _LINES) -> list[Line]:
    wide = any(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    letters = _NAME_LETTERS if kind == "name" else _LETTERS
    pieces = textwrap.wrap(text, letters // 2 if wide else letters) or [""]
    if len(pieces) > most:
        pieces = [*pieces[: most - 1], f"{pieces[most - 1][:-1]}…"]
    return [Line(kind, piece, first=not number) for number, piece in enumerate(pieces)]


def _in_words(strand: Strand, scene: Scene) -> str:
    """Describe the picture in words, for screen readers."""
    said = [] if strand.on_path else ["Sent along:"]
    for index, place in enumerate(strand.places):
        marks = [_role(strand, index), *(["trusted"] if place.trusted else [])]
        marks += [f"pinned as {place.pinned}"] if place.pinned else []
        marks += flaws(scene, strand, index)
        said.append(f"{short_name(place.facts.subject)} ({', '.join(marks)}): {place.above}.")
    return " ".join(said)
