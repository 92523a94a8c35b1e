"""The header of exported files: the name and version of the pin set, and the export command."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from certpin.errors import FormatError

if TYPE_CHECKING:
    from certpin.pins import PinSet

_HEADER = re.compile(r'certpin pin set ("(?:[^"\\\n]|\\.){0,2000}"), version ([0-9]{1,19})(?!\d)')
# Characters that could end a comment or have a meaning in one: written as JSON escapes.
_LOADED = re.compile(r"[^A-Za-z0-9 ._,:@+=()!\"\\]")


def header(pins: PinSet, name: str) -> list[str]:
    """Return the lines of the header of an exported file, without comment marks.

    The header names the pin set ``pins``, its version and the format ``name``. No line contains
    characters that end a comment in any language.
    """
    return [
        f"certpin pin set {quoted(pins.name)}, version {pins.version}",
        f"Made by: certpin export {name}. Do not edit: change the pin file, and export it again.",
    ]


def commented(pins: PinSet, name: str, mark: str) -> str:
    """Return the header of an exported file as comments that begin with ``mark``.

    It names the pin set ``pins``, its version and the format ``name``.
    """
    return "".join(f"{mark} {line}\n" for line in header(pins, name))


def read_header(text: str) -> tuple[str, int]:
    """Return the name and version of the pin set in the header of an exported file.

    ``text`` is the content of the file. Return ``("", 1)`` if certpin did not write the file.

    Raises:
        FormatError: the header is damaged.
    """
    match = _HEADER.search(text)
    if not match:
        return "", 1
    try:
        return json.loads(match[1]), int(match[2])
    except ValueError as exc:
        raise FormatError("the header line is damaged", fix="export it again") from exc


def is_exported(text: str) -> bool:
    """Return True if a text has the header that certpin writes into exported files."""
    return _HEADER.search(text) is not None


def quoted(text: str) -> str:
    """Return a text as a JSON string that is safe in a comment of exported source code.

    In no language that certpin exports can the text end the string, or the comment around it.
    """
    return _LOADED.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(text))
