"""The fields of a document that somebody sent: each is bounded, typed, and named when it is wrong.

What an error says is certpin's own: not a letter of the document is repeated in it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from certpin.errors import FormatError, HostError, PinParseError
from certpin.pins import HostPattern, Pin, normalise
from certpin.reports.codecs.pem import MAX_CHAIN, der_of
from certpin.x509 import printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

# What any text may have. The longest that is of use, an Android package name, has 255.
MAX_TEXT = 255
MAX_HOST = 255  # RFC 1035 section 2.3.4 has 253, brackets of an address come on top
MAX_PORT = 65535
MAX_PINS = 64  # a policy with more is no policy, and RFC 7469 hosts had three or four
MAX_VERSION = 2**63 - 1  # what a database keeps

_PATTERN = MAX_HOST + 3  # with **. before it
_PIN = 160  # cert-sha256 in hexadecimal with colons has 108
_DATE = 10  # 2026-11-25
_MOMENT = 40  # 2026-11-25T18:58:49.123456789+02:00 has 35


class Fields:
    """The fields of one JSON object. A field that is ``null`` counts as missing.

    Each method raises ``FormatError``; ``where`` goes before the name of the field then.
    """

    __slots__ = ("_data", "_where")

    def __init__(self, data: Mapping[str, Any], where: str = "") -> None:
        self._data = data
        self._where = where

    def text(self, name: str, most: int = MAX_TEXT) -> str:
        """A text, with what a terminal or a page would act on escaped; empty where it is missing.

        Escaped and not refused: a carrier with an odd name must not hide an attack on its network.
        """
        value = self._data.get(name)
        if value is None:
            return ""
        if type(value) is not str:
            self.refuse(name, "this is not a text")
        if len(value) > most:
            self.refuse(name, f"this has more than {most} characters")
        return value if value.isprintable() else printable(value)[:most]

    def number(self, name: str, most: int, default: int = 0) -> int:
        """A whole number from 0 to ``most``."""
        value = self._data.get(name, default)
        if value is None:
            return default
        if type(value) is not int:
            self.refuse(name, "this is not a whole number")
        if not 0 <= value <= most:
            self.refuse(name, f"this is not from 0 to {most}")
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """True or false. Some JSON writers of phones have 1 and 0 for them."""
        value = self._data.get(name, default)
        if value is None:
            return default
        if value not in (True, False):
            self.refuse(name, "this is neither true nor false")
        return bool(value)

    def one_of(self, name: str, known: Mapping[str, Any]) -> str:
        """A word that is known."""
        value = self._data.get(name)
        if type(value) is not str or value not in known:
            self.refuse(name, f"this is none of {', '.join(known)}")
        return value

    def moment(self, name: str) -> datetime:
        """A moment as RFC 3339 has it, in UTC; numeric offsets with and without a colon."""
        value = self._data.get(name)
        if type(value) is not str:
            self.refuse(name, "there is no moment")
        found = None if len(value) > _MOMENT else _moment(value)
        if found is None:
            self.refuse(name, "this is not a moment with a time zone, as RFC 3339 writes it")
        return found

    def expiry(self, name: str) -> datetime | None:
        """A moment, or a date: its first second in UTC. ``None`` where it is missing."""
        value = self._data.get(name)
        if value is None or value == "":
            return None
        if type(value) is str and len(value) == _DATE:
            return Fields({name: f"{value}T00:00:00Z"}, self._where).moment(name)
        return self.moment(name)

    def host(self, name: str) -> str:
        """A host, normalised."""
        return self.as_host(name, self._data.get(name))

    def as_host(self, name: str, value: object) -> str:
        """A host that is part of a field, normalised."""
        if type(value) is not str or len(value) > MAX_HOST:
            self.refuse(name, "there is no host name" if value is None else "this is no host name")
        try:
            return normalise(value)
        except HostError:
            self.refuse(name, "this is no host name")

    def pattern(self, name: str, *, below: bool = False) -> str:
        """A pattern of hosts, or a host which with ``below`` covers all names below it."""
        value = self._data.get(name)
        if value is None or value == "":
            return ""
        if type(value) is not str or len(value) > _PATTERN:
            self.refuse(name, "this is no host name")
        try:
            return _pattern(value, below)
        except HostError:
            self.refuse(name, "this is no host name")

    def chain(self, name: str) -> tuple[bytes, ...]:
        """Certificates as DER, leaf first; empty where there are none."""
        values = self._list(name, MAX_CHAIN)
        found = [der_of(each) if type(each) is str else None for each in values]
        if None in found:
            at = found.index(None)
            self.refuse(f"{name}[{at}]", "this is not one certificate as PEM, of 16 kB at most")
        return tuple(found)  # type: ignore[arg-type]  # None was refused

    def pins(self, name: str) -> tuple[str, ...]:
        """Pins as certpin writes them."""
        return tuple([self._pin(name, each) for each in self._list(name, MAX_PINS)])

    def _pin(self, name: str, value: object) -> str:
        if type(value) is not str or len(value) > _PIN:
            self.refuse(name, "something in it is no pin")
        try:
            return _pin(value)
        except PinParseError:
            self.refuse(name, "something in it is no pin")

    def _list(self, name: str, most: int) -> list[Any]:
        value = self._data.get(name)
        if value is None:
            return []
        if type(value) is not list:
            self.refuse(name, "this is not a list")
        if len(value) > most:
            self.refuse(name, f"this has more than {most} entries")
        return value

    def refuse(self, name: str, problem: str) -> NoReturn:
        """Raise the error of a field."""
        raise FormatError(f"{self._where}{name}: {problem}")


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            return None
        return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    except (ValueError, OverflowError):  # the year 1 begins before its UTC does
        return None


# What is remembered is what every client of an app says alike. Both are bounded, in length too.
@lru_cache(maxsize=4096)
def _pattern(text: str, below: bool) -> str:
    return str(HostPattern.parse(f"**.{text}" if below else text))


@lru_cache(maxsize=4096)
def _pin(text: str) -> str:
    return str(Pin.parse(text))
