"""The lines that every exported file begins with: which pin set it is, and how to make it anew."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from certpin.errors import FormatError

if TYPE_CHECKING:
    from certpin.pins import PinSet

_HEADER = re.compile(r'certpin pin set ("(?:[^"\\\n]|\\.){0,2000}+"), version ([0-9]{1,19})(?!\d)')
# What ends a comment somewhere, or means something in one: written as an escape of JSON's.
_LOADED = re.compile(r"[^A-Za-z0-9 ._,:@+=()!\"\\]")


def header(pins: PinSet, name: str) -> list[str]:
    """The lines, without marks of a comment. They hold nothing that ends one anywhere."""
    return [
        f"certpin pin set {quoted(pins.name)}, version {pins.version}",
        f"Made by: certpin export {name}. Do not edit: change the pin file, and export it again.",
    ]


def commented(pins: PinSet, name: str, mark: str) -> str:
    """The header as lines of comments."""
    return "".join(f"{mark} {line}\n" for line in header(pins, name))


def read_header(text: str) -> tuple[str, int]:
    """Name and version of the pin set; an empty name and 1 where certpin did not write the file.

    Raises ``FormatError`` where they cannot be read.
    """
    match = _HEADER.search(text)
    if not match:
        return "", 1
    try:
        return json.loads(match[1]), int(match[2])
    except ValueError as exc:
        raise FormatError("its first line is damaged", fix="export it again") from exc


def quoted(text: str) -> str:
    """A text as JSON writes it, with nothing in it that could end a comment or a string."""
    return _LOADED.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(text))
