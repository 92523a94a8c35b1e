"""Property lists in XML (``man 5 plist``): those of Apple's platforms.

Binary property lists are refused: ``plutil -convert xml1`` turns them into these.
"""

from __future__ import annotations

import plistlib
from typing import TYPE_CHECKING, Any
from xml.parsers.expat import ExpatError

from certpin.errors import FormatError
from certpin.formats import _xml
from certpin.formats.header import header
from certpin.formats.shape import Shape

if TYPE_CHECKING:
    from certpin.formats.format import Source
    from certpin.pins import PinSet

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
    if _xml.parse(source, doctype=True).name != "plist":
        raise FormatError("it is not a property list")
    try:
        return Shape(plistlib.loads(source.text.encode(), fmt=plistlib.FMT_XML, dict_type=_Once))
    except FormatError:
        raise
    except _JUNK as exc:
        raise FormatError(f"it is not a property list: {exc}"[:200]) from exc
