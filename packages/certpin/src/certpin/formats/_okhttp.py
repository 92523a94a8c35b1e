"""Read and write calls of OkHttp's ``CertificatePinner``, for the Kotlin, Java and Ktor formats."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from certpin.errors import ConfigError
from certpin.formats.code import is_mark, tokens
from certpin.formats.header import read_header
from certpin.formats.limits import (
    AnywhereInChain,
    KeysOnly,
    NoCompromised,
    NoDebug,
    NoExpiry,
    NoReportOnly,
    NoReports,
    NoTransparency,
    NoTrust,
    United,
)
from certpin.formats.parsed import Found, ParsedFile, pass_over, pins_from

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.formats.code import Token
    from certpin.formats.parsed import Source
    from certpin.pins import HostPolicy, PinSet

_PIN = re.compile(r"sha(?:1|256)/")

# The reserved words and literals of the Java Language Specification, section 3.9.
JAVA_WORD = re.compile(
    "abstract|assert|boolean|break|byte|case|catch|char|class|const|continue|default|do|double|"
    "else|enum|extends|false|final|finally|float|for|goto|if|implements|import|instanceof|int|"
    "interface|long|native|new|null|package|private|protected|public|return|short|static|strictfp|"
    "super|switch|synchronized|this|throw|throws|transient|true|try|void|volatile|while|_"
)
# The hard keywords of Kotlin (https://kotlinlang.org/docs/keyword-reference.html).
KOTLIN_WORD = re.compile(
    "as|break|class|continue|do|else|false|for|fun|if|in|interface|is|null|object|package|return|"
    "super|this|throw|true|try|typealias|typeof|val|var|when|while|_+"
)

LIMITS = (
    NoCompromised("CertificatePinner has no list of keys to refuse"),
    NoDebug("debug builds can use a client without the pinner"),
    NoReportOnly("CertificatePinner always enforces"),
    NoTrust("the platform verifies the chain; see HandshakeCertificates of OkHttp"),
    NoExpiry("CertificatePinner does not support expiry dates"),
    NoReports("CertificatePinner sends no reports"),
    NoTransparency("CertificatePinner checks no SCTs"),
    KeysOnly("CertificatePinner compares public keys only"),
    AnywhereInChain("CertificatePinner compares every certificate of the verified chain"),
    United("CertificatePinner accepts the pins of every matching pattern"),
)
NEEDS = (
    "`--package` with the package of your sources, if they have one.",
    "OkHttp 4.3 or newer for patterns that begin with `**.`: older versions ignore such pins.",
    "Hosts without a pattern are not pinned: refuse redirects to them and to `http://`.",
    "OkHttp runs no network interceptors for WebSockets: refuse their addresses in another one.",
)


def java_package(name: str) -> str:
    """Return the declaration of a package in Java.

    Raises:
        ConfigError: a part of the name is a reserved word of Java.
    """
    parts = name.split(".")
    reserved = [part for part in parts if JAVA_WORD.fullmatch(part)]
    if reserved:
        # As section 6.1 of the specification recommends.
        suggested = ".".join(f"{part}_" if part in reserved else part for part in parts)
        raise ConfigError(
            f"{name!r} is not a package in Java: {reserved[0]} is a reserved word",
            key="--package",
            fix=f"use the package of your sources, or add an underscore: {suggested}",
        )
    return f"package {name};"


def kotlin_package(name: str) -> str:
    """Return the declaration of a package in Kotlin, with its keywords in backticks."""
    parts = (f"`{part}`" if KOTLIN_WORD.fullmatch(part) else part for part in name.split("."))
    return f"package {'.'.join(parts)}"


def calls(pins: PinSet, indent: int) -> str:
    """Return OkHttp's call ``.add("host", "sha256/…", …)`` for each policy of the pin set, as code.

    ``indent`` is the number of spaces before each call.
    """
    return "\n".join(_call(policy, " " * indent) for policy in pins.policies)


def _call(policy: HostPolicy, indent: str) -> str:
    strings = [address(str(policy.pattern)), *(str(entry.pin) for entry in policy.pins)]
    arguments = ",\n".join(f'{indent}    "{text}"' for text in strings)
    return f"{indent}.add(\n{arguments}\n{indent})"


def address(pattern: str) -> str:
    """Return a host pattern in OkHttp's notation: IPv6 addresses in brackets, as in URLs."""
    return f"[{pattern}]" if ":" in pattern else pattern


def read_kotlin(source: Source) -> ParsedFile:
    """Parse every ``.add("host", "sha256/…", …)`` in Kotlin code. Raises ``FormatError``.

    Warns about every other call of ``add``, and about pins outside of such calls.
    """
    return _read(source, list(tokens(source.text, nested=True)))


def read_java(source: Source) -> ParsedFile:
    """Parse Java code as ``read_kotlin`` parses Kotlin. Raises ``FormatError``."""
    return _read(source, list(tokens(source.text)))


def _read(source: Source, pieces: list[Token]) -> ParsedFile:
    name, version = read_header(source.text)
    by_pattern: dict[str, list[str]] = {}
    read_at: set[int] = set()
    for strings in _additions(pieces):
        pattern, *pins = [pieces[place].text for place in strings]
        by_pattern.setdefault(pattern.strip("[]"), []).extend(pins)
        read_at.update(strings)
    _report_unread(pieces, read_at)
    hosts = tuple(Found(pattern, pins_from(pins)) for pattern, pins in by_pattern.items())
    return ParsedFile(hosts, name, version)


def _additions(pieces: list[Token]) -> Iterator[list[int]]:
    """Yield, for each call of ``add`` with only strings, the token indexes of these strings.

    Warns about other calls of ``add``.
    """
    for place, token in enumerate(pieces):
        if _is_add(pieces, place):
            strings = _arguments(pieces, place + 2)
            if strings:
                yield strings
            else:
                pass_over(f"line {token.line}: a call of add with arguments that are not strings")


def _is_add(pieces: list[Token], place: int) -> bool:
    token = pieces[place]
    return (token.kind, token.text) == ("word", "add") and is_mark(pieces, place + 1, "(")


def _arguments(pieces: list[Token], place: int) -> list[int]:
    """Return the token indexes of a call's arguments; empty if one of them is not a string.

    ``pieces`` are the tokens of the code. ``place`` is the index of the first token after the
    opening bracket.
    """
    strings = []
    for each in range(place, len(pieces)):
        token = pieces[each]
        if token.kind == "string":
            strings.append(each)
        elif token.text == ")":
            return strings
        elif token.text != ",":
            return []
    return []


def _report_unread(pieces: list[Token], read_at: set[int]) -> None:
    for place, token in enumerate(pieces):
        if token.kind == "string" and place not in read_at and _PIN.match(token.text):
            pass_over(
                f"line {token.line}: {token.text[:60]}, which is not in a call of add with a host"
            )
