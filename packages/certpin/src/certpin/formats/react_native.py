"""The options of ``react-native-ssl-public-key-pinning``, as a TypeScript module.

https://github.com/frw/react-native-ssl-public-key-pinning uses OkHttp's ``CertificatePinner`` on
Android and TrustKit on iOS. Exported options mean the same to both.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from certpin.errors import FormatError
from certpin.formats import _domains
from certpin.formats._languages import JAVASCRIPT
from certpin.formats.code import brackets, is_mark, strings, tables_of, tokens
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
    from certpin.formats.code import Brackets, Token
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
_KEYWORDS = frozenset({"return", "default"})  # words before a value


def write(pins: PinSet) -> tuple[File, ...]:
    """Return a TypeScript module with the value ``certpinPins``: the options with the pins.

    ``pins`` is a pin set that ``project`` has reduced to the settings that this platform can
    express.
    """
    domains = "".join(map(_domain, pins.policies))
    header = commented(pins, REACT_NATIVE.name, "//")
    return (File(REACT_NATIVE.file, _SOURCE.format(header=header, domains=domains)),)


def read(source: Source) -> ParsedFile:
    """Parse ``react-native-ssl-public-key-pinning``'s options in TypeScript, JavaScript or JSON.

    ``source`` is the file; the result has the settings of its hosts. The options can be anywhere in
    the file. Raises ``FormatError`` also if the code computes one of the values, another entry in
    the same object with the hosts, or the whole object.
    """
    pieces = list(tokens(source.text, JAVASCRIPT))
    entries = [each for each in brackets(pieces, _setting) if _HASHES in each.fields]
    tables = tables_of(pieces, entries)
    found = tuple(_found(pieces, entry) for entry in entries)
    ends = {each.opening: each.closing for each in entries}
    for table in tables:
        _refuse_computed_entries(pieces, table, ends)
        _refuse_operators(pieces, table)
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


def _read_settings(pieces: list[Token], entry: Brackets) -> dict[str, list[Token]] | None:
    """Read the options of one host: ``{ publicKeyHashes: [ … ], … }``.

    Args:
        pieces: the tokens of the code.
        entry: the brackets around the options.

    Returns:
        For the name of each setting, the tokens of its values. None if there is anything beside
        literal settings, such as ``...others``, an operator, another object, or a repeated setting.
    """
    settings: dict[str, list[Token]] = {}
    place = entry.opening + 1
    while place < entry.closing:
        name = _setting(pieces, place)
        if name is None or name in settings:
            return None
        if name == _HASHES:
            settings[name], place = _strings(pieces, place + 2)
        else:
            settings[name], place = [pieces[place + 2]], place + 3
        if place != entry.closing and not is_mark(pieces, place, ","):
            return None
        place += 1
    return settings


def _strings(pieces: list[Token], place: int) -> tuple[list[Token], int]:
    """Read a list of strings.

    Args:
        pieces: the tokens of the code.
        place: the index of the list's first token.

    Returns:
        The strings, and the index of the token after the list. If it is no list, or contains
        something else than strings, they are the strings before the unexpected token, and its
        index. The caller then finds no comma or end at this index, and refuses the options.
    """
    if not is_mark(pieces, place, "["):
        return [], place
    values, place = strings(pieces, place + 1)
    return values, place + is_mark(pieces, place, "]")


def _refuse_computed_entries(pieces: list[Token], table: Brackets, ends: dict[int, int]) -> None:
    """Raise ``FormatError`` if the code computes one of the entries of the object with the pins.

    Examples of computed entries are ``...others`` and ``'name': options``: their pins can't be
    imported, and would be lost.

    Args:
        pieces: the tokens of the code.
        table: the brackets of the object, which maps hosts to their options.
        ends: for the opening bracket of each entry's options, the index of the closing one.
    """
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


def _refuse_operators(pieces: list[Token], table: Brackets) -> None:
    """Raise ``FormatError`` if the object with the pins is an operand, or one argument of several.

    In ``{ … } && {}``, for example, the object has no effect. ``pieces`` are the tokens of the
    code, and ``table`` is the brackets of the object. Round brackets around it that are no call
    have no effect.
    """
    start, end, outer = table.opening, _end_of_type(pieces, table.closing), table.outer
    is_call = False
    while not is_call and outer and is_mark(pieces, start - 1, "("):
        end += is_mark(pieces, end + 1, ",")
        if end + 1 != outer.closing:
            break
        before = pieces[start - 2] if start > 1 else None
        is_call = before is not None and before.kind == "word" and before.text not in _KEYWORDS
        start, end, outer = outer.opening, _end_of_type(pieces, outer.closing), outer.outer
    if not is_call and not (_may_precede(pieces, start - 1) and _may_follow(pieces, end + 1)):
        raise FormatError(
            f"line {pieces[table.opening].line}: the object with the options is part of an "
            "expression, which computes the pins",
            fix="assign the object itself, without operators and other arguments",
        )


def _may_precede(pieces: list[Token], place: int) -> bool:
    """Return True if a whole value begins after a token, such as ``=`` or the colon of a property.

    Return False after an operator such as ``&&``: only an operand of an expression begins there,
    and the import refuses the file, because the expression computes the pins. ``pieces`` are the
    tokens of the code, and ``place`` is the index of the token; -1 if the value begins the code.
    """
    if place < 0 or pieces[place].text in _KEYWORDS:
        return True
    if is_mark(pieces, place, "="):
        return not any(is_mark(pieces, place - 1, mark) for mark in "=!<|&?+")
    if is_mark(pieces, place, ">"):  # an arrow before round brackets
        return is_mark(pieces, place - 1, "=")
    return _is_property(pieces, place)


def _is_property(pieces: list[Token], colon: int) -> bool:
    """Return True if a colon is that of a property, as in ``{ a: b }``, not of ``c ? a : b``.

    ``pieces`` are the tokens of the code, and ``colon`` is the index of the colon.
    """
    named = is_mark(pieces, colon, ":") and colon > 1 and pieces[colon - 1].kind != "mark"
    return named and any(is_mark(pieces, colon - 2, mark) for mark in "{,")


def _may_follow(pieces: list[Token], place: int) -> bool:
    """Return True if the value before a token is whole: a token such as ``;`` or ``}`` follows it.

    Return False if the token is an operator such as ``&&``, so that the value is its operand. The
    import then refuses the file, because the expression computes the pins. ``pieces`` are the
    tokens of the code, and ``place`` is the index of the token. At the end of the code, and before
    a word on another line, the value is whole, too.
    """
    if place == len(pieces) or any(is_mark(pieces, place, mark) for mark in ";,)}"):
        return True
    # JavaScript ends a statement before a word on another line.
    token = pieces[place]
    is_first = token.line > pieces[place - 1].line
    return is_first and token.kind == "word" and token.text not in {"in", "instanceof"}


def _end_of_type(pieces: list[Token], place: int) -> int:
    """Return the index of the last token of ``… as T`` or ``… satisfies T`` in TypeScript.

    ``pieces`` are the tokens of the code, and ``place`` is the index of the token before ``as`` or
    ``satisfies``. If no such word follows it, return ``place``.
    """
    if place + 1 == len(pieces) or pieces[place + 1].text not in {"as", "satisfies"}:
        return place
    depth = 0
    for end in range(place + 1, len(pieces)):
        token = pieces[end]
        depth += (token.text in _OPEN) - (token.text in _CLOSED)
        is_type = token.kind != "mark" or token.text in _OF_TYPES
        # JavaScript ends a statement before a word on another line.
        is_type &= bool(depth) or token.kind != "word" or token.line == pieces[end - 1].line
        if not is_type or depth < 0 or (token.text == "," and not depth):
            return end - 1
    return len(pieces) - 1


def _setting(pieces: list[Token], place: int) -> str | None:
    named = pieces[place].text in _FIELDS and is_mark(pieces, place + 1, ":")
    return pieces[place].text if named else None


def _name(pieces: list[Token], entry: Brackets) -> str:
    """Return the host that an entry's options are for: ``HOST`` in ``'HOST': { options }``.

    ``pieces`` are the tokens of the code, and ``entry`` is the pair of brackets around the options.
    Raises ``FormatError`` if the code computes the name, or has it elsewhere.
    """
    is_inside = entry.outer is not None and is_mark(pieces, entry.outer.opening, "{")
    if is_inside and _is_property(pieces, entry.opening - 1):
        return pieces[entry.opening - 2].value()
    raise FormatError(
        f"line {pieces[entry.fields[_HASHES]].line}: the name of the host is computed",
        fix="write it literally, before its options: 'api.bank.example': { … }",
    )


def _found(pieces: list[Token], entry: Brackets) -> Found:
    name = _name(pieces, entry)
    settings = _read_settings(pieces, entry)
    flags, hashes, ends = ((settings or {}).get(each, []) for each in _FIELDS)
    written = all(token.kind == "string" and not token.computed for token in (*hashes, *ends))
    written &= all(token.kind == "word" and token.text in {"true", "false"} for token in flags)
    if settings is None or not written:
        raise FormatError(
            f"line {pieces[entry.fields[_HASHES]].line}: the options of {name[:80]!r} are computed",
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
