"""Read and write calls of OkHttp's ``CertificatePinner``, for the Kotlin, Java and Ktor formats."""

from __future__ import annotations

import re
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from certpin.errors import ConfigError, FormatError, HostError
from certpin.formats._builders import call_sites
from certpin.formats._domains import refuse_final_dot
from certpin.formats._languages import JAVA, JAVA_WORD, KOTLIN, KOTLIN_WORD
from certpin.formats.code import ADD_PINS, is_mark, tokens
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
from certpin.formats.limits.hosts import broader
from certpin.formats.parsed import Found, ParsedFile, at_line, pass_over, pins_from
from certpin.pins import HostPattern

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.formats._builders import CallSite
    from certpin.formats.code import Token
    from certpin.formats.parsed import Source
    from certpin.pins import HostPolicy, Pin, PinSet
    from certpin.pins.hosts import Wildcard

_PIN = re.compile(r"sha(?:1|256)/")
_OTHER_BUILDERS = [["FormBody"], ["Headers"]]
_MAX_ARGUMENT = 200  # tokens

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
    "Patterns match no URL with a host that ends in a dot: refuse such URLs.",
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
    """Return the declaration of a package in Kotlin. Parts that are keywords get backticks."""
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
    """Parse every ``.add("host", "sha256/…", …)`` in Kotlin code, and return the hosts' settings.

    Issues a ``FormatWarning`` about every other call of ``add``, and about pins outside of such
    calls. ``source`` is the file with the code.

    Raises:
        FormatError: the code has no such call, a call is invalid, or an imported host can get a pin
            that is not a literal string, so that the import would lack it.
    """
    return _read(source, list(tokens(source.text, KOTLIN)), ternary=False)


def read_java(source: Source) -> ParsedFile:
    """Parse Java code as ``read_kotlin`` parses Kotlin, and return the hosts' settings.

    ``source`` is the file with the code. Raises ``FormatError`` in the same cases.
    """
    return _read(source, list(tokens(source.text, JAVA)), ternary=True)


@dataclass(frozen=True)
class _Addition:
    """A call of ``add`` with a host pattern and pins, all of them literal strings.

    Attributes:
        pattern: the host pattern, as written.
        pins: the pins.
        line: the line of the call.
        site: the builder and the branch of the call.
    """

    pattern: str
    pins: tuple[Pin, ...]
    line: int
    site: CallSite


def _read(source: Source, pieces: list[Token], *, ternary: bool) -> ParsedFile:
    name, version = read_header(source.text)
    strings, unknown = _calls(pieces)
    sites = call_sites(pieces, {*strings, *unknown}, ternary=ternary)
    additions = [_addition(pieces, strings[place], sites[place]) for place in strings]
    patterns = {
        place: _literal_pattern(pieces, place + 2)
        for place in unknown
        if _may_add_pins(pieces, place, sites[place].builder)
    }
    for place in unknown:
        of = f" for {pattern[:80]}" if (pattern := patterns.get(place)) else ""
        pass_over(
            f"line {pieces[place].line}: a call of add{of} with arguments that are not strings",
            unrelated=place not in patterns,
        )
    _refuse_lost_pins(additions, {p: pieces[each].line for each, p in patterns.items() if p})
    _refuse_mixed(additions)
    _report_unread(pieces, {each for found in strings.values() for each in found})
    by_pattern: dict[str, list[_Addition]] = {}
    for each in additions:
        by_pattern.setdefault(_key(each.pattern), []).append(each)  # OkHttp ignores their case
        if each.site.conditional:
            pass_over(
                f"line {each.line}: the condition of this call of add, so check that a release "
                f"has these pins of {each.pattern[:80]}"
            )
    if not additions:
        raise FormatError(
            "the file contains no call of add with a host and pins as literal strings",
            fix=f'write the pins as .add("HOST", "sha256/…"), or use them directly: {ADD_PINS}',
        )
    return ParsedFile(tuple(map(_found, by_pattern.values())), name, version)


def _found(additions: list[_Addition]) -> Found:
    pins = tuple(pin for each in additions for pin in each.pins)
    return Found(additions[0].pattern, pins, line=additions[0].line)


def _calls(pieces: list[Token]) -> tuple[dict[int, list[int]], list[int]]:
    """Find the calls of ``add`` in the tokens of some code (``pieces``).

    Returns:
        The calls with a host and a pin: for the token index of each, those of its strings. Then the
            token indexes of the calls that possibly contain a pin in a variable or expression.
    """
    known, unknown = {}, []
    for place in range(len(pieces)):
        if not _is_add(pieces, place):
            continue
        strings = _arguments(pieces, place + 2)
        found = [_PIN.match(pieces[each].text) is not None for each in strings]
        if any(found) and not found[0]:  # the first one is a host; a set of pins has no hosts
            known[place] = strings
        elif not strings or any(pieces[each].computed for each in strings):
            unknown.append(place)
    return known, unknown


def _may_add_pins(pieces: list[Token], place: int, builder: int | str) -> bool:
    """Return True if a call of ``add`` possibly adds pins to a ``CertificatePinner.Builder``.

    If not, the import's warning about the call is marked as unrelated to pins. Collections, and
    OkHttp's builders of forms and headers, also have a method ``add``. Return False if the call has
    at most one argument, or if the code creates another known builder right before it. An object of
    unknown type counts as a pinner's builder.

    Args:
        pieces: the tokens of the code.
        place: the token index of the call.
        builder: the object with this method: the name of its variable, or the index of the last
            token of the expression that creates it.
    """
    if _has_one_argument(pieces, place + 2):  # a host, but no pin
        return False
    if isinstance(builder, str):  # a parameter, for example: its type is unknown
        return True
    made = [each.text for each in pieces[max(builder - 4, 0) : builder + 1]]
    return made[:1] not in _OTHER_BUILDERS or made[1:] != [".", "Builder", "(", ")"]


def _literal_pattern(pieces: list[Token], place: int) -> str:
    """Return the first of several arguments of a call of ``add`` if it is a literal string.

    Return an empty text otherwise. ``pieces`` are the tokens of the code, and ``place`` is the
    index of the first token after the opening bracket. In Kotlin, the name of the argument can
    precede it: ``pattern = "…"``.
    """
    if [each.text for each in pieces[place : place + 2]] == ["pattern", "="]:
        place += 2
    if not is_mark(pieces, place + 1, ","):
        return ""
    token = pieces[place]
    return token.text.strip("[]") if token.kind == "string" and not token.computed else ""


def _has_one_argument(pieces: list[Token], place: int) -> bool:
    """Return True if a call of ``add`` has at most one argument, and so adds no pin to a host.

    ``pieces`` are the tokens of the code, and ``place`` is the index of the first token after the
    opening bracket. Only a limited number of tokens is examined, because hostile code could
    otherwise make the run time quadratic. If the first argument has more tokens, return False.
    """
    depth = 0
    for token in pieces[place : place + _MAX_ARGUMENT]:
        text = "" if token.kind == "string" else token.text
        if not depth and text in {",", ")"}:
            return text == ")"
        depth += (text in {"(", "[", "{"}) - (text in {")", "]", "}"})
    return False


def _addition(pieces: list[Token], strings: list[int], site: CallSite) -> _Addition:
    """Return the host pattern and the pins of a call of ``add``.

    Args:
        pieces: the tokens of the code.
        strings: the token indexes of the call's arguments: the pattern, then the pins.
        site: the builder and the branch of the call.

    Raises:
        FormatError: a pin is invalid, a string has escapes, or the pattern ends in a dot.
    """
    pattern, *pins = [pieces[each].value() for each in strings]
    line = pieces[strings[0]].line
    with at_line(line):
        refuse_final_dot(pattern)
        return _Addition(pattern.strip("[]"), pins_from(pins), line, site)


def _refuse_lost_pins(additions: list[_Addition], computed: dict[str, int]) -> None:
    """Raise ``FormatError`` if an imported host can get a pin that is not a literal string.

    Without this pin, clients would refuse servers that OkHttp accepts.

    Args:
        additions: the calls of ``add`` with literal strings.
        computed: the lines of the other calls of ``add`` that name a host, by their host patterns.
    """
    imported = {_key(each.pattern) for each in additions}
    reached = imported.union(*map(_overlapping, imported))
    for pattern, line in computed.items():
        name = _key(pattern)
        if name in reached or not imported.isdisjoint(_overlapping(name)):
            raise FormatError(
                f"line {line}: {pattern[:80]} gets pins that are not literal strings",
                fix='import a copy of the file with these pins as "sha256/…", or use all pins '
                f"directly: {ADD_PINS}",
            )


def _refuse_mixed(additions: list[_Addition]) -> None:
    """Raise ``FormatError`` if a host could get different pins from two builders or branches.

    ``additions`` are the calls of ``add``. One builder or branch can be for debug builds, and an
    attacker can have the keys of its pins. Calls are refused too if it is unclear whether they
    belong to the same builder and branch.
    """
    groups: dict[str, list[_Addition]] = {}
    for each in additions:
        groups.setdefault(_key(each.pattern), []).append(each)
    pins = {name: _pins_by_site(group) for name, group in groups.items()}
    for name, group in groups.items():
        sites = pins[name]
        for other in group:
            if sites[other.site] != sites[group[0].site]:
                raise _mixed(group[0], other)
        for wider in _overlapping(name):
            theirs = pins.get(wider, sites)
            # Within one builder and branch, OkHttp accepts the pins of both patterns.
            same = next(iter(theirs.values())) == next(iter(sites.values()))
            if theirs.keys() != sites.keys() and not same:
                raise _mixed(*sorted([groups[wider][0], group[0]], key=attrgetter("line")))


def _pins_by_site(additions: list[_Addition]) -> dict[CallSite, set[Pin]]:
    found: dict[CallSite, set[Pin]] = {}
    for each in additions:
        found.setdefault(each.site, set()).update(each.pins)
    return found


def _key(pattern: str) -> str:
    try:
        return str(HostPattern.parse(pattern))
    except HostError:
        return pattern  # the import refuses it later


def _overlapping(name: str) -> Iterator[str]:
    """Yield all other host patterns that can cover a host of the pattern ``name``.

    OkHttp adds the pins of all patterns that cover a host. So the pins of these patterns may apply
    together with those of ``name``. ``name`` is a host pattern in normalised form (``_key``).
    """
    wildcard: Wildcard = "**." if name[:3] == "**." else "*." if name[:2] == "*." else ""
    pattern = HostPattern(wildcard, name.removeprefix(wildcard))
    yield from map(str, broader(pattern))
    if wildcard == "**.":  # its apex
        yield f"*.{pattern.name.partition('.')[2]}"


def _mixed(first: _Addition, second: _Addition) -> FormatError:
    hosts = " and ".join(dict.fromkeys(each.pattern[:80] for each in (first, second)))
    return FormatError(
        f"line {second.line}: other pins than in line {first.line} for {hosts}, from another "
        "CertificatePinner.Builder, block or branch: a pin file has one list for every build",
        fix="import a copy of the file with only the pins of a release, as one chain of calls",
    )


def _is_add(pieces: list[Token], place: int) -> bool:
    token = pieces[place]
    return (token.kind, token.text) == ("word", "add") and is_mark(pieces, place + 1, "(")


def _arguments(pieces: list[Token], place: int) -> list[int]:
    """Return the token indexes of a call's arguments, which must be strings.

    Return an empty list if another token is among the arguments, or if the call isn't closed.
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
