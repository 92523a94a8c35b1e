"""Apple's property lists in XML (``man 5 plist``).

A binary property list raises ``FormatError``; ``plutil -convert xml1`` converts them to XML.
"""

from __future__ import annotations

import plistlib
from typing import TYPE_CHECKING, Any
from xml.parsers.expat import ExpatError

from certpin.errors import FormatError
from certpin.formats import _xml
from certpin.formats.header import header
from certpin.formats.parsed import Shape, pass_over

if TYPE_CHECKING:
    from certpin.formats.parsed import Source
    from certpin.pins import PinSet

# The elements of http://www.apple.com/DTDs/PropertyList-1.0.dtd. plistlib ignores others.
_HOLDERS = {"plist", "dict", "array"}
_ELEMENTS = _HOLDERS | {"key", "string", "integer", "real", "date", "data", "true", "false"}
# plistlib raises these for misplaced elements and for invalid dates and numbers.
_JUNK = (ValueError, LookupError, AttributeError, TypeError, OverflowError, ExpatError)


class _Once(dict[str, Any]):
    """A dictionary for plistlib that raises an error if a key is set twice.

    A plain dictionary would silently lose one of the two values.
    """

    def __setitem__(self, name: str, value: object) -> None:
        if name in self:
            raise FormatError(f"{name[:80]!r} occurs twice", fix="merge the two entries")
        super().__setitem__(name, value)


def write(pins: PinSet, name: str, document: dict[str, Any]) -> str:
    """Return ``document`` as the text of an XML property list, with certpin's header as a comment.

    The header names the pin set ``pins`` and the format ``name``.
    """
    text = plistlib.dumps(document, sort_keys=False).decode()
    lines = "".join(f"  {line}\n" for line in header(pins, name))
    return text.replace("<plist", f"<!--\n{lines}-->\n<plist", 1)


def read(source: Source) -> Shape:
    """Parse an XML property list, and return its value, such as a dictionary, as a ``Shape``.

    A ``Shape`` checks the types of the values that are read, and records which ones were not read.
    ``source`` is the file. Raises ``FormatError`` if it is not an XML property list.
    """
    if source.data.startswith(b"bplist"):
        raise FormatError("the file is a binary property list", fix="plutil -convert xml1 FILE")
    root = _xml.parse(source, doctype=True)
    if root.name != "plist" or len(root.children) != 1:
        raise FormatError("the file is not a property list: <plist> must contain one value")
    _check(root)
    try:
        return Shape(plistlib.loads(source.text.encode(), fmt=plistlib.FMT_XML, dict_type=_Once))
    except FormatError:
        raise
    except _JUNK as exc:
        raise FormatError(f"the file is not a property list: {exc}"[:200]) from exc


def report_unread(root: Shape, settings: str, of_pins: str) -> None:
    """Issue a ``FormatWarning`` about all values of a property list that the import did not read.

    A value's *place* is its path of keys, such as ``TSKConfiguration.TSKPinnedDomains``.

    Args:
        root: the property list.
        settings: the start of the places of the format's settings. Each unread value at such a
            place gets its own warning. All other unread values share one warning, marked as
            unrelated to pins, because an ``Info.plist`` has many.
        of_pins: the start of the places of settings about pins. A warning about a value at another
            place is marked as unrelated to pins.
    """
    others = []
    for place in root.unread():
        if place.startswith(settings):
            pass_over(place, unrelated=not place.startswith(of_pins))
        else:
            others.append(place)
    if others:
        pass_over(f"keys unrelated to pins: {', '.join(others)}", unrelated=True)


def _check(element: _xml.Element) -> None:
    """Raise ``FormatError`` if an element of a property list is unknown, or has stray text.

    plistlib would ignore both. The elements inside ``element`` are checked too.
    """
    if element.name not in _ELEMENTS:
        raise FormatError(
            f"line {element.line}: property lists have no element {element.name[:80]!r}"
        )
    holds = element.name in _HOLDERS
    if (element.text and holds) or (element.children and not holds):
        raise FormatError(f"line {element.line}: {element.name} has invalid content")
    for child in element.children:
        _check(child)
