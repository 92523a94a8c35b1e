"""Code that the formats for nginx and HAProxy share. Both verify only trust anchors.

Some of it also serves the CA files of curl. The exported comments list the pins for readers and for
the import. nginx and HAProxy do not compare the IP addresses of a certificate (tested with nginx
1.26 and HAProxy 3.0).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, get_args

from certpin.formats._lines import beside
from certpin.formats.header import commented, read_header
from certpin.formats.limits import (
    AnchorsOnly,
    NamesOnly,
    NoCompromised,
    NoDebug,
    NoExpiry,
    NoReportOnly,
    NoReports,
    NoTransparency,
    OneHost,
)
from certpin.formats.parsed import Found, ParsedFile, choice, pins_from, read_anchors
from certpin.pins import Match, pins_of
from certpin.x509 import Certificate

if TYPE_CHECKING:
    from certpin.formats.parsed import Source
    from certpin.formats.projection import Limitation
    from certpin.pins import Pin, PinSet, TrustAnchors

_FOR = re.compile(r"^[ \t]*+# for (\S{1,260}) \(match (\S{1,10})\)$", re.MULTILINE)
_PIN = re.compile(r"^[ \t]*+# pin (\S{1,110})$", re.MULTILINE)


def limits(program: str) -> tuple[Limitation, ...]:
    """Return the limitations that nginx and HAProxy have in common.

    ``program`` is the name of one of them, for the explanations.
    """
    return (
        NoCompromised(f"{program} has no list of keys to refuse, except a CRL"),
        NoDebug(f"{program} has no debug override"),
        OneHost(f"these lines configure the connections of {program} to one server"),
        NoReportOnly(f"{program} always enforces"),
        NoExpiry(f"{program} checks only the dates of certificates"),
        NoReports(f"{program} logs failures and sends no reports"),
        NoTransparency(f"{program} checks no SCTs"),
        NamesOnly(f"{program} does not compare IP addresses with a certificate"),
        AnchorsOnly(f"{program} supports trusted authorities, but no pins"),
    )


def comments(pins: PinSet, name: str) -> str:
    """Return the comments of an exported file: certpin's header, the host pattern and the pins.

    ``name`` is the name of the format.
    """
    [policy] = pins.policies
    listed = "".join(f"# pin {entry.pin}\n" for entry in policy.pins)
    head = commented(pins, name, "#")
    return f"{head}# for {policy.pattern} (match {policy.match})\n{listed}"


def read(source: Source, anchors: re.Pattern[str], host: re.Pattern[str]) -> ParsedFile:
    """Parse certpin's comments, and the directives for trust anchors and the host name.

    If certpin did not write the file, the result pins the keys of the trust anchors, which accepts
    the chains that the program accepts.

    Args:
        source: the file.
        anchors: matches the directive that names the file of trust anchors.
        host: matches the directive that names the host.

    Raises:
        FormatError: the comments or the anchors are invalid.
    """
    name, version = read_header(source.text)
    trust = _anchors(source, anchors)
    if trust is None:
        return ParsedFile((), name, version)
    said = _FOR.search(source.text)
    named = host.search(source.text)
    pins = pins_from(_PIN.findall(source.text))
    match: Match = choice({"match": [said[2]]}, "match", get_args(Match), "any") if said else "ca"
    pattern = said[1] if said else named[1] if named else ""
    found = Found(pattern, pins or _pins_of(trust), match=match, trust=trust)
    return ParsedFile((found,), name, version)


def _anchors(source: Source, pattern: re.Pattern[str]) -> TrustAnchors | None:
    """Return the trust anchors in the file that the last matching directive names.

    Return None if the configuration has no such directive. ``pattern`` matches the directive.
    """
    named = pattern.findall(source.text)
    if not named:
        return None
    return read_anchors(source.beside(beside(named[-1])), named[-1])


def _pins_of(trust: TrustAnchors) -> tuple[Pin, ...]:
    return tuple(pins_of(Certificate.from_der(der))[0] for der in trust.der)
