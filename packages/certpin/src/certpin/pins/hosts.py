"""Host names in one canonical spelling, host patterns, public suffixes, servers, report addresses.

Only commands use the servers of a host, to connect to them; clients don't. So policies are equal
even if their servers differ, and neither published sets nor exports contain servers
(docs/decisions, number 40).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Literal

from certpin.errors import ConfigError, HostError
from certpin.x509 import address_text, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable


MAX_NAME = 253  # RFC 1035 section 2.3.4, as text without the root's dot
ANY_LABEL = "_"  # for any label below a wildcard: no host has it (RFC 1123 section 2.1)
_LABEL = "[a-z0-9_][a-z0-9_-]{0,62}+"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_DOTS = re.compile("[.\u3002\uff0e\uff61]")  # RFC 3490 section 3.1
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

Wildcard = Literal["", "*.", "**."]


def normalise(host: str) -> str:
    """Return the canonical spelling of a host, which policies use and OpenSSL receives.

    A name becomes lower case, with A-labels by IDNA 2008 and the UTS #46 mapping (RFC 5891), and
    without one trailing dot. An address gets its canonical form (RFC 5952); brackets and zone of an
    IPv6 literal are removed (RFC 6874).

    An ASCII name that IDNA 2008 refuses, but a DNS resolver accepts, stays as it is:
    ``xn--n3h.com``, ``a-.example``, ``r3---sn.xn--bcher-kva.example``. Such a name has only one
    spelling, so it can't be confused with a different name. A name with non-ASCII letters must
    satisfy IDNA 2008.

    Raises:
        HostError: the text is not a host: ``a..b``, a host with a port, a label of 64 characters,
            or numbers that some programs read as an IPv4 address (``127.1``, ``0x7f.1``).
    """
    return _normalise(host, host)


@lru_cache(maxsize=4096)
def _normalise(host: str, written: str) -> str:
    """Do what ``normalise`` does. An error shows ``written``: the host, or its host pattern."""
    address = _address(host)
    if address is not None:
        return address
    name = host.lower() if host.isascii() else _to_ascii(host, written)
    name = name.removesuffix(".")
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        raise _refused(written)
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        # WHATWG URL, "ends in a number": programs disagree on which address this is.
        raise _refused(written)
    return name


def is_address(host: str) -> bool:
    """Return True if a normalised host is an IP address, and not a name."""
    return ":" in host or _NUMBER.fullmatch(host.rpartition(".")[2]) is not None


@dataclass(frozen=True, slots=True)
class HostPattern:
    """A host (``api.bank.example``), or a wildcard that covers many hosts.

    ``*.bank.example`` covers names with exactly one more label. ``**.bank.example`` covers the name
    itself and every name below it. ``HostPolicy``, and not this class, refuses wildcards over
    public suffixes.

    Attributes:
        wildcard: ``*.``, ``**.``, or empty for a single host.
        name: the normalised name without the wildcard.
    """

    wildcard: Wildcard
    name: str

    @staticmethod
    def parse(text: str) -> HostPattern:
        """Return the host pattern of a text.

        Raises ``HostError`` if the text is neither a host nor a wildcard.
        """
        wildcard: Wildcard = (
            "**." if text.startswith("**.") else "*." if text.startswith("*.") else ""
        )
        name = _normalise(text.removeprefix(wildcard), text)
        if wildcard and is_address(name):
            raise HostError(
                f"{quoted(text)} is a wildcard over an address", fix="name each address"
            )
        return HostPattern(wildcard, name)

    def matches(self, host: str) -> bool:
        """Return True if the pattern covers a host. The host must be normalised.

        ``PinSet.policy_for`` finds the policy of a connection: by lookup, and with the same rules.
        """
        if not self.wildcard:
            return host == self.name
        label, dot, parent = host.partition(".")
        if self.wildcard == "*.":
            return bool(label and dot) and parent == self.name
        return host == self.name or host.endswith("." + self.name)

    def examples(self) -> tuple[str, ...]:
        """Return example hosts that the pattern covers, to compare patterns of different policies.

        For a pattern without a wildcard, return its host. For ``*.``, return one subdomain. For
        ``**.``, return the domain, a subdomain, and a subdomain of that subdomain, because other
        patterns can cover only some of these.
        """
        if not self.wildcard:
            return (self.name,)
        one = f"{ANY_LABEL}.{self.name}"
        two = f"{ANY_LABEL}.{one}"
        return (one,) if self.wildcard == "*." else (self.name, one, two)

    def covers(self, other: HostPattern) -> bool:
        """Return True if the pattern covers every host that the pattern ``other`` covers.

        ``bank.example`` does not cover ``*.bank.example``, although both have the same name.
        """
        return all(map(self.matches, other.examples()))

    def __str__(self) -> str:
        return self.wildcard + self.name


def covering_patterns(host: str) -> tuple[str, ...]:
    """Return every pattern that covers a host, as text, the most specific first.

    An exact name precedes wildcards, a longer name in a wildcard precedes a shorter one, and ``*.``
    precedes ``**.`` over the same name. A name with n labels has n + 2 patterns.

    ``PinSet.policy_for`` looks these up. The rules are those of ``HostPattern.matches``
    (tests/pins/test_pinset.py compares both).

    Args:
        host: a normalised name or IP address.
    """
    if is_address(host):
        return (host,)
    _, _, parent = host.partition(".")
    found = [host, f"**.{host}", f"*.{parent}"]
    while parent:
        found.append(f"**.{parent}")
        _, _, parent = parent.partition(".")
    return tuple(found)


def _address(host: str) -> str | None:
    text = host
    if host.startswith("[") and host.endswith("]"):
        text = host[1:-1]
        if ":" not in text:
            return None  # only IPv6 has brackets, so ``normalise`` refuses this
    before_zone = text.partition("%")[0]
    if ":" in before_zone:  # only IPv6 has zones
        text = before_zone
    if ":" not in text and not text[-1:].isdigit():
        return None  # a name; checked first, because most hosts are names
    import ipaddress  # on first need

    try:
        return address_text(ipaddress.ip_address(text))
    except ValueError:
        return None


def _to_ascii(host: str, written: str) -> str:
    import idna  # on first need: most names are ASCII

    def encoded(label: str) -> str:
        return label.lower() if label.isascii() else idna.encode(label, uts46=True).decode("ascii")

    try:
        return ".".join(map(encoded, _DOTS.split(host)))
    except (idna.IDNAError, UnicodeError) as exc:
        raise HostError(
            f"{quoted(written)} is not an internationalised name",
            fix="check its spelling (IDNA 2008)",
        ) from exc


def _refused(written: str) -> HostError:
    return HostError(
        f"{quoted(written)} is not a host name or an IP address",
        fix="write it as api.bank.example, without scheme, port or path",
    )


def is_public_suffix(name: str) -> bool:
    """Return True if a name is a public suffix: a domain in which everyone may register names.

    The rules are the ICANN section of the Public Suffix List (https://publicsuffix.org, MPL 2.0) in
    ``public_suffix.txt``, which ``make suffixes`` updates from the ``publicsuffixlist`` package. By
    the list's algorithm, an unknown top-level name is a suffix ("the prevailing rule is ``*``").
    certpin also treats a name as a suffix if every name below it is one (``kawasaki.jp``, because
    of the rule ``*.kawasaki.jp``).

    Args:
        name: a normalised host name.
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


StartTLS = Literal["smtp", "imap", "pop3", "ftp", "ldap", "xmpp", "postgres", "mysql"]

_MAX_REGION = 64  # characters


@dataclass(frozen=True)
class HostServer:
    """A server of a host, to which certpin's commands connect.

    Attributes:
        address: a normalised host name or IP address; if empty, connect to the name in the host
            pattern of the policy.
        port: the TCP port; ``None`` for the default: 443, or the port of ``starttls``.
        starttls: the protocol (``StartTLS``) that upgrades to TLS; ``None`` for TLS from the start.
        region: a label for the server that output shows.
    """

    address: str = ""
    port: int | None = None
    starttls: str | None = None
    region: str = ""

    @staticmethod
    def parse(text: str, *, starttls: str | None = None, region: str = "") -> HostServer:
        """Return the server with an ``address`` as it is written in a pin file.

        The address is ``HOST``, ``HOST:PORT`` or ``[IPv6]:PORT``. ``starttls`` and ``region`` are
        stored unchanged. Raises ``HostError`` if the address is invalid.
        """
        if "/" in text:
            raise unreadable_address(text)
        address, port = split_address(text, 0)
        return HostServer(address, port or None, starttls, region)

    def name_for(self, pattern: HostPattern) -> str | None:
        """Return the server name (SNI) that commands send to this server to check a pattern.

        Args:
            pattern: the host pattern of the policy.

        Returns:
            If the pattern is a wildcard that covers this server's address, the address. Otherwise
            the name in the pattern, without ``**.``. But for a pattern with ``*.``, ``None``: it
            does not cover the name behind ``*.``.
        """
        if pattern.wildcard and self.address and pattern.matches(self.address):
            return self.address
        return None if pattern.wildcard == "*." else pattern.name

    def address_text(self, pattern: HostPattern) -> str:
        """Return the server's ``address`` as text for a pin file: ``HOST``, ``HOST:PORT`` or empty.

        Empty means: the name in ``pattern`` with the default port.
        """
        if self.port is None:
            return self.address
        return join_address(self.address or pattern.name, self.port)


def check_servers(pattern: HostPattern, servers: Iterable[HostServer]) -> None:
    """Raise an error if a policy's servers are invalid.

    Args:
        pattern: the host pattern of the policy.
        servers: its servers.

    Raises:
        ConfigError: no server name (SNI) is known for a server, because the pattern is a wildcard
            that doesn't cover its address; a region is invalid; or a server is listed twice.
    """
    seen: set[HostServer] = set()
    for index, server in enumerate(servers):
        key = f"server[{index}]"
        if server.name_for(pattern) is None:
            raise ConfigError(
                f"{pattern} is a wildcard, and this server has no name that it covers",
                key=f"{key}.address",
                fix=f'write the name of one host: address = "api.{pattern.name}:443"',
            )
        if len(server.region) > _MAX_REGION or not server.region.isprintable():
            raise ConfigError(
                "this is not a valid region",
                key=f"{key}.region",
                fix=f"write at most {_MAX_REGION} printable characters",
            )
        if server in seen:
            raise ConfigError("this server is listed twice", key=key, fix="remove one of the two")
        seen.add(server)


def split_address(text: str, default_port: int = 443) -> tuple[str, int]:
    """Return host and port of ``HOST``, ``HOST:PORT``, ``[IPv6]:PORT`` or an https URL.

    Path and query of a URL are ignored.

    Args:
        text: the address.
        default_port: the port to return if the text has no port.

    Raises:
        HostError: the text is not an address, or contains a user name or a password.
    """
    from urllib.parse import urlsplit  # a large part of the import time of certpin

    if not text.isprintable() or " " in text:
        raise unreadable_address(text)  # urlsplit would ignore line ends
    if _is_bare_ipv6(text):
        address = _address(text)
        if address is None:
            raise unreadable_address(text)  # such as a host with two ports
        return address, default_port
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        host, port = parts.hostname or "", parts.port
    except ValueError as exc:
        raise unreadable_address(text) from exc
    if parts.scheme == "http" and host and "@" not in text:
        raise HostError(
            f"{text[:80]!r} is an address without TLS: such a server has no certificate",
            fix=f"write the host with its TLS port: {join_address(host[:80], 443)}",
        )
    if port == 0 or not host or parts.scheme not in {"", "https"} or "@" in parts.netloc:
        raise unreadable_address(text)
    return normalise(host), port or default_port


def join_address(host: str, port: int) -> str:
    """Return ``HOST:PORT``, with the brackets that an IPv6 address needs there."""
    return f"{bracketed(host)}:{port}"


def short_address(host: str, port: int | None) -> str:
    """Return ``HOST:PORT`` as an argument for a command; only the host if the port is 443 or None.

    ``None`` means that the port is unknown.
    """
    return join_address(host, port) if port and port != 443 else host


def bracketed(host: str) -> str:
    """Return a host in the form for URLs: IPv6 in brackets (RFC 3986 section 3.2.2)."""
    return f"[{host}]" if ":" in host else host


def unreadable_address(text: str) -> HostError:
    """Return the error for a text that should be a host with a port, but is something else.

    The caller raises the error. A text with ``@`` is not quoted in the error, because it can
    contain a password. If the text has bytes that are not in the encoding of the command line (PEP
    383 makes them surrogates), the fix in the error names the locale.
    """
    shown = "an address with a user name or a password" if "@" in text else repr(text[:80])
    if any("\udc80" <= character <= "\udcff" for character in text):
        return HostError(
            f"{shown} has bytes that are not in the encoding of this terminal (its locale)",
            fix="write the name in ASCII (xn--…), or set a UTF-8 locale, such as LC_ALL=C.UTF-8",
        )
    return HostError(
        f"{shown} is not a host with a port",
        fix="write HOST, HOST:PORT or [IPv6]:PORT, with a port from 1 to 65535; name a protocol "
        'other than https with --starttls (in a pin file: starttls = "smtp")',
    )


def _is_bare_ipv6(text: str) -> bool:
    """Return True for an IPv6 address without brackets.

    The number after its last colon is then no port.
    """
    return text.count(":") > 1 and not text.startswith("[") and not {"/", "@"} & set(text)


# https to any host, http only to this machine (a collector under test); no user and no password.
_REPORT_ADDRESS = re.compile(
    r"(?:https://[^\s/?#@]+|http://(?:127\.0\.0\.1|\[::1\]|localhost)(?::[0-9]+)?)(?:[/?#]\S*)?"
)


def is_report_address(address: str) -> bool:
    """Return True if reports can be sent to this URL: https to any host, or http to this machine.

    The URL must be printable ASCII (RFC 3986 section 2), without a user name.
    """
    printable = address.isascii() and address.isprintable()
    return printable and _REPORT_ADDRESS.fullmatch(address) is not None


def check_report_address(address: str) -> None:
    """Raise ``ConfigError`` unless reports can be sent to this URL (see ``is_report_address``)."""
    if not is_report_address(address):
        raise ConfigError(
            f"{quoted(address)} is not an https:// address",
            key="report_to",
            fix="reports name hosts and certificates: send them over TLS",
        )
