"""The hosts for which clients accept a certificate, by the names in its subjectAltName.

The rules are those of RFC 9525, as OpenSSL applies them with Python's settings:

1. Only the subjectAltName counts: a common name is no host.
2. An IP address in the subjectAltName counts only with the type iPAddress, and not as a DNS name.
3. A DNS name is compared byte by byte, without regard to ASCII case, with the name that the client
   looks up. So a DNS name with non-ASCII letters (U-labels) or a trailing dot never matches.
4. A wildcard must be the whole first label. It covers exactly one label of letters, digits and
   hyphens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from certpin.errors import HostError
from certpin.pins.hosts import HostPattern, is_address, normalise

if TYPE_CHECKING:
    from certpin.x509 import Certificate

# The label that OpenSSL lets a wildcard match, and the rest of the name: at least two labels, and
# no underscore in either (wildcard_match and valid_star, crypto/x509/v3_utl.c).
_LABEL = re.compile(r"[a-z0-9-]+")
_PARENT = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+")


def name_matches(host: str, leaf: Certificate) -> bool:
    """Return True if a certificate is valid for a normalised host, as OpenSSL decides (RFC 9525).

    Only the subjectAltName counts: a certificate with only a common name is valid for no host.

    Args:
        host: a normalised name or IP address.
        leaf: the certificate of the server.

    Raises:
        CertificateParseError: the subjectAltName can't be read.
    """
    if is_address(host):
        return host in leaf.addresses
    names = _lower_case_names(leaf)
    label, _, parent = host.partition(".")
    wild = bool(_LABEL.fullmatch(label) and _PARENT.fullmatch(parent))
    return host in names or (wild and f"*.{parent}" in names)


def certified_hosts(leaf: Certificate) -> tuple[HostPattern, ...]:
    """Return the hosts for which clients accept a certificate: its DNS names, then its addresses.

    Names that no client matches are left out, such as ``DNS:127.0.0.1`` and ``DNS:localhost.``. A
    wildcard is returned as a pattern. But OpenSSL does not accept the certificate for every host
    that the pattern covers: use ``name_matches`` to check a single host.

    Args:
        leaf: the certificate of the server.

    Raises:
        CertificateParseError: the subjectAltName can't be read.
    """
    names = [pattern for name in leaf.dns_names if (pattern := _pattern_of_name(name))]
    addresses = [HostPattern("", address) for address in leaf.addresses]
    return tuple(dict.fromkeys([*names, *addresses]))


@dataclass(frozen=True)
class NameFault:
    """A fault of a certificate: it has a host as a name in a form that no client matches.

    Attributes:
        problem: a clause that describes the fault. It begins with "it", which means the
            certificate.
        fix: the advice to get a certificate that has the host in a form that clients match.
    """

    problem: str
    fix: str


def name_fault(pattern: HostPattern, leaf: Certificate) -> NameFault | None:
    """Find a name in a certificate that means a host, but has a form that no client matches.

    For example, an IP address that is written as a DNS name. Call it for a certificate that clients
    refuse for the host, to explain the refusal.

    Args:
        pattern: the host, or the pattern of hosts, for which clients refuse the certificate.
        leaf: the certificate of the server.

    Returns:
        The fault of the first such name; None if the certificate has no such name.

    Raises:
        CertificateParseError: the subjectAltName can't be read.
    """
    for name in leaf.dns_names:
        try:
            meant = HostPattern.parse(name)
        except HostError:
            continue
        if _pattern_of_name(name) or not (meant.covers(pattern) or pattern.covers(meant)):
            continue
        if is_address(meant.name):
            return NameFault(
                f"it has {meant} as a DNS name, and clients compare an IP address only with the "
                "entries of the type iPAddress",
                f"get a certificate with subjectAltName = IP:{meant}",
            )
        return NameFault(
            f"it has the DNS name {name[:80]!a}, and no client matches a name in this form",
            f"get a certificate with {_entries(pattern, meant)}",
        )
    return None


def _entries(pattern: HostPattern, meant: HostPattern) -> str:
    """Return the names that a new certificate needs, as text for the fix of a ``NameFault``.

    Args:
        pattern: the host, or the pattern of hosts, for which clients refuse the present
            certificate.
        meant: the faulty DNS name in the present certificate, as a host or pattern.
    """
    if not pattern.wildcard:
        return f"subjectAltName = DNS:{pattern}"
    if meant.wildcard == "**.":
        return f"subjectAltName = DNS:{meant.name}, DNS:*.{meant.name}"
    if _pattern_of_name(str(meant)):
        return f"subjectAltName = DNS:{meant}"
    return "the names of the hosts themselves: clients accept no such wildcard"


def _pattern_of_name(name: str) -> HostPattern | None:
    """Return a DNS name of a certificate as a host pattern; None if no client matches the name."""
    lower = name.lower()
    if lower.startswith("*."):
        parent = lower.removeprefix("*.")
        return HostPattern("*.", parent) if _PARENT.fullmatch(parent) else None
    try:
        is_usable = normalise(name) == lower and not is_address(lower)
    except HostError:
        return None
    return HostPattern("", lower) if is_usable else None


# Many hosts share a certificate.
@lru_cache(maxsize=1024)
def _lower_case_names(leaf: Certificate) -> frozenset[str]:
    return frozenset(map(str.lower, leaf.dns_names))
