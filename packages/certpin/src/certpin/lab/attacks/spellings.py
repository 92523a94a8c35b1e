"""Cases of names in an unusual place or form: before a NUL, in the subject, or as an address.

The leaf has the server's own key, so that pins match.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509

from certpin.lab.case import (
    ALL_ACCEPT,
    ALL_REJECT,
    ALL_WARN,
    CannotServeError,
    Case,
    Family,
    lab_leaf_scenario,
)
from certpin.lab.forge import forgeries
from certpin.lab.scenario import Scenario, ServerStep
from certpin.pins.hosts import is_address

if TYPE_CHECKING:
    from certpin.lab.pki import TestPKI

_ATTACKER = "evil.example"
_THIS_MACHINE = "localhost"
LONGEST_NAME = 64  # ub-common-name (RFC 5280 appendix A.1)


def ipv4(host: str) -> str:
    """Return the IPv4 address that the client has to request in place of ``host``.

    It is 127.0.0.1 if the host is on this machine. Otherwise it is an address for documentation
    (RFC 5737): the client reaches it only through the lab's proxy. 127.0.0.1 can't be used for such
    hosts, because some clients use no proxy for this address.
    """
    return "127.0.0.1" if _is_here(host) else "192.0.2.1"


def ipv6(host: str) -> str:
    """Return the IPv6 address that the client has to request in place of ``host``.

    It is ``::1`` if the host is on this machine, and otherwise an address for documentation (RFC
    3849).
    """
    return "::1" if _is_here(host) else "2001:db8::1"


def _is_here(host: str) -> bool:
    return host in {_THIS_MACHINE, "127.0.0.1", "::1"} or host.endswith(f".{_THIS_MACHINE}")


def _with_san(pki: TestPKI, subject: str, *names: x509.GeneralName) -> Scenario:
    """Return a scenario in which the leaf has the server's own key, and the given subject and SAN.

    Args:
        pki: the keys and certificates of the case.
        subject: the common name of the leaf.
        names: the names in the SAN. Without names, the leaf has no SAN.
    """
    identity = pki.intermediate.issue(subject, key=pki.leaf.key)
    san = ((x509.SubjectAlternativeName(names), False),) if names else ()
    kinds = (x509.SubjectAlternativeName,)
    return Scenario.of(
        ServerStep.of(
            forgeries.change_server(identity, pki.intermediate, without=kinds, adding=san)
        )
    )


def _nul_in_name(pki: TestPKI) -> Scenario:
    return _with_san(pki, _ATTACKER, x509.DNSName(_behind_nul(pki.host)))


def _nul_in_common_name(pki: TestPKI) -> Scenario:
    name = _behind_nul(pki.host)
    if len(name) > LONGEST_NAME:
        raise CannotServeError(f"{pki.host} is too long for a common name")
    return _with_san(pki, name)


def _behind_nul(host: str) -> str:
    """Return a name that consists of the host, a NUL character, and the attacker's domain.

    A careless issuer checks only the domain after the NUL. A careless client reads the name as a C
    string, which ends at the NUL, and compares only the host.

    Raises:
        CannotServeError: the host is an address.
    """
    if is_address(host):
        raise CannotServeError(f"{host} is an address: it has no spelling with a NUL")
    return f"{host}\0.{_ATTACKER}"


def _cn_only(pki: TestPKI) -> Scenario:
    if len(pki.host) > LONGEST_NAME:
        raise CannotServeError(f"{pki.host} is too long for a common name")
    return _with_san(pki, pki.host)


def _cn_beside_san(pki: TestPKI) -> Scenario:
    if len(pki.host) > LONGEST_NAME:
        raise CannotServeError(f"{pki.host} is too long for a common name")
    return _with_san(pki, pki.host, x509.DNSName(_ATTACKER))


def _address_as_name(pki: TestPKI) -> Scenario:
    return _with_san(pki, pki.host, x509.DNSName(pki.host))


_FIX_LIBRARY = "let a current TLS library compare names: remove code that compares"

SPELLINGS = (
    Case(
        name="nul-in-name",
        family=Family.NAME,
        presents="I→L with the SAN HOST\\0.evil.example",
        expected=ALL_REJECT,
        guards="that the whole name is compared: C strings end at the NUL, but the issuer's "
        "comparison did not",
        reference="CVE-2009-2417; CVE-2009-2408",
        fix=f"{_FIX_LIBRARY} names as C strings (strcmp), or cuts them at a NUL",
        scenario=_nul_in_name,
    ),
    Case(
        name="nul-in-common-name",
        family=Family.NAME,
        presents="I→L without a SAN, with the common name HOST\\0.evil.example",
        expected=ALL_REJECT,
        guards="the same for the subject, which old clients fall back to",
        reference="CVE-2009-2417; CVE-2009-2408",
        fix=f"{_FIX_LIBRARY} names as C strings, and never look at the common name",
        scenario=_nul_in_common_name,
    ),
    Case(
        name="cn-only",
        family=Family.NAME,
        presents="I→L without a SAN: the right name, only in the subject",
        expected=ALL_WARN,
        guards="that names are read from the SAN: the subject is free text, and name constraints "
        "don't apply to it everywhere",
        reference="RFC 9525 section 2; CA/B Forum Baseline Requirements 7.1.4.3",
        fix="switch the common name off: in Python, context.hostname_checks_common_name = False; "
        "in OpenSSL, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT",
        scenario=_cn_only,
    ),
    Case(
        name="cn-beside-other-san",
        family=Family.NAME,
        presents="I→L with the right name in the subject, and evil.example in the SAN",
        expected=ALL_REJECT,
        guards="that the subject is not read if there is a SAN: it is free text",
        reference="RFC 9525 section 2; RFC 6125 section 6.4.4; CVE-2014-3577",
        fix="compare the host with the SAN only; in Java, leave the endpoint identification "
        "algorithm HTTPS enabled",
        scenario=_cn_beside_san,
    ),
    Case(
        name="ip-without-ip-san",
        family=Family.NAME,
        presents="I→L for an address that is a dNSName in the SAN, and the common name",
        expected=ALL_REJECT,
        guards="that the name is also checked if the client connects to an address",
        reference="CVE-2024-2466; RFC 9525 section 6.4",
        fix="verify addresses against the iPAddress entries of the SAN (server_hostname takes "
        "an address too): don't disable the check because there is no name; curl with mbedTLS: "
        "8.7.0 or newer",
        scenario=_address_as_name,
        host=ipv4,
    ),
    Case(
        name="ipv6-san",
        family=Family.NAME,
        presents="I→L for an IPv6 address, with its iPAddress in the SAN",
        expected=ALL_ACCEPT,
        guards="that IPv6 addresses are compared as addresses, without brackets and zone, and "
        "that their pins are found",
        reference="RFC 9525 section 6.4; RFC 5280 section 4.2.1.6",
        fix="compare addresses as bytes, not as text; look the pins up by the address without "
        "brackets",
        scenario=lab_leaf_scenario,
        host=ipv6,
    ),
)
