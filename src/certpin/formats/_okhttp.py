"""What both exports for OkHttp share: ``CertificatePinner`` in Kotlin and in Java."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.formats.code import tokens
from certpin.formats.format import Found, Reading
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
    """Read every ``.add("host", "sha256/…", …)`` of Kotlin or Java. Raises ``FormatError``."""
    name, version = read_header(source.text)
    by_pattern: dict[str, list[str]] = {}
    for pattern, pins in _additions(list(tokens(source.text))):
        by_pattern.setdefault(pattern.strip("[]"), []).extend(pins)
    hosts = tuple(Found(pattern, pins_from(pins)) for pattern, pins in by_pattern.items())
    return Reading(hosts, name, version)


def _additions(pieces: list[Token]) -> Iterator[tuple[str, list[str]]]:
    for place, token in enumerate(pieces):
        if (token.kind, token.text) != ("word", "add") or not _is_mark(pieces, place + 1, "("):
            continue
        if strings := _arguments(pieces, place + 2):
            yield strings[0], strings[1:]


def _is_mark(pieces: list[Token], place: int, mark: str) -> bool:
    return place < len(pieces) and (pieces[place].kind, pieces[place].text) == ("mark", mark)


def _arguments(pieces: list[Token], place: int) -> list[str]:
    """The strings up to the closing bracket; none where there is anything but strings."""
    strings = []
    for token in pieces[place:]:
        if token.kind == "string":
            strings.append(token.text)
        elif token.text == ")":
            return strings
        elif token.text != ",":
            return []
    return []
