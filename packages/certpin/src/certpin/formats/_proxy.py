"""Code that the formats for nginx and HAProxy share.

Both programs compare no pins: they only verify that a chain ends at a trust anchor. Some of the
code also serves the CA files of curl. The exported comments list the pins for readers and for
the import. nginx and HAProxy do not compare the IP addresses of a certificate (tested with nginx
1.26 and HAProxy 3.0).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from certpin.errors import FormatError, HostError
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
    RootsOnly,
)
from certpin.formats.parsed import Found, ParsedFile, choice, pass_over, pins_from, read_anchors
from certpin.pins import HostPattern, Match, pins_of
from certpin.x509 import Certificate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin.formats.parsed import Source
    from certpin.formats.projection import Limitation
    from certpin.pins import Pin, PinSet, TrustAnchors

# A checkout on Windows may have changed the line ends.
_FOR = re.compile(r"^[ \t]*+# for (\S{1,260}) \(match (\S{1,10})\)[ \t\r]*+$", re.MULTILINE)
_PIN = re.compile(r"^[ \t]*+# pin (\S{1,110})[ \t\r]*+$", re.MULTILINE)


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
        RootsOnly(f"{program} refuses chains that end at another certificate"),
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


@dataclass(frozen=True)
class Connection:
    """How a program's configuration verifies connections to one host.

    Attributes:
        host: the name that the program verifies; empty if the configuration contains none.
        anchors: the name of the file of trust anchors.
        line: the line of these settings, for errors.
        unverified: why the program does not verify the chain; empty if it does.
        other_names: a phrase for warnings if the program can accept names other than ``host``: the
            settings that cause it, and the reason. Otherwise empty.
        ignored: the names of settings that a pin file can't contain.
    """

    host: str
    anchors: str
    line: int
    unverified: str = ""
    other_names: str = ""
    ignored: tuple[str, ...] = ()


def read(
    source: Source, connections: Iterable[Connection], *, names_host: bool = True
) -> ParsedFile:
    """Return the settings of each host in a configuration of nginx, HAProxy or curl.

    If certpin exported the file, the host pattern and the pins are read from its comments.
    Otherwise, the trust anchors of a host are pinned: these pins accept the same chains as the
    program. Issues a ``FormatWarning`` about each connection that the program does not verify, and
    about settings that a pin file can't contain.

    Args:
        source: the file.
        connections: the connections that the file configures.
        names_host: True if certpin's export for this program also sets the name to verify.

    Raises:
        FormatError: the comments or the anchors are invalid, the program verifies another name than
            that in the comments, or the anchors of a host are ambiguous.
    """
    name, version = read_header(source.text)
    distinct = _distinct(connections)
    said = _FOR.findall(source.text)
    if said and len(said) + len(distinct) > 2:
        raise FormatError(
            "an export of certpin is a part of the file, beside other connections",
            fix="import the file that certpin exported, without the rest of the configuration",
        )
    pins = pins_from(_PIN.findall(source.text))
    match: Match = (
        choice({"match": [said[0][1]]}, "match", get_args(Match), "any") if said else "ca"
    )
    found = []
    for each in distinct:
        trust = read_anchors(source.beside(beside(each.anchors)), each.anchors)
        pattern = said[0][0] if said else each.host
        if said and names_host:
            _refuse_other_name(pattern, each)
        found.append(Found(pattern, pins or _pins_of(trust), match=match, trust=trust))
    return ParsedFile(tuple(found), name, version)


def _distinct(connections: Iterable[Connection]) -> list[Connection]:
    """Return the first connection to each host, and issue a ``FormatWarning`` for each problem.

    The problems are those of all connections: some can accept other certificates than the pin file
    allows. Raises ``FormatError`` if two connections to a host have different anchors. Also raises
    it if several connections have no host name, because their hosts can be different.
    """
    first: dict[str, Connection] = {}
    for each in connections:
        for problem in (each.unverified, each.other_names, *each.ignored):
            if problem:
                pass_over(f"line {each.line}: {problem}")
        known = first.setdefault(name_key(each.host), each)
        if known.anchors != each.anchors:
            host = each.host[:260] or "a connection without a host name"
            raise FormatError(
                f"line {each.line}: {host} has other trust anchors than in line {known.line}",
                fix="import a copy of the file with one of them, or name the host of each",
            )
        if known is not each and not each.host:
            raise FormatError(
                f"line {each.line}: the host of this connection has no name, as in line "
                f"{known.line}, so they can be different hosts",
                fix="name the host of each, or import a copy of the file with one of them",
            )
    return list(first.values())


def name_key(host: str) -> str:
    """Return a host in normalised form, so that equal hosts have equal keys.

    If ``host`` is not a valid host, return it unchanged.
    """
    try:
        return str(HostPattern.parse(host))
    except HostError:
        return host


def _refuse_other_name(pattern: str, connection: Connection) -> None:
    """Raise ``FormatError`` if an exported file's settings contradict the host in its comment.

    The program obeys only the settings. So a comment with another name would hide the name that the
    program verifies. ``pattern`` is the pattern in the comment, and ``connection`` has the
    settings.
    """
    if not connection.other_names and is_name_of(pattern, connection.host):
        return
    named = f"the name {connection.host[:260]}" if connection.host else "no name of a host"
    raise FormatError(
        f"line {connection.line}: the file is for {pattern}, but has "
        f"{connection.other_names or named}",
        fix="export it again; or remove certpin's comments, to import the settings",
    )


def is_name_of(pattern: str, host: str) -> bool:
    """Return True if a program that verifies the name ``host`` checks a host of ``pattern``.

    If not, the import refuses the file: its comment names another host than its settings. The
    result is True if the pattern covers the host, or if the settings name no host (``host`` is
    empty) and the pattern is a wildcard. It is False if the pattern or the host is invalid.
    """
    try:
        parsed = HostPattern.parse(pattern)
        # Without a literal name, nginx verifies the host that it connects to.
        return parsed.covers(HostPattern.parse(host)) if host else bool(parsed.wildcard)
    except HostError:
        return False


def _pins_of(trust: TrustAnchors) -> tuple[Pin, ...]:
    return tuple(pins_of(Certificate.from_der(der))[0] for der in trust.der)
