"""Read XML of unknown make, in one pass, with nothing in it that is fetched or expanded.

What is refused: entities (CVE-2003-1564: a few lines that expand to gigabytes; and those that read
other files), any DOCTYPE unless it is asked for, more depth and more elements than a list of pins
has. Namespaces are not resolved: ``tools:ignore`` is an attribute of that name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn
from xml.parsers import expat

from certpin.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.formats.format import Source

# Android's deepest file nests domain-configs a few deep; a property list of an app goes to ten.
MAX_DEPTH = 50
MAX_ELEMENTS = 100_000


@dataclass
class Element:
    """An element. ``line`` counts from 1."""

    name: str
    attributes: dict[str, str]
    line: int
    children: list[Element] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text directly in it, without the space around it."""
        return "".join(self.pieces).strip()

    def all(self, name: str) -> Iterator[Element]:
        """The children of a name."""
        return (child for child in self.children if child.name == name)

    def one(self, name: str) -> Element | None:
        """The child of a name. Raises ``FormatError`` where there are more."""
        first, *more = [*self.all(name), None]
        if any(more):
            raise FormatError(f"line {self.line}: {self.name} has more than one {name}")
        return first

    def flag(self, name: str, *, default: bool) -> bool:
        """An attribute that is true or false. Raises ``FormatError``."""
        value = self.attributes.get(name, str(default)).lower()
        if value not in {"true", "false"}:
            raise FormatError(f"line {self.line}: {name} must be true or false")
        return value == "true"


def parse(source: Source, *, doctype: bool = False) -> Element:
    """The root element. Raises ``FormatError``."""
    if "\0" in source.text:  # expat would go over to UTF-16 there
        raise FormatError("it is not XML: a byte of zero stands in it", fix="save it as UTF-8")
    return _Reader(doctype=doctype).read(source.text.encode())


class _Reader:
    def __init__(self, *, doctype: bool) -> None:
        # The encoding that the file names itself is overruled: Source.text knows that it is UTF-8.
        self._parser = expat.ParserCreate("UTF-8")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.EntityDeclHandler = _refuse_entity
        if not doctype:
            self._parser.StartDoctypeDeclHandler = _refuse_doctype
        self._open: list[Element] = []
        self._root: Element | None = None
        self._count = 0

    def read(self, data: bytes) -> Element:
        try:
            self._parser.Parse(data, True)
        except expat.ExpatError as exc:
            raise FormatError(f"it is not XML: {exc}") from exc
        assert self._root is not None  # noqa: S101 - expat refuses a file without an element
        return self._root

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        line = self._parser.CurrentLineNumber
        if len(self._open) >= MAX_DEPTH or self._count > MAX_ELEMENTS:
            raise FormatError(f"line {line}: too many elements, or too deep")
        element = Element(name, attributes, line)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self._root = element
        self._open.append(element)

    def _end(self, _name: str) -> None:
        self._open.pop()

    def _text(self, data: str) -> None:
        self._open[-1].pieces.append(data)


def _refuse_doctype(*_declaration: object) -> NoReturn:
    raise FormatError("it has a DOCTYPE", fix="remove it: nothing in such a file needs one")


def _refuse_entity(*_declaration: object) -> NoReturn:
    raise FormatError("it declares an entity", fix="write the text itself in its place")
