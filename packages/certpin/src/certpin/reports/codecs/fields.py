"""Shared by all codecs: the type ``Codec``, checked access to JSON fields, digests as identities.

An error names the field, and never repeats content of the document.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from certpin.errors import FormatError, HostError, PinParseError
from certpin.pins import HostPattern, Pin, normalise
from certpin.reports.codecs.pem import MAX_CHAIN, der_of
from certpin.x509 import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import NoReturn

    from certpin.reports.model import Presence, Report

# Maximum lengths, in characters unless noted.
MAX_TEXT = 255  # an Android package name may have as many
MAX_HOST = 255  # RFC 1035 section 2.3.4 allows 253, and an address may have brackets
MAX_PORT = 65535
MAX_PINS = 64  # pins; hosts with the header of RFC 7469 had three or four
MAX_VERSION = 2**63 - 1  # the largest integer of a database column

_MAX_PATTERN = MAX_HOST + 3  # with **. before the host
_MAX_PIN = 160  # cert-sha256 in hexadecimal with colons has 108
_DATE_LENGTH = 10  # 2026-11-25
_MAX_TIME = 40  # 2026-11-25T18:58:49.123456789+02:00 has 35


@dataclass(frozen=True)
class Codec:
    """One format of reports: how to recognise it, and functions to read and write it.

    Attributes:
        name: the ``kind`` of the reports in this format.
        content_type: the content type of its documents.
        recognises: returns True if a document has the shape of this format.
        decode: reads a recognised document; raises ``FormatError`` if a field is invalid.
        encode: writes a report, without fields that the format lacks; ``None`` if certpin never
            writes the format.
    """

    name: str
    content_type: str
    recognises: Callable[[object], bool]
    decode: Callable[[Any, datetime], tuple[Report | Presence, ...]]
    encode: Callable[[Report], dict[str, Any]] | None = None


def digest_of(kind: str, texts: Iterable[str], *chains: tuple[bytes, ...]) -> str:
    """Return an identity for a report that has no ID: a digest of the fields that never change.

    A repeated upload has the same digest. So have two clients with equal reports: a caller that
    counts reports must add the sender. ``texts`` have no unprintable characters.
    """
    # No text contains the separator, and each certificate is preceded by its length, so different
    # reports never hash the same bytes.
    hashed = sha256("\0".join(texts).encode())
    for chain in chains:
        hashed.update(b"\0chain")
        for der in chain:
            hashed.update(len(der).to_bytes(4, "big"))
            hashed.update(der)
    return f"{kind}:{hashed.hexdigest()}"


class Fields:
    """Reads the fields of one JSON object. A field that is ``null`` counts as missing.

    Every method raises ``FormatError`` if the field is invalid. ``where`` precedes the name of the
    field in its message.
    """

    __slots__ = ("_data", "_where")

    def __init__(self, data: Mapping[str, Any], where: str = "") -> None:
        self._data = data
        self._where = where

    def text(self, name: str, maximum: int = MAX_TEXT) -> str:
        """Return a text field with unprintable characters escaped; empty if it is missing.

        They are not refused: the odd name of a carrier must not hide an attack on its network.
        """
        value = self._data.get(name)
        if value is None:
            return ""
        if type(value) is not str:
            self.refuse(name, "this is not a text")
        if len(value) > maximum:
            self.refuse(name, f"this has more than {maximum} characters")
        return value if value.isprintable() else printable(value)[:maximum]

    def number(self, name: str, maximum: int, default: int = 0) -> int:
        """Return an integer field from 0 to ``maximum``; ``default`` if it is missing."""
        value = self._data.get(name, default)
        if value is None:
            return default
        if type(value) is not int:
            self.refuse(name, "this is not a whole number")
        if not 0 <= value <= maximum:
            self.refuse(name, f"this is not from 0 to {maximum}")
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a boolean field.

        It may also be 1 or 0, which some JSON libraries of phones write.
        """
        value = self._data.get(name, default)
        if value is None:
            return default
        if value not in (True, False):
            self.refuse(name, "this is neither true nor false")
        return bool(value)

    def one_of(self, name: str, known: Mapping[str, Any]) -> str:
        """Return a text field, which must have one of the keys of ``known`` as its value."""
        value = self._data.get(name)
        if type(value) is not str or value not in known:
            self.refuse(name, f"this is none of {', '.join(known)}")
        return value

    def time(self, name: str) -> datetime:
        """Return a time field in RFC 3339 format, as UTC. Its offset may lack the colon."""
        value = self._data.get(name)
        if type(value) is not str:
            self.refuse(name, "this is not a time")
        time = None if len(value) > _MAX_TIME else _parse_time(value)
        if time is None:
            self.refuse(name, "this is not a time with a time zone in the format of RFC 3339")
        return time

    def expiry(self, name: str) -> datetime | None:
        """Return a field with a time, or with a date, which means its first second in UTC.

        Return ``None`` if the field is missing or empty.
        """
        value = self._data.get(name)
        if value is None or value == "":
            return None
        if type(value) is str and len(value) == _DATE_LENGTH:
            return Fields({name: f"{value}T00:00:00Z"}, self._where).time(name)
        return self.time(name)

    def host(self, name: str) -> str:
        """Return a host name field in normalised form. It is required."""
        return self.as_host(name, self._data.get(name))

    def as_host(self, name: str, value: object) -> str:
        """Return ``value``, a host name found in the field ``name``, in normalised form."""
        if type(value) is not str or len(value) > MAX_HOST:
            problem = "this is missing" if value is None else "this is not a host name"
            self.refuse(name, problem)
        try:
            return normalise(value)
        except HostError:
            self.refuse(name, "this is not a host name")

    def pattern(self, name: str, *, below: bool = False) -> str:
        """Return a host pattern field; empty if it is missing.

        With ``below``, a host name also covers all names below it.
        """
        value = self._data.get(name)
        if value is None or value == "":
            return ""
        if type(value) is not str or len(value) > _MAX_PATTERN:
            self.refuse(name, "this is not a host name")
        try:
            return _pattern(value, below)
        except HostError:
            self.refuse(name, "this is not a host name")

    def chain(self, name: str) -> tuple[bytes, ...]:
        """Return a list of PEM certificates as DER, leaf first; empty if the field is missing."""
        values = self._list(name, MAX_CHAIN)
        found = [der_of(value) if type(value) is str else None for value in values]
        if None in found:
            index = found.index(None)
            self.refuse(f"{name}[{index}]", "this is not one PEM certificate of at most 16 kB")
        return tuple(found)  # type: ignore[arg-type]  # None was refused

    def pins(self, name: str) -> tuple[str, ...]:
        """Return a field with a list of pins, each in certpin's notation (``sha256/…``)."""
        return tuple([self._pin(name, value) for value in self._list(name, MAX_PINS)])

    def _pin(self, name: str, value: object) -> str:
        if type(value) is not str or len(value) > _MAX_PIN:
            self.refuse(name, "an entry is not a pin")
        try:
            return _pin(value)
        except PinParseError:
            self.refuse(name, "an entry is not a pin")

    def _list(self, name: str, maximum: int) -> list[Any]:
        value = self._data.get(name)
        if value is None:
            return []
        if type(value) is not list:
            self.refuse(name, "this is not a list")
        if len(value) > maximum:
            self.refuse(name, f"this has more than {maximum} entries")
        return value

    def refuse(self, name: str, problem: str) -> NoReturn:
        """Raise ``FormatError`` about the field ``name``, with the prefix ``where``."""
        raise FormatError(f"{self._where}{name}: {problem}")


def _parse_time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is None:
            return None
        return time if time.tzinfo is UTC else time.astimezone(UTC)
    except (ValueError, OverflowError):  # the year 1 with an offset is before the year 1 in UTC
        return None


# All clients of an app send the same patterns and pins. The caches are bounded, also in length.
@lru_cache(maxsize=4096)
def _pattern(text: str, below: bool) -> str:
    return str(HostPattern.parse(f"**.{text}" if below else text))


@lru_cache(maxsize=4096)
def _pin(text: str) -> str:
    return str(Pin.parse(text))
