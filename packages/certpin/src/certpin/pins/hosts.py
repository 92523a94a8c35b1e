"""Host names in one canonical spelling, patterns of hosts, and public suffixes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

from certpin.errors import HostError
from certpin.x509 import quoted

MAX_NAME = 253  # RFC 1035 section 2.3.4, as text without the root's dot
_LABEL = "[a-z0-9_][a-z0-9_-]{0,62}"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*+")
_DOTS = re.compile("[.\u3002\uff0e\uff61]")  # RFC 3490 section 3.1
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

Wildcard = Literal["", "*.", "**."]


@lru_cache(maxsize=4096)
def normalise(host: str) -> str:
    """Return the canonical spelling of a host, which policies and OpenSSL are given.

    Lower case; A-labels by IDNA 2008 with the UTS #46 mapping (RFC 5891); one trailing dot
    removed; brackets and zone of an IPv6 literal removed (RFC 6874); an address in its canonical
    form (RFC 5952). An ASCII name that IDNA 2008 refuses, but a resolver accepts, is unchanged:
    ``xn--n3h.com``, ``a-.example``, ``r3---sn.xn--bcher-kva.example``. It has only one spelling, so
    it can't be confused with another name. Names with other letters must satisfy IDNA 2008.

    Raises:
        HostError: the text is not a host: ``a..b``, a host with a port, a label of 64 characters,
            or numbers that some programs read as an IPv4 address (``127.1``, ``0x7f.1``).
    """
    address = _address(host)
    if address is not None:
        return address
    name = host.lower() if host.isascii() else _to_ascii(host)
    name = name.removesuffix(".")
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        raise _refused(host)
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        # WHATWG URL, "ends in a number": programs disagree on which address this is.
        raise _refused(host)
    return name


def is_address(host: str) -> bool:
    """Return True if a normalised host is an IP address."""
    return ":" in host or _NUMBER.fullmatch(host.rpartition(".")[2]) is not None


@dataclass(frozen=True, slots=True)
class HostPattern:
    """A host (``api.bank.example``), or a wildcard that covers many.

    ``*.bank.example`` covers names with one more label. ``**.bank.example`` covers the name itself
    and every name below it. ``name`` is normalised. Wildcards over public suffixes are refused by
    the policy, not here.
    """

    wildcard: Wildcard
    name: str

    @staticmethod
    def parse(text: str) -> HostPattern:
        """Parse a pattern. Raises ``HostError`` if it is not a host, or a wildcard over one."""
        wildcard: Wildcard = (
            "**." if text.startswith("**.") else "*." if text.startswith("*.") else ""
        )
        name = normalise(text.removeprefix(wildcard))
        if wildcard and is_address(name):
            raise HostError(
                f"{quoted(text)} is a wildcard over an address", fix="name each address"
            )
        return HostPattern(wildcard, name)

    def matches(self, host: str) -> bool:
        """Return True if the pattern covers a normalised host."""
        if not self.wildcard:
            return host == self.name
        label, dot, parent = host.partition(".")
        if self.wildcard == "*.":
            return bool(label and dot) and parent == self.name
        return host == self.name or host.endswith("." + self.name)

    def __str__(self) -> str:
        return self.wildcard + self.name


def _address(host: str) -> str | None:
    text = host
    if host.startswith("[") and host.endswith("]"):
        text = host[1:-1]
        if ":" not in text:
            raise _refused(host)
    if ":" in text:
        text = text.partition("%")[0]
    if ":" not in text and not text[-1:].isdigit():
        return None  # a name; checked first, because most hosts are names
    import ipaddress  # on first need

    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _to_ascii(host: str) -> str:
    import idna  # on first need: most names are ASCII

    def encoded(label: str) -> str:
        return label.lower() if label.isascii() else idna.encode(label, uts46=True).decode("ascii")

    try:
        return ".".join(map(encoded, _DOTS.split(host)))
    except (idna.IDNAError, UnicodeError) as exc:
        raise HostError(
            f"{quoted(host)} is not an internationalised name",
            fix="check its spelling (IDNA 2008)",
        ) from exc


def _refused(host: str) -> HostError:
    return HostError(
        f"{quoted(host)} is not a host name or an IP address",
        fix="write it as api.bank.example, without scheme, port or path",
    )


def is_public_suffix(name: str) -> bool:
    """Return True if a normalised name is a public suffix, under which anyone may register.

    The rules are the ICANN section of the Public Suffix List (https://publicsuffix.org, MPL 2.0) in
    ``public_suffix.txt``, which ``make suffixes`` updates from the ``publicsuffixlist`` package. By
    the list's algorithm, an unknown top-level name is a suffix ("the prevailing rule is ``*``"),
    and so is a name with only suffixes below it (``kawasaki.jp``: ``*.kawasaki.jp``).
    """
    rules = _suffix_rules()
    if f"!{name}" in rules:
        return False
    _, dot, parent = name.partition(".")
    return not dot or not rules.isdisjoint({name, f"*.{name}", f"*.{parent}"})


@cache
def _suffix_rules() -> frozenset[str]:
    from importlib.resources import files  # a tenth of the import time, needed for wildcards only

    text = files("certpin.pins").joinpath("public_suffix.txt").read_text(encoding="ascii")
    return frozenset(line for line in text.splitlines() if not line.startswith("#"))
