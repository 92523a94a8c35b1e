"""Helpers for platforms whose files list domain names, each with a flag for its subdomains."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from certpin.errors import FormatError, HostError, PinParseError
from certpin.formats.parsed import host_fix, read_timestamp
from certpin.pins import Pin
from certpin.pins.hosts import is_address, normalise
from certpin.x509 import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from certpin.formats.parsed import Found


_PREFIX = re.compile("(?:pin-)?sha256//?|sha256=")


def pattern(name: str, *, below: bool) -> str:
    """Convert a domain name in a platform's file to a host pattern.

    ``below`` is True if the file's entry for the name also covers all subdomains.

    Raises:
        FormatError: the name is empty, contains ``*``, which these platforms do not read as a
            wildcard, or is not spelt as these platforms spell the host of a connection: in lower
            case, in ASCII (``xn--…``, RFC 5891), without a dot at its end, and an address in its
            canonical form (RFC 5952) without brackets; or it is not a host name.
    """
    if not name:
        raise FormatError("a host has no name")
    if not name.isascii() or name != name.lower():
        raise _other_spelling(name)
    refuse_final_dot(name)
    if _is_other_address(name):
        raise _other_spelling(name)
    if "*" in name:
        raise FormatError(
            f"the platform reads {name[:80]!r} as a literal name, which no host has",
            fix="remove the star, and set the flag for subdomains",
        )
    try:
        normalise(name)  # here, because an error about the pattern would not show the file's text
    except HostError as exc:
        raise FormatError(exc.problem, fix=host_fix(name) or exc.fix) from exc
    return f"**.{name}" if below else name


def refuse_final_dot(name: str) -> None:
    """Raise ``FormatError`` if a host name ends in a dot, so that it doesn't pin the usual host.

    Platforms compare the name with its dot. Most remove the dot from the host of a connection (RFC
    3986, section 3.2.2), and find no host. OkHttp keeps it, and finds only a host with a dot.
    """
    if name.endswith("."):
        problem = f"{quoted(name)} ends in a dot, so the platform doesn't pin the host without it"
        raise FormatError(problem, fix=_right_spelling(name))


def _is_other_address(name: str) -> bool:
    try:
        host = normalise(name)
    except HostError:
        return False
    return is_address(host) and host != name


def _other_spelling(name: str) -> FormatError:
    """Return the error for a host name in a spelling that the platform never finds.

    An example is a name with capital letters: the platform compares it with the host in lower case,
    so its pins would be ignored.
    """
    problem = f"the platform compares {quoted(name)} literally, and finds no host"
    return FormatError(problem, fix=_right_spelling(name))


def _right_spelling(name: str) -> str:
    try:
        return f"write {normalise(name)}"
    except HostError:
        return "write it in lower case, in ASCII (xn--…) and without a dot at its end"


def exclusion(found: Iterable[Found], unpinned: Iterable[str]) -> FormatError | None:
    """Return an error if a file excludes a host from the pins of its parent domain; else None.

    A pin file can't express that a host has no pins, but its parent domain has pins for all
    subdomains.

    Args:
        found: the settings of the hosts with pins in the file.
        unpinned: the host names that the file lists without pins.
    """
    above = {each.pattern.removeprefix("**.").lower() for each in found if "*" in each.pattern}
    for name in unpinned:
        parent = name.lower().partition(".")[2]
        while parent:
            if parent in above:
                return FormatError(
                    f"{name[:80]!r} is excluded from the pins of **.{parent}, "
                    "which a pin file cannot express",
                    fix="give it its own pins, or list the pinned hosts individually",
                )
            parent = parent.partition(".")[2]
    return None


def read_digest(text: str, place: str) -> Pin:
    """Parse the SHA-256 of a public key in base64, which these platforms read without a prefix.

    ``text`` is the digest, and ``place`` the location in the file, for errors. Raises
    ``FormatError`` if the text is no such digest.
    """
    digest = _PREFIX.sub("", text)
    if digest != text:
        raise FormatError(
            f"{place}: {quoted(text)} has a prefix, and the platform reads only base64",
            fix=f"remove {text.removesuffix(digest)}: write {digest[:80]}",
        )
    try:
        return Pin.parse(f"sha256/{text}")
    except PinParseError as exc:
        raise FormatError(
            f"{place}: {exc.problem}",
            fix="write the SHA-256 of the public key in base64, without sha256/ (certpin pin HOST "
            "prints it)",
        ) from exc


def read_day(text: str) -> datetime:
    """Parse the date at which a platform stops pinning, such as ``2027-06-01``.

    ``text`` is the date, without a time and a zone. Raises ``FormatError`` for any other text.
    """
    if len(text) != len("2027-06-01"):
        raise FormatError(f"{text[:40]!r} is not a date", fix="write it as 2027-06-01")
    return read_timestamp(text)
