"""What nginx and HAProxy share: they verify by trusted authority alone, and know no pins.

The pins stand in comments, for people, and for whoever reads the file back. Neither program looks
at the IP addresses of a certificate (seen with nginx 1.26 and HAProxy 3.0).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, get_args

from certpin.formats._lines import beside
from certpin.formats.format import Found, Reading
from certpin.formats.header import commented, read_header
from certpin.formats.limits import (
    AnchorsOnly,
    NamesOnly,
    NoCompromised,
    NoDebug,
    NoExpiry,
    NoReportOnly,
    NoReports,
    OneHost,
)
from certpin.formats.table import choice, pins_from, read_anchors
from certpin.pins import Match, pins_of
from certpin.x509 import Certificate

if TYPE_CHECKING:
    from certpin.formats.fit import Limit
    from certpin.formats.format import Source
    from certpin.pins import Pin, PinSet, TrustAnchors

_FOR = re.compile(r"^[ \t]*+# for (\S{1,260}) \(match (\S{1,10})\)$", re.MULTILINE)
_PIN = re.compile(r"^[ \t]*+# pin (\S{1,110})$", re.MULTILINE)


def limits(program: str) -> tuple[Limit, ...]:
    """What neither of them can express, with the name of the program."""
    return (
        NoCompromised(f"{program} has no keys to refuse, but for its CRL"),
        NoDebug(f"{program} has no debug override"),
        OneHost(f"these lines of {program} are for the calls to one server"),
        NoReportOnly(f"{program} always refuses"),
        NoExpiry(f"{program} knows no dates but those of certificates"),
        NoReports(f"{program} writes its log, and sends nothing"),
        NamesOnly(f"{program} compares names with a certificate, and no addresses"),
        AnchorsOnly(f"{program} knows trusted authorities, and no pins"),
    )


def comments(pins: PinSet, name: str) -> str:
    """The header, the host, and the pins, which the program does not see."""
    [policy] = pins.policies
    listed = "".join(f"# pin {entry.pin}\n" for entry in policy.pins)
    head = commented(pins, name, "#")
    return f"{head}# for {policy.pattern} (match {policy.match})\n{listed}"


def read(source: Source, anchors: re.Pattern[str], host: re.Pattern[str]) -> Reading:
    """Read the comments, and what the patterns find: a file of anchors, a name.

    A file that certpin did not write has no pins: those of its anchors say the same.
    Raises ``FormatError``.
    """
    name, version = read_header(source.text)
    trust = _anchors(source, anchors)
    if trust is None:
        return Reading((), name, version)
    said = _FOR.search(source.text)
    named = host.search(source.text)
    pins = pins_from(_PIN.findall(source.text))
    match: Match = choice({"match": [said[2]]}, "match", get_args(Match), "any") if said else "ca"
    pattern = said[1] if said else named[1] if named else ""
    found = Found(pattern, pins or _pins_of(trust), match=match, trust=trust)
    return Reading((found,), name, version)


def _anchors(source: Source, pattern: re.Pattern[str]) -> TrustAnchors | None:
    """The file that is named last counts."""
    named = pattern.findall(source.text)
    if not named:
        return None
    return read_anchors(source.beside(beside(named[-1])), named[-1])


def _pins_of(trust: TrustAnchors) -> tuple[Pin, ...]:
    return tuple(pins_of(Certificate.from_der(der))[0] for der in trust.der)
