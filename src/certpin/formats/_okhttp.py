"""What both exports for OkHttp share: ``CertificatePinner`` in Kotlin and in Java."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from certpin.formats.code import tokens
from certpin.formats.format import Found, Reading, pass_over
from certpin.formats.header import read_header
from certpin.formats.limits import (
    AnywhereInChain,
    KeysOnly,
    NoCompromised,
    NoDebug,
    NoExpiry,
    NoReportOnly,
    NoReports,
    NoTrust,
    United,
)
from certpin.formats.table import pins_from

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.formats.code import Token
    from certpin.formats.format import Source
    from certpin.pins import HostPolicy, PinSet

_PIN = re.compile(r"sha(?:1|256)/")

LIMITS = (
    NoCompromised("CertificatePinner has no keys to refuse"),
    NoDebug("a build for debugging gives OkHttp a client without the pinner"),
    NoReportOnly("CertificatePinner always refuses"),
    NoTrust("CertificatePinner asks the platform for the chain: see HandshakeCertificates"),
    NoExpiry("CertificatePinner knows no dates"),
    NoReports("CertificatePinner sends nothing"),
    KeysOnly("CertificatePinner compares keys"),
    AnywhereInChain("CertificatePinner looks at each certificate of the verified chain"),
    United("CertificatePinner takes the pins of every pattern that matches"),
)
NEEDS = (
    "`--package` with the package of your sources, where they have one.",
    "OkHttp 4.3 or newer, where a pattern begins with `**.`: an older one pins nothing then.",
    "Hosts without a pattern are not pinned: refuse redirects to them, and to `http://`.",
)


def calls(pins: PinSet, indent: int) -> str:
    """A call of ``add`` for each policy: ``.add("host", "sha256/…", …)``, without a line end."""
    return "\n".join(_call(policy, " " * indent) for policy in pins.policies)


def _call(policy: HostPolicy, indent: str) -> str:
    strings = [address(str(policy.pattern)), *(str(entry.pin) for entry in policy.pins)]
    arguments = ",\n".join(f'{indent}    "{text}"' for text in strings)
    return f"{indent}.add(\n{arguments}\n{indent})"


def address(pattern: str) -> str:
    """OkHttp writes IPv6 addresses as URLs do."""
    return f"[{pattern}]" if ":" in pattern else pattern


def read(source: Source) -> Reading:
    """Read every ``.add("host", "sha256/…", …)`` of Kotlin or Java. Raises ``FormatError``.

    Warns of every other call of ``add``, and of every other pin.
    """
    name, version = read_header(source.text)
    by_pattern: dict[str, list[str]] = {}
    pieces = list(tokens(source.text))
    read_at: set[int] = set()
    for strings in _additions(pieces):
        pattern, *pins = [pieces[place].text for place in strings]
        by_pattern.setdefault(pattern.strip("[]"), []).extend(pins)
        read_at.update(strings)
    _report_unread(pieces, read_at)
    hosts = tuple(Found(pattern, pins_from(pins)) for pattern, pins in by_pattern.items())
    return Reading(hosts, name, version)


def _additions(pieces: list[Token]) -> Iterator[list[int]]:
    """The places of the strings of each call of ``add`` that has nothing but strings."""
    for place, token in enumerate(pieces):
        if _is_add(pieces, place):
            strings = _arguments(pieces, place + 2)
            if strings:
                yield strings
            else:
                pass_over(f"line {token.line}: a call of add whose arguments are not all strings")


def _is_add(pieces: list[Token], place: int) -> bool:
    token = pieces[place]
    return (token.kind, token.text) == ("word", "add") and _is_mark(pieces, place + 1, "(")


def _is_mark(pieces: list[Token], place: int, mark: str) -> bool:
    return place < len(pieces) and (pieces[place].kind, pieces[place].text) == ("mark", mark)


def _arguments(pieces: list[Token], place: int) -> list[int]:
    """The places of the strings up to the closing bracket; none if there is anything else."""
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
                f"line {token.line}: {token.text[:60]}, which is in no call of add with a host"
            )
