"""Cases of authorities that must not sign: the signatures are valid, but a constraint is violated.

The leaf has the server's own key and the root is pinned, so that pins can't refuse the chain. The
names of the forged intermediates are unique, because a client that caches honest intermediates
could otherwise build a path without the forged ones.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from certpin.lab.case import ALL_REJECT, ALL_WARN, Case, Family
from certpin.lab.forge import forgeries
from certpin.lab.scenario import Scenario, ServerStep
from certpin.pins.hosts import is_address

if TYPE_CHECKING:
    from certpin.lab.authority import Authority, Change
    from certpin.lab.pki import TestPKI

# The OID of an unknown extension, made from a random UUID (X.667).
UNKNOWN = x509.ObjectIdentifier("2.25.305419896305419896305419896")
# The names of a constraint; also addresses, because the host under test may be one.
_OTHERS = (
    x509.DNSName("permitted.example"),
    x509.IPAddress(ipaddress.ip_network("203.0.113.0/24")),  # RFC 5737
    x509.IPAddress(ipaddress.ip_network("2001:db8:ffff::/48")),  # RFC 3849
)


def _below(pki: TestPKI, issuer: Authority) -> Scenario:
    return Scenario.of(ServerStep.of(issuer.issue(pki.host, key=pki.leaf.key)))


def _ca_false(pki: TestPKI) -> Scenario:
    authority = pki.root.intermediate("Intermediate that is no CA")
    no_ca = x509.BasicConstraints(ca=False, path_length=None)
    kinds = (x509.BasicConstraints,)
    return _below(
        pki, forgeries.change_intermediate(authority, without=kinds, adding=((no_ca, True),))
    )


def _no_basic_constraints(pki: TestPKI) -> Scenario:
    authority = pki.root.intermediate("Intermediate without constraints")
    return _below(pki, forgeries.change_intermediate(authority, without=(x509.BasicConstraints,)))


def _too_long(pki: TestPKI) -> Scenario:
    authority = pki.root.intermediate("Intermediate of path length 0")
    last = x509.BasicConstraints(ca=True, path_length=0)
    kinds = (x509.BasicConstraints,)
    upper = forgeries.change_intermediate(authority, without=kinds, adding=((last, True),))
    return _below(pki, upper.intermediate("Intermediate one too many"))


def _other_names_only(pki: TestPKI) -> Scenario:
    """Return a scenario with a leaf from an issuer that is allowed to issue only for other hosts.

    The issuer's name constraints permit other DNS names and other IP addresses. Both are needed,
    because the host under test can be a name or an address.
    """
    return _below(
        pki, pki.root.intermediate("Intermediate for other names", change=_limit(*_OTHERS))
    )


def _widened(pki: TestPKI) -> Scenario:
    """Return a scenario with two intermediates: the upper excludes the host, the lower permits it.

    A client must refuse the host, because a certificate must satisfy the name constraints of all
    authorities above it (RFC 5280 section 6.1.4 (g)).
    """
    upper = pki.root.intermediate("Intermediate for other names, above", change=_limit(*_OTHERS))
    lower = upper.intermediate("Intermediate that widens", change=_limit(_permits(pki.host)))
    return _below(pki, lower)


def _limit(*permitted: x509.GeneralName) -> Change:
    """Return a function that adds critical name constraints to the builder of a CA certificate.

    The names in ``permitted`` are the only ones that certificates below this CA certificate are
    allowed to have.
    """
    constraints = x509.NameConstraints(permitted, excluded_subtrees=None)
    return lambda builder: builder.add_extension(constraints, critical=True)


def _permits(host: str) -> x509.GeneralName:
    if is_address(host):
        return x509.IPAddress(ipaddress.ip_network(host))
    return x509.DNSName(host)


def _no_purpose(pki: TestPKI) -> Scenario:
    """Return a scenario in which the leaf has an extended key usage without any purpose.

    So the leaf is not for TLS servers. Its key is the pinned one.
    """
    empty = x509.UnrecognizedExtension(ExtensionOID.EXTENDED_KEY_USAGE, b"\x30\x00")
    leaf = pki.intermediate.issue(pki.host, key=pki.leaf.key)
    kinds = (x509.ExtendedKeyUsage,)
    changed = forgeries.change_server(
        leaf, pki.intermediate, without=kinds, adding=((empty, False),)
    )
    return Scenario.of(ServerStep.of(changed))


def _for_clients(pki: TestPKI) -> Scenario:
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    leaf = pki.intermediate.issue(pki.host, key=pki.leaf.key)
    kinds = (x509.ExtendedKeyUsage,)
    changed = forgeries.change_server(
        leaf, pki.intermediate, without=kinds, adding=((usage, False),)
    )
    return Scenario.of(ServerStep.of(changed))


def _unknown_critical(pki: TestPKI) -> Scenario:
    unknown = x509.UnrecognizedExtension(UNKNOWN, b"\x05\x00")  # NULL in DER
    identity = pki.intermediate.issue(
        pki.host,
        key=pki.leaf.key,
        change=lambda builder: builder.add_extension(unknown, critical=True),
    )
    return Scenario.of(ServerStep.of(identity))


_FIX = (
    "let only the TLS library verify the chain: a custom loop that checks the signature of each "
    "certificate doesn't check who may sign (RFC 5280 section 6.1)"
)

CONSTRAINTS = (
    Case(
        name="ca-false",
        family=Family.CONSTRAINT,
        presents="R→X→L, where X is not a CA: basicConstraints with cA FALSE",
        expected=ALL_REJECT,
        guards="that the certificate of a server, which anyone can buy, can't issue others",
        reference="CVE-2021-3450; CVE-2002-0862; RFC 5280 section 6.1.4 (k)",
        fix=_FIX,
        scenario=_ca_false,
    ),
    Case(
        name="no-basic-constraints",
        family=Family.CONSTRAINT,
        presents="R→X→L, where X has no basicConstraints, although its keyUsage has keyCertSign",
        expected=ALL_REJECT,
        guards="that a CA must be marked as one: a certificate without basicConstraints, as in "
        "version 1, may not sign",
        reference="RFC 5280 section 6.1.4 (k)",
        fix=_FIX,
        scenario=_no_basic_constraints,
    ),
    Case(
        name="pathlen",
        family=Family.CONSTRAINT,
        presents="R→I(pathlen 0)→J→L: one authority too many",
        expected=ALL_REJECT,
        guards="that an authority which may only issue for servers can't create other authorities",
        reference="RFC 5280 section 6.1.4 (l)",
        fix=_FIX,
        scenario=_too_long,
    ),
    Case(
        name="name-constraints",
        family=Family.CONSTRAINT,
        presents="R→I→L, where I may only issue for permitted.example",
        expected=ALL_REJECT,
        guards="that an authority with name constraints, such as a company's, can't issue for "
        "your host",
        reference="RFC 5280 section 6.1.4 (g); CVE-2021-44532",
        fix=_FIX,
        scenario=_other_names_only,
    ),
    Case(
        name="name-constraints-widened",
        family=Family.CONSTRAINT,
        presents="R→I→J→L: I may only issue for permitted.example, and J permits itself the host",
        expected=ALL_REJECT,
        guards="that the constraints of all authorities on the path count, not only those of the "
        "last one",
        reference="RFC 5280 section 6.1.4 (g)",
        fix=_FIX,
        scenario=_widened,
    ),
    Case(
        name="extended-key-usage",
        family=Family.CONSTRAINT,
        presents="I→L that is only for TLS clients (extendedKeyUsage: clientAuth)",
        expected=ALL_REJECT,
        guards="that the certificate of a user or a device can't identify a server",
        reference="RFC 5280 section 4.2.1.12",
        fix="set the purpose of the verification. OpenSSL's clients do this by default; "
        "those of GnuTLS must pass GNUTLS_KP_TLS_WWW_SERVER to gnutls_certificate_verify_peers "
        "(wget calls gnutls_certificate_verify_peers2, and accepts: seen with 1.25.0)",
        scenario=_for_clients,
    ),
    Case(
        name="extended-key-usage-empty",
        family=Family.CONSTRAINT,
        presents="I→L with an extendedKeyUsage that lists no purpose",
        expected=ALL_WARN,
        guards="that a certificate for no purpose isn't one for every purpose. RFC 5280 forbids "
        "the empty list; Go's library reads it like a missing extension (observed with Go 1.24)",
        reference="RFC 5280 section 4.2.1.12: SIZE (1..MAX)",
        fix=f"{_FIX}; read a missing and an empty extendedKeyUsage differently",
        scenario=_no_purpose,
    ),
    Case(
        name="unknown-critical-extension",
        family=Family.CONSTRAINT,
        presents="I→L with an unknown critical extension",
        expected=ALL_REJECT,
        guards="that an unknown critical extension isn't ignored: it may restrict the certificate",
        reference="RFC 5280 section 4.2",
        fix=f"{_FIX}; never set X509_V_FLAG_IGNORE_CRITICAL",
        scenario=_unknown_critical,
    ),
)
