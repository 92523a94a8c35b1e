"""Property lists in XML (``man 5 plist``): those of Apple's platforms.

Binary property lists are refused: ``plutil -convert xml1`` turns them into these.
"""

from __future__ import annotations

import plistlib
from typing import TYPE_CHECKING, Any
from xml.parsers.expat import ExpatError

from certpin.errors import FormatError
from certpin.formats import _xml
from certpin.formats.format import pass_over
from certpin.formats.header import header
from certpin.formats.shape import Shape

if TYPE_CHECKING:
    from certpin.formats.format import Source
    from certpin.pins import PinSet

# The elements of http://www.apple.com/DTDs/PropertyList-1.0.dtd. plistlib passes over all others.
_HOLDERS = {"plist", "dict", "array"}
_ELEMENTS = _HOLDERS | {"key", "string", "integer", "real", "date", "data", "true", "false"}
# What plistlib raises on elements in the wrong place and on texts that are no dates or numbers.
_JUNK = (ValueError, LookupError, AttributeError, TypeError, OverflowError, ExpatError)


class _Once(dict[str, Any]):
    """A dictionary that takes no name twice: of two entries for one host, one would be lost."""

    def __setitem__(self, name: str, value: object) -> None:
        if name in self:
            raise FormatError(f"{name[:80]!r} stands there twice", fix="make one of them")
        super().__setitem__(name, value)


def write(pins: PinSet, name: str, document: dict[str, Any]) -> str:
    """The text of a property list, with the header as a comment."""
    text = plistlib.dumps(document, sort_keys=False).decode()
    lines = "".join(f"  {line}\n" for line in header(pins, name))
    return text.replace("<plist", f"<!--\n{lines}-->\n<plist", 1)


def read(source: Source) -> Shape:
    """The value of a property list. Raises ``FormatError``."""
    if source.data.startswith(b"bplist"):
        raise FormatError("it is a binary property list", fix="plutil -convert xml1 FILE")
    root = _xml.parse(source, doctype=True)
    if root.name != "plist" or len(root.children) != 1:
        raise FormatError("it is not a property list: <plist> with one value in it")
    _check(root)
    try:
        return Shape(plistlib.loads(source.text.encode(), fmt=plistlib.FMT_XML, dict_type=_Once))
    except FormatError:
        raise
    except _JUNK as exc:
        raise FormatError(f"it is not a property list: {exc}"[:200]) from exc


def report_unread(root: Shape, *settings: str) -> None:
    """Warn of everything in a property list that was not read.

    The keys at the top that are no ``settings`` have one line: an ``Info.plist`` has many of them.
    """
    others = []
    for place in root.unread():
        if place.startswith(settings):
            pass_over(place)
        else:
            others.append(place)
    if others:
        pass_over(f"keys that are no pins: {', '.join(others)}")


def _check(element: _xml.Element) -> None:
    """Refuse what plistlib would drop in silence: unknown elements, and text in between."""
    if element.name not in _ELEMENTS:
        raise FormatError(
            f"line {element.line}: {element.name[:80]!r} is no element of a property list"
        )
    holds = element.name in _HOLDERS
    if (element.text and holds) or (element.children and not holds):
        raise FormatError(f"line {element.line}: {element.name} holds what it may not hold")
    for child in element.children:
        _check(child)
