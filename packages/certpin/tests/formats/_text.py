"""Helpers to export a pin set to a text, and to import a text, in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.errors import FormatError
from certpin.formats import FORMATS, ImportOptions, Source

if TYPE_CHECKING:
    from certpin.pins import PinSet


def exported(name: str, pins: PinSet) -> str:
    """Export a pin set to the format ``name``. Return the text of the first file."""
    return FORMATS[name].export(pins).files[0].text


def imported(name: str, text: str, host: str = "", **beside: bytes) -> PinSet:
    """Import a text of the format ``name``, and return its pin set.

    Args:
        name: the format.
        text: the content of the file.
        host: the host of the pins, for formats that don't name it.
        beside: the other files, by name without extension.
    """

    def find(path: str) -> bytes:
        data = beside.get(path.partition(".")[0].replace("-", "_"))
        if data is None:
            raise FormatError(f"{path} is not there")
        return data

    return FORMATS[name].load(Source(text.encode(), find), ImportOptions(host=host))
