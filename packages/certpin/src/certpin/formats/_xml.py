"""Parse untrusted XML in one pass, without fetching external files or expanding entities.

Refused are entities (CVE-2003-1564: a few lines expand to gigabytes; others read files), a DOCTYPE
unless allowed, and more depth or elements than any list of pins has. Namespaces are not resolved:
``tools:ignore`` is an attribute of that name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn
from xml.parsers import expat

from certpin.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.formats.parsed import Source

# Android nests domain-configs a few levels deep; property lists of apps reach about ten levels.
MAX_DEPTH = 50
MAX_ELEMENTS = 100_000

_SHOWN = 80  # characters of a name in a message
_TEXT = "#text"  # no attribute has this name
# Attributes without a meaning at run time: namespaces, and hints for build tools.
_NO_SETTINGS = ("xmlns", "tools:")


@dataclass
class Element:
    """An element of an XML file that is imported, with a record of which parts the import has read.

    The import warns about all parts that it has not read.

    Attributes:
        name: the name of the element.
        attributes: the values of its attributes, including inherited ones.
        line: the line of its start tag, from 1.
        children: the child elements.
        pieces: the parts of its text.
        used: the names of the attributes that the import has read, and ``#text`` if it has read the
            text.
        taken: True if the import has read the element itself.
        outer: the element from which it inherits attributes, or None.
    """

    name: str
    attributes: dict[str, str]
    line: int
    children: list[Element] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)  # names of the attributes that were read, and _TEXT
    taken: bool = False  # whether the element was read
    outer: Element | None = None  # the element whose attributes it inherits

    @property
    def text(self) -> str:
        """The element's direct text content, stripped. Marks it as read."""
        self.used.add(_TEXT)
        return "".join(self.pieces).strip()

    def get(self, name: str, default: str = "") -> str:
        """Return the value of the attribute ``name``, and mark it as read.

        If the attribute is missing, return ``default``.
        """
        self.used.add(name)
        return self.attributes.get(name, default)

    def agree(self, name: str, value: str) -> None:
        """Mark the attribute ``name`` as read if its value is ``value``.

        certpin supports only this value. An attribute with another value stays unread, so that the
        import warns about it.
        """
        if self.attributes.get(name, "").strip().lower() == value:
            self.used.add(name)

    def inherit(self, outer: Element) -> None:
        """Add to this element the attributes of ``outer`` that it lacks."""
        self.outer = outer
        self.attributes = outer.attributes | self.attributes

    def take(self) -> Element:
        """Mark this element as read, and return it. The import warns about unread parts of a file.

        Its own attributes and children stay unread. But if ``inherit`` copied attributes from an
        outer element, these attributes of the outer element, and that element itself, are marked as
        read.
        """
        self.taken = True
        if self.outer:
            self.outer.take().used |= {
                name
                for name, value in self.outer.attributes.items()
                if self.attributes[name] is value
            }
        return self

    def all(self, name: str) -> Iterator[Element]:
        """Yield the child elements with this name, and mark each one as read when it is yielded.

        The import warns about unread parts of a file.
        """
        return (child.take() for child in self.children if child.name == name)

    def one(self, name: str) -> Element | None:
        """Return the child element with this name and mark it as read; None if there is none.

        Raises ``FormatError`` if there are several.
        """
        found = self.find(name)
        return found.take() if found else None

    def find(self, name: str) -> Element | None:
        """Return the child element with this name; None if there is none.

        It is not marked as read, so the import still warns about it. Raises ``FormatError`` if
        there are several.
        """
        first, *more = [*(child for child in self.children if child.name == name), None]
        if any(more):
            raise FormatError(f"line {self.line}: {self.name} has more than one {name}")
        return first

    def unread(self) -> Iterator[tuple[Element, str]]:
        """Yield each part of this element that the import did not read, with a description.

        Parts are attributes, texts and child elements, at any depth.

        Yields:
            An element and a text for messages. The element is the unread child, or the element with
            the unread attribute or text.
        """
        for name in self.attributes:
            if name not in self.used and not name.startswith(_NO_SETTINGS):
                yield self, f"line {self.line}: {name[:_SHOWN]} of {self.name[:_SHOWN]}"
        if _TEXT not in self.used and "".join(self.pieces).strip():
            yield self, f"line {self.line}: the text of {self.name[:_SHOWN]}"
        for child in self.children:
            if child.taken:
                yield from child.unread()
            else:
                yield child, f"line {child.line}: {child.name[:_SHOWN]} of {self.name[:_SHOWN]}"

    def with_descendants(self) -> Iterator[Element]:
        """Yield this element and all elements inside it, without marking them as read.

        The import still warns about those that it doesn't read later.
        """
        yield self
        for child in self.children:
            yield from child.with_descendants()

    def flag(self, name: str, *, default: bool) -> bool:
        """Return the attribute ``name`` as a boolean, and mark it as read.

        Return ``default`` if it is missing. Raises ``FormatError`` if it is not true or false.
        """
        value = self.get(name, str(default)).lower()
        if value not in {"true", "false"}:
            raise FormatError(f"line {self.line}: {name} must be true or false")
        return value == "true"


def parse(source: Source, *, doctype: bool = False) -> Element:
    """Parse an XML file and return its root element. Raises ``FormatError``.

    ``doctype`` is True to allow a DOCTYPE, which property lists have. Entities are always refused.
    """
    if "\0" in source.text:  # expat would switch to UTF-16
        raise FormatError("the file is not XML: it contains a zero byte", fix="save it as UTF-8")
    return _Reader(doctype=doctype).read(source.text.encode())


class _Reader:
    def __init__(self, *, doctype: bool) -> None:
        # Overrides the encoding declared in the file, because Source.text has verified UTF-8.
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
            raise FormatError(f"the file is not XML: {exc}") from exc
        assert self._root is not None  # noqa: S101 - expat refuses a file without an element
        return self._root

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        line = self._parser.CurrentLineNumber
        if len(self._open) >= MAX_DEPTH or self._count > MAX_ELEMENTS:
            raise FormatError(f"line {line}: too many elements, or nested too deeply")
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
    raise FormatError("the file has a DOCTYPE", fix="remove it: such a file needs none")


def _refuse_entity(*_declaration: object) -> NoReturn:
    raise FormatError("the file declares an entity", fix="replace the entity by its text")
