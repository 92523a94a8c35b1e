"""Chromium's ``.pins`` file, in which keys have names, and the comments of its JSON."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from certpin.errors import FormatError, InputError
from certpin.formats.table import pins_from
from certpin.pins import Pin
from certpin.x509.reader import read as read_any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.pins import PinSet

_TIMESTAMP = "PinsListTimestamp"
_NAME = re.compile(r"[A-Z][A-Za-z0-9_]*+")
# A string stays as it is, with or without its end; a comment goes. Possessive: one pass.
_COMMENT = re.compile(r'("(?:[^"\\\n]|\\.)*+"?+)|//[^\n]*+')


def assign(pins: PinSet) -> dict[Pin, str]:
    """A name for each key, in their order. They begin with a capital letter, as Chromium wants."""
    keys = dict.fromkeys(entry.pin for policy in pins.policies for entry in policy.pins)
    return {pin: f"CertpinKey{n}" for n, pin in enumerate(keys, 1)}


def write(names: dict[Pin, str]) -> str:
    """The file, without the date that the whole list has: it is your build's."""
    return "".join(f"\n{name}\n{pin}\n" for pin, name in names.items())


def read(data: bytes) -> dict[str, Pin]:
    """The keys by their names. Raises ``FormatError``."""
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError as exc:
        raise FormatError("the .pins file is not UTF-8 text") from exc
    rest = iter([line.strip() for line in lines if line.strip() and not line.startswith("#")])
    found: dict[str, Pin] = {}
    for name in rest:
        if not _NAME.fullmatch(name):
            raise FormatError(f"{name[:80]!r} is no name of a key in the .pins file")
        value = _value(rest)
        if name != _TIMESTAMP:
            found[name] = _pin(value)
    return found


def find(name: str, names: dict[str, Pin]) -> Pin:
    """The key of a name. Raises ``FormatError``."""
    if name not in names:
        raise FormatError(f"the .pins file has no key of the name {name[:80]!r}")
    return names[name]


def without_comments(text: str) -> str:
    """JSON without the comments that Chromium's has."""
    return _COMMENT.sub(lambda match: match[1] or "", text)


def _value(lines: Iterator[str]) -> str:
    """The lines up to the end of a value: one, or a block of PEM."""
    taken = [next(lines, "")]
    if taken[0].startswith("-----BEGIN "):
        for line in lines:
            taken.append(line)
            if line.startswith("-----END "):
                break
    return "\n".join(taken)


def _pin(value: str) -> Pin:
    """A digest, or the key of a certificate or of PEM."""
    if not value.startswith("-----"):
        [pin] = pins_from([value])
        return pin
    try:
        [item] = read_any(value.encode())
    except (InputError, ValueError) as exc:
        raise FormatError(f"a key of the .pins file cannot be read: {exc}"[:200]) from exc
    return Pin.of_key(item.spki_sha256)
