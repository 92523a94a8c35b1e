"""The options of ``react-native-ssl-public-key-pinning``, as a TypeScript module.

https://github.com/frw/react-native-ssl-public-key-pinning uses OkHttp's ``CertificatePinner`` on
Android and TrustKit on iOS. Exported options mean the same to both.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from certpin.errors import FormatError
from certpin.formats import _domains
from certpin.formats._languages import JAVASCRIPT
from certpin.formats.code import brackets, is_mark, require_closed, tokens
from certpin.formats.format import File, Format
from certpin.formats.header import commented, read_header
from certpin.formats.limits import (
    AnywhereInChain,
    ApexAndBelow,
    FailOpenDate,
    KeysOnly,
    NamesOnly,
    NoCompromised,
    NoDebug,
    NoReportOnly,
    NoReports,
    NoTransparency,
    NoTrust,
    OneDateInOverlaps,
    United,
)
from certpin.formats.parsed import Found, ParsedFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.formats.code import Token
    from certpin.formats.parsed import Source
    from certpin.pins import HostPolicy, PinSet

_SOURCE = """\
{header}
import type {{ PinningOptions }} from 'react-native-ssl-public-key-pinning';

/** Before the first request: `await initializeSslPinning(certpinPins)`. */
export const certpinPins: PinningOptions = {{
{domains}}};
"""
# The marks of types such as `Partial<Record<string, PinningOptions[string]>>`.
_OPEN, _CLOSED = frozenset("<["), frozenset(">]")
_OF_TYPES = _OPEN | _CLOSED | frozenset(".,")
_HASHES = "publicKeyHashes"
_FIELDS = ("includeSubdomains", _HASHES, "expirationDate")


def write(pins: PinSet) -> tuple[File, ...]:
    """Return a TypeScript module with the value ``certpinPins``: the options with the pins."""
    domains = "".join(map(_domain, pins.policies))
    header = commented(pins, REACT_NATIVE.name, "//")
    return (File(REACT_NATIVE.file, _SOURCE.format(header=header, domains=domains)),)


def read(source: Source) -> ParsedFile:
    """Parse ``react-native-ssl-public-key-pinning``'s options in TypeScript, JavaScript or JSON.

    The options can be anywhere in the file. Raises ``FormatError`` also if the code computes one of
    the values, or another entry in the same list of hosts.
    """
    pieces = list(tokens(source.text, JAVASCRIPT))
    found = tuple(_found(_name(entry), entry) for entry in _entries(pieces))
    _refuse_computed_entries(pieces)
    return ParsedFile(found, *read_header(source.text))


def _domain(policy: HostPolicy) -> str:
    digests = [base64.b64encode(entry.pin.digest).decode() for entry in policy.pins]
    hashes = "".join(f"      '{each}',\n" for each in digests)
    below = str(bool(policy.pattern.wildcard)).lower()
    ends = f"    expirationDate: '{policy.expires.date()}',\n" if policy.expires else ""
    return (
        f"  '{policy.pattern.name}': {{\n    includeSubdomains: {below},\n"
        f"    publicKeyHashes: [\n{hashes}    ],\n{ends}  }},\n"
    )


@dataclass
class _Entry:
    """The options of one host in the code: ``'name': { publicKeyHashes: [ … ] }``.

    Attributes:
        name: the token of the host's name; None if the code computes the name, or the options are
            not directly behind a name.
        line: the line of the setting ``publicKeyHashes``; 0 if there is none.
        fields: for the name of each setting, the tokens of its values.
        is_literal: False if there is anything beside literal settings, such as ``...others``, an
            operator, or a setting that is repeated.
    """

    name: Token | None = None
    line: int = 0
    fields: dict[str, list[Token]] = field(default_factory=dict)
    is_literal: bool = True


def _entries(pieces: list[Token]) -> Iterator[_Entry]:
    """Yield each entry in the code that has the setting ``publicKeyHashes``."""
    entry = _Entry()
    place = 0
    while place < len(pieces):
        token = pieces[place]
        if _begins(pieces, place):
            entry = _Entry(token)
            place += 2  # the colon and the bracket
        elif _setting(pieces, place) is not None:
            values, place = _values(pieces, place + 2)
            if values is None or token.text in entry.fields:
                entry.is_literal = False
            entry.fields[token.text] = values or []
            entry.line = token.line if token.text == _HASHES else entry.line
        elif is_mark(pieces, place, "}") and entry.line:
            yield entry
            entry = _Entry()
        elif not is_mark(pieces, place, ","):
            entry.is_literal = False  # also an operator after a value, as in `['…'] && []`
        place += 1


def _values(pieces: list[Token], place: int) -> tuple[list[Token] | None, int]:
    """Read the value of a setting: a string, a word, or a list of strings.

    Args:
        pieces: the tokens of the code.
        place: the index of the value's first token.

    Returns:
        The strings or the word, and the index of the last token that was read. The first is None if
        the value is a list with something else than strings.
    """
    if not is_mark(pieces, place, "["):
        return pieces[place : place + 1], place
    values, last = [], place + 1
    while last < len(pieces) and pieces[last].kind == "string":
        values.append(pieces[last])
        last += 1
        if not is_mark(pieces, last, ","):
            break
        last += 1
    return (values, last) if is_mark(pieces, last, "]") else (None, place)


def _refuse_computed_entries(pieces: list[Token]) -> None:
    """Raise ``FormatError`` if the code computes one of the entries of the object with the pins.

    That is the object that maps hosts to options with ``publicKeyHashes``. Examples of computed
    entries are ``...others`` and ``'name': options``: their pins can't be imported, and would be
    lost. If the object, or an entry of it, is not closed, it is refused too, because its rest is
    missing.
    """
    entries = [each for each in brackets(pieces, _setting) if _HASHES in each.fields]
    tables = {each.outer.opening: each.outer for each in entries if each.outer}.values()
    require_closed(pieces, (*tables, *entries))
    ends = {each.opening: each.closing for each in entries}
    for table in tables:
        place = table.opening + 1
        while place < table.closing:
            if place in ends:
                place = _end_of_type(pieces, ends[place])
            elif place + 2 in ends and is_mark(pieces, place + 1, ":"):
                place += 1
            elif not is_mark(pieces, place, ","):
                raise FormatError(
                    f"line {pieces[place].line}: an entry beside the options of a host is "
                    "computed, or has no publicKeyHashes",
                    fix="write each host and its options literally, and remove hosts without pins",
                )
            place += 1


def _end_of_type(pieces: list[Token], place: int) -> int:
    """Return the index of the last token of ``… as T`` or ``… satisfies T`` in TypeScript.

    ``place`` is the index of the token before ``as`` or ``satisfies``. If no such word follows it,
    return ``place``.
    """
    if place + 1 == len(pieces) or pieces[place + 1].text not in {"as", "satisfies"}:
        return place
    depth = 0
    for end in range(place + 1, len(pieces)):
        token = pieces[end]
        depth += (token.text in _OPEN) - (token.text in _CLOSED)
        is_type = token.kind != "mark" or token.text in _OF_TYPES
        if not is_type or depth < 0 or (token.text == "," and not depth):
            return end - 1
    return len(pieces) - 1


def _setting(pieces: list[Token], place: int) -> str | None:
    named = pieces[place].text in _FIELDS and is_mark(pieces, place + 1, ":")
    return pieces[place].text if named else None


def _name(entry: _Entry) -> str:
    """Return the name of an entry's host.

    Raises ``FormatError`` if the code computes the name, or has it elsewhere.
    """
    if entry.name is None:
        raise FormatError(
            f"line {entry.line}: the name of the host is computed",
            fix="write it literally, before its options: 'api.bank.example': { … }",
        )
    return entry.name.value()


def _begins(pieces: list[Token], place: int) -> bool:
    names = pieces[place].kind in {"string", "word"}
    return names and is_mark(pieces, place + 1, ":") and is_mark(pieces, place + 2, "{")


def _found(name: str, entry: _Entry) -> Found:
    fields = entry.fields
    flags, hashes = fields.get("includeSubdomains", []), fields[_HASHES]
    ends = fields.get("expirationDate", [])
    written = all(token.kind == "string" and not token.computed for token in (*hashes, *ends))
    written &= all(token.kind == "word" and token.text in {"true", "false"} for token in flags)
    if not entry.is_literal or not written:
        raise FormatError(
            f"line {entry.line}: the options of {name[:80]!r} are computed",
            fix="write the hashes, the date and the flag literally",
        )
    return Found(
        _domains.pattern(name, below=[token.text for token in flags] == ["true"]),
        tuple(_domains.read_digest(token.text.strip(), name[:80]) for token in hashes),
        expires=_domains.read_day(ends[0].text) if ends else None,
        on_expiry="fail-open" if ends else "fail-closed",
    )


REACT_NATIVE = Format(
    name="react-native",
    title="React Native",
    use="Add it to the sources, and call `initializeSslPinning(certpinPins)` "
    "before the first request.",
    file="certpinPins.ts",
    limits=(
        NoCompromised("the package has no list of keys to refuse"),
        NoDebug("debug builds can skip initializeSslPinning"),
        NoReportOnly("the package always enforces"),
        NamesOnly("on iOS the package pins nothing if a host is not a domain name"),
        NoTrust("the platform verifies the chain"),
        FailOpenDate("the package stops pinning after expirationDate"),
        NoReports("the package sends no reports; see addSslPinningErrorListener"),
        NoTransparency("the package checks no SCTs"),
        KeysOnly("the package compares public keys only"),
        AnywhereInChain("the package compares every certificate of the verified chain"),
        ApexAndBelow("the flag includeSubdomains covers the name and all its subdomains"),
        OneDateInOverlaps("Android applies all unexpired patterns, iOS the most specific one"),
        United("Android accepts the pins of every matching pattern"),
    ),
    write=write,
    read=read,
    needs=(
        "React Native's own networking: other native code and WebViews are not pinned.",
        "A check of the promise of `initializeSslPinning`: if it is rejected, nothing is pinned.",
        "Names under a public suffix that TrustKit knows: otherwise nothing is pinned on iOS.",
    ),
)
