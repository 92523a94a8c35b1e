"""HTTP Public Key Pinning: the header of an answer (RFC 7469)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from certpin.errors import FormatError
from certpin.formats.format import File, Format, Found, Reading
from certpin.formats.header import commented, read_header
from certpin.formats.limits import (
    AnywhereInChain,
    ApexAndBelow,
    KeysOnly,
    NamesOnly,
    NoCompromised,
    NoDebug,
    NoExpiry,
    NoTrust,
    OneHost,
    OneReportAddress,
)
from certpin.formats.table import pins_from

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.formats.format import Source
    from certpin.pins import Mode, PinSet

# 60 days: what RFC 7469 section 4.1 holds for a balance of safety and of harm.
MAX_AGE = 60 * 24 * 60 * 60
_FIELDS: dict[Mode, str] = {"enforce": "Public-Key-Pins", "report": "Public-Key-Pins-Report-Only"}
_MODES: dict[str, Mode] = {name.lower(): mode for mode, name in _FIELDS.items()}

_HOST = re.compile(r"^# for (?:\*\*\.)?(\S{1,260})$", re.MULTILINE)
_FIELD = re.compile(
    r"^[ \t]*+(Public-Key-Pins(?:-Report-Only)?)[ \t]*+:([^\n]*+)$", re.MULTILINE | re.IGNORECASE
)
# RFC 7469 section 2.1: names without values, tokens, quoted strings. Possessive: one pass.
_ESCAPE = re.compile(r"\\(.)")
_BETWEEN = re.compile(r"[ \t\r;]*+")
_DIRECTIVE = re.compile(
    r"""
      ([\w!#$%&'*+.^`|~-]++) [ \t]*+
      (?: = [ \t]*+ (?: "((?:[^"\\]|\\.)*+)" | ([^\s";]++) ) )?+
      [ \t\r]*+ (?:;|$)
    """,
    re.ASCII | re.VERBOSE,
)


def write(pins: PinSet) -> tuple[File, ...]:
    """One line, ``Public-Key-Pins: …``, or its report-only brother."""
    [policy] = pins.policies
    directives = [f'pin-{entry.pin}"'.replace("/", '="', 1) for entry in policy.pins]
    directives.append(f"max-age={MAX_AGE}")
    if policy.pattern.wildcard:
        directives.append("includeSubDomains")
    directives += [f"report-uri={_quoted(address)}" for address in policy.report_to]
    field = f"{_FIELDS[policy.mode]}: {'; '.join(directives)}\n"
    text = f"{commented(pins, HPKP.name, '#')}# for {policy.pattern}\n{field}"
    return (File(HPKP.file, text),)


def read(source: Source) -> Reading:
    """Read the header. Raises ``FormatError``.

    Directives and digests that RFC 7469 does not know are passed over, as its section 2.1 has it.
    """
    fields = _FIELD.findall(source.text)
    if len({name.lower() for name, _ in fields}) > 1:
        raise FormatError(
            "it enforces some pins and watches others, and certpin has one mode a host",
            fix="keep one of the two headers",
        )
    host = _HOST.search(source.text)
    # Of more than one, the first alone counts (RFC 7469 section 2.3.1).
    found = [_found(_MODES[name.lower()], value, host) for name, value in fields[:1]]
    return Reading(tuple(found), *read_header(source.text))


def _found(mode: Mode, value: str, host: re.Match[str] | None) -> Found:
    directives = list(_directives(value))
    pins = [f"sha256/{text}" for name, text in directives if name == "pin-sha256"]
    others = [(name, text) for name, text in directives if not name.startswith("pin-")]
    once = dict(others)
    if len(once) < len(others):
        raise FormatError("a directive stands there twice, which RFC 7469 section 2.1 forbids")
    if mode == "enforce" and not once.get("max-age", "").strip("0").isdigit():
        raise FormatError("its max-age is missing or 0: it takes pins back", fix="give it one")
    below = "includesubdomains" in once
    pattern = f"{'**.' if below else ''}{host[1]}" if host else ""
    return Found(
        pattern,
        pins_from(pins),
        mode=mode,
        report_to=(once["report-uri"],) if "report-uri" in once else (),
        below=below,
    )


def _directives(value: str) -> Iterator[tuple[str, str]]:
    """The directives, with names in lower case. Raises ``FormatError``."""
    place = _end(_BETWEEN.match(value))
    while place < len(value):
        match = _DIRECTIVE.match(value, place)
        if not match:
            raise FormatError(f"the header cannot be read from {value[place : place + 40]!r} on")
        yield match[1].lower(), _ESCAPE.sub(r"\1", match[2] or match[3] or "")
        place = _end(_BETWEEN.match(value, match.end()))


def _end(match: re.Match[str] | None) -> int:
    return match.end() if match else 0  # it matches nothing at all too


def _quoted(text: str) -> str:
    """As RFC 7230 section 3.2.6 quotes it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


HPKP = Format(
    name="hpkp",
    title="HTTP Public Key Pinning",
    use="Let the server of the host send the line with each answer over TLS.",
    file="hpkp.txt",
    limits=(
        NoCompromised("a header has no keys to refuse"),
        NoDebug("a header is the same for every client"),
        NamesOnly("RFC 7469 section 2.3.3 lets no client keep the pins of an address"),
        ApexAndBelow("the flag includeSubDomains covers the host and every name below it"),
        OneHost("a header is for the host that sends it"),
        NoTrust("a header changes nobody's authorities"),
        NoExpiry("the max-age counts from the last answer, and is 60 days"),
        KeysOnly("its digests are those of keys"),
        AnywhereInChain("RFC 7469 section 2.6 looks at each certificate of the verified chain"),
        OneReportAddress("a header has one report-uri"),
    ),
    write=write,
    read=read,
    needs=(
        "A client that still reads it: browsers don't, since Chrome 72 and Firefox 72.",
        "An address in `report_to` for the report-only header: without one it tells nobody.",
        "A first visit without an attacker: what the header brings is trusted from then on.",
    ),
)
