"""Helpers of all report formats: the type ``Codec``, checked access to JSON fields, digests, PEM.

An error names the field, and never repeats content of the document.

Certificates are converted between PEM and DER: strict, bounded and fast. X.509 is not parsed here:
a collector receives thousands of reports a second, and parses a chain when it is displayed.
"""

from __future__ import annotations

from binascii import Error, a2b_base64, b2a_base64
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from certpin.errors import FormatError, HostError, PinParseError
from certpin.pins import HostPattern, Pin, normalise
from certpin.support.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import NoReturn

    from certpin.reports.model import Kind, Presence, Report

# Maximum lengths, in characters unless noted.
MAX_TEXT = 255  # an Android package name may have as many
MAX_HOST = 255  # RFC 1035 section 2.3.4 allows 253, and an address may have brackets
MAX_PORT = 65535
MAX_PINS = 64  # pins; hosts with the header of RFC 7469 had three or four
MAX_VERSION = 2**63 - 1  # the largest integer of a database column

# OpenSSL verifies chains of up to 100 certificates by default. Chains on the web have 2 to 5
# certificates, and the longest ones of certpin's lab have 12.
MAX_CHAIN = 20

# The certificates with the most names, those of content delivery networks, have 8 kB. Key and
# signature of ML-DSA-87 add 7.2 kB (FIPS 204, table 2).
MAX_DER = 16 * 1024

_PEM_BEGIN = "-----BEGIN CERTIFICATE-----"
_PEM_END = "-----END CERTIFICATE-----"
_PEM_LINE = 64  # RFC 7468 section 2

# Base64 has four letters for three bytes, and no writer breaks lines after fewer than 16 letters.
MAX_PEM = MAX_DER * 4 // 3 * 9 // 8 + 64

# Clients of one app report the same few certificates. The cache is bounded in entries and in their
# length: 2 MB, or 5 MB if an attacker fills it with text that is no certificate.
_CACHED_PEMS, _MAX_CACHED_PEM = 256, 4096

# X.690 8.1.3: a SEQUENCE with a length of two bytes, or one. A certificate has at least 128
# bytes, because the signature has at least 64.
_LONG_SEQUENCE, _SHORT_SEQUENCE = b"\x30\x82", b"\x30\x81"

_MAX_PATTERN = MAX_HOST + 3  # with **. before the host
_MAX_PIN = 160  # cert-sha256 in hexadecimal with colons has 108
_DATE_LENGTH = 10  # 2026-11-25
_MAX_TIME = 40  # 2026-11-25T18:58:49.123456789+02:00 has 35


@dataclass(frozen=True)
class Codec:
    """One format of reports: how to recognise it, and functions to read and write it.

    Attributes:
        name: the name of the format: the ``kind`` of its reports.
        content_type: the content type of its documents.
        recognises: a function that returns True if a decoded JSON document has this format.
        decode: a function that takes a document and the time of its arrival, and returns the
            reports in the document. It raises ``FormatError`` if a field is invalid.
        encode: a function that returns a report as a JSON object, without fields that the format
            lacks; ``None`` if certpin never writes the format.
        reasons: the reasons that the codec itself gives to reports, if the format has numbers or
            other words for them. A collector that explains reasons needs a text for each.
        identity_has_device: True if the ``identity`` of a report differs between two devices, even
            if ``own_identity`` is False. Then a collector need not add the sender's network.
        identity_period: the length of the periods in ``identity`` and ``also``, in seconds, if the
            format has no exact time; 0 if it has one.
    """

    name: Kind
    content_type: str
    recognises: Callable[[object], bool]
    decode: Callable[[Any, datetime], tuple[Report | Presence, ...]]
    encode: Callable[[Report], dict[str, Any]] | None = None
    reasons: frozenset[str] = frozenset()
    identity_has_device: bool = False
    identity_period: int = 0


def digest_of(kind: str, texts: Iterable[str], *chains: tuple[bytes, ...]) -> str:
    """Return an identity for a report without an ID: a digest of its content.

    A collector recognises repeated uploads of a report by the report's identity. So the digest
    covers only fields that are equal in each upload. If two clients send equal reports, the
    identities are equal too; code that counts reports must therefore also compare the senders.

    Args:
        kind: the name of the report format, which becomes the prefix of the identity.
        texts: the text fields to cover. They must not contain unprintable characters.
        chains: the chains to cover, as DER certificates.
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
    """Reads and checks the fields of one JSON object. A field that is ``null`` counts as missing.

    Every method raises ``FormatError`` if the field is invalid, and those for required fields also
    if it is missing; the other ones return their default. ``where`` is the prefix of the field's
    name in error messages, such as ``[0].body.``.
    """

    __slots__ = ("_data", "_where")

    def __init__(self, data: Mapping[str, Any], where: str = "") -> None:
        self._data = data
        self._where = where

    def text(self, name: str, maximum: int = MAX_TEXT) -> str:
        """Return a text field with unprintable characters escaped; empty if the field is missing.

        Unprintable characters are escaped and not refused, because one strange text, such as the
        name of a mobile carrier, must not make the collector lose the report. ``maximum`` is the
        longest accepted text in characters.
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
        """Return an integer field from 0 to ``maximum``; ``default`` if the field is missing."""
        value = self._data.get(name, default)
        if value is None:
            return default
        if type(value) is not int:
            self.refuse(name, "this is not a whole number")
        if not 0 <= value <= maximum:
            self.refuse(name, f"this is not from 0 to {maximum}")
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a boolean field; ``default`` if the field is missing.

        The values 1 and 0 are accepted too, because some JSON libraries of phones write them.
        """
        value = self._data.get(name, default)
        if value is None:
            return default
        if value not in (True, False):
            self.refuse(name, "this is neither true nor false")
        return bool(value)

    def one_of(self, name: str, known: Mapping[str, Any]) -> str:
        """Return the text field ``name``, which is required. Its value must be a key of ``known``.

        ``known`` is a mapping with the accepted values as keys, such as ``refuse`` and ``report``.
        Raises ``FormatError`` if the field is missing or has another value.
        """
        value = self._data.get(name)
        if type(value) is not str or value not in known:
            self.refuse(name, f"this is none of {', '.join(known)}")
        return value

    def time(self, name: str) -> datetime:
        """Return a required RFC 3339 time field, as UTC.

        The UTC offset in the field may lack its colon. A leap second is returned as the second
        before it. Raises ``FormatError`` if the field is missing, is no such time, or has no time
        zone.
        """
        value = self._data.get(name)
        if type(value) is not str:
            self.refuse(name, "this is not a time")
        time = None if len(value) > _MAX_TIME else _parse_time(value)
        if time is None:
            self.refuse(name, "this is not a time with a time zone in the format of RFC 3339")
        return time

    def expiry(self, name: str) -> datetime | None:
        """Return an optional field with an expiry, as a time in UTC.

        If the field has only a date, the time is the first second of that day. Return ``None`` if
        the field is missing or empty.
        """
        value = self._data.get(name)
        if value is None or value == "":
            return None
        if type(value) is str and len(value) == _DATE_LENGTH:
            return Fields({name: f"{value}T00:00:00Z"}, self._where).time(name)
        return self.time(name)

    def host(self, name: str) -> str:
        """Return a required host name field, in normalised form."""
        return self.as_host(name, self._data.get(name))

    def as_host(self, name: str, value: object) -> str:
        """Return the host name ``value`` in normalised form.

        ``name`` is the field with the value. If the value is no host, the error names the field.
        """
        if type(value) is not str or len(value) > MAX_HOST:
            problem = "this is missing" if value is None else "this is not a host name"
            self.refuse(name, problem)
        try:
            return normalise(value)
        except HostError:
            self.refuse(name, "this is not a host name")

    def pattern(self, name: str, *, below: bool = False) -> str:
        """Return a host pattern field, normalised; empty if the field is missing.

        If ``below`` is True, a host name in the field is returned as a pattern that also covers all
        subdomains of the host.
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
        """Return a field with PEM certificates as DER, leaf first; empty if it is missing."""
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
        """Raise ``FormatError`` with the text ``problem`` about the field ``name``."""
        raise FormatError(f"{self._where}{name}: {problem}")


def _parse_time(text: str) -> datetime | None:
    text = text.upper()  # RFC 3339 section 5.6: T and Z may be lower case
    if is_leap := text[16:19] == ":60":  # section 5.7; ``datetime`` has no leap seconds
        text = f"{text[:16]}:59{text[19:]}"
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is None:
            return None
        time = time if time.tzinfo is UTC else time.astimezone(UTC)
    except (ValueError, OverflowError):  # the year 1 with an offset is before the year 1 in UTC
        return None
    # Leap seconds are at the end of a day in UTC.
    return None if is_leap and (time.hour, time.minute) != (23, 59) else time


# All clients of an app send the same patterns and pins. The caches are bounded, also in length.
@lru_cache(maxsize=4096)
def _pattern(text: str, below: bool) -> str:
    return str(HostPattern.parse(f"**.{text}" if below else text))


@lru_cache(maxsize=4096)
def _pin(text: str) -> str:
    return str(Pin.parse(text))


def der_of(text: str) -> bytes | None:
    """Return the DER bytes of a text that is exactly one PEM certificate, else ``None``.

    Checked: strict base64, and that the bytes are exactly one SEQUENCE. Not checked: the content of
    the certificate.
    """
    return _read_pem_cached(text) if len(text) <= _MAX_CACHED_PEM else _read_pem(text)


def _read_pem(text: str) -> bytes | None:
    text = text.strip()
    if len(text) > MAX_PEM or not (text.startswith(_PEM_BEGIN) and text.endswith(_PEM_END)):
        return None
    body = text[len(_PEM_BEGIN) : -len(_PEM_END)].replace("\r\n", "").replace("\n", "")
    try:
        der = a2b_base64(body, strict_mode=True)
    except (Error, ValueError):
        return None
    return der if len(der) <= MAX_DER and _is_one_sequence(der) else None


_read_pem_cached = lru_cache(_CACHED_PEMS)(_read_pem)


def _is_one_sequence(der: bytes) -> bool:
    if der[:2] == _LONG_SEQUENCE:
        return len(der) == int.from_bytes(der[2:4], "big") + 4
    return der[:2] == _SHORT_SEQUENCE and len(der) == int.from_bytes(der[2:3], "big") + 3


def pem_of(der: bytes) -> str:
    """Return a DER certificate as PEM, with lines of 64 letters (RFC 7468)."""
    text = b2a_base64(der, newline=False).decode("ascii")
    lines = (text[at : at + _PEM_LINE] for at in range(0, len(text), _PEM_LINE))
    return "\n".join((_PEM_BEGIN, *lines, _PEM_END, ""))


def pems_of(chain: Iterable[bytes]) -> list[str]:
    """Return a chain of DER certificates as a list of PEM blocks (RFC 7469 section 3)."""
    return [pem_of(der) for der in chain]
