"""Cases of unusual certificates below a root that the client trusts but has no pin for.

Some TLS libraries verify these certificates, and others refuse them. The pins must refuse all: a
client that can't read a key or a field must refuse the server.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certpin.lab.attacks.spellings import LONGEST_NAME
from certpin.lab.authority import Authority, Identity, rsa_key_of
from certpin.lab.case import PINS_REJECT_MAYBE_ALL, CannotServeError, Case, Family
from certpin.lab.forge import forgeries, large_rsa_key, pss_identity, version_1
from certpin.lab.pki import SAFE_PRIMES
from certpin.lab.scenario import Scenario, ServerStep
from certpin.pins.hosts import is_address

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

    from certpin.lab.pki import TestPKI

# OpenSSL reads certificates of up to 100 KiB in one handshake (SSL_CTX_set_max_cert_list), so that
# every name is read; the case ``exhausting-names`` exceeds that.
_MANY_NAMES = 2_000
# Dates after 2049 are encoded as GeneralizedTime (RFC 5280 section 4.1.2.5).
_LONG_LIFE = 10_950  # days: 30 years
_PRIVATE_OID = x509.ObjectIdentifier("2.25.305419896305419896305419897")  # from a UUID (X.667)


def _with_key(
    make: Callable[[], CertificateIssuerPrivateKeyTypes],
) -> Callable[[TestPKI], Scenario]:
    """Return a function that builds a scenario: an attacker's leaf with an unusual key.

    ``make`` makes the private key of the leaf.
    """
    return lambda pki: Scenario.of(ServerStep.of(pki.rogue.issue(pki.host, key=make())))


_large_key = cache(large_rsa_key)


def _pss(pki: TestPKI) -> Scenario:
    issued = pki.rogue.issue(pki.host, key=rsa_key_of(*SAFE_PRIMES))
    chain, key_pem = pss_identity(issued, pki.rogue)
    return Scenario.of(ServerStep(chain, key_pem))


def _version_1(pki: TestPKI) -> Scenario:
    if is_address(pki.host) or len(pki.host) > LONGEST_NAME:
        raise CannotServeError(f"{pki.host} can't be a common name, and version 1 has no other")
    identity = pki.rogue.issue(pki.host)
    return Scenario.of(
        ServerStep.of(replace(identity, chain=(version_1(identity.chain[0], pki.rogue),)))
    )


def _subject(name: x509.Name) -> Callable[[TestPKI], Scenario]:
    """Return a function that builds a scenario with an attacker's leaf with the subject ``name``.

    The host is in the SAN, which is critical if the subject is empty (RFC 5280 section 4.1.2.6).
    """

    def scenario(pki: TestPKI) -> Scenario:
        identity = pki.rogue.issue(pki.host)
        names = identity.chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName)
        forged = forgeries.change_server(
            identity,
            pki.rogue,
            without=(x509.SubjectAlternativeName,),
            adding=((names.value, not list(name)),),
            subject=name,
        )
        return Scenario.of(ServerStep.of(forged))

    return scenario


def with_other_names(issuer: Authority, host: str, count: int) -> Scenario:
    """Return a scenario with a leaf of ``issuer`` that has ``count`` names beside the host's.

    The names are in the SAN, after the host.
    """
    others = (f"{number}.shop.example" for number in range(count))
    return Scenario.of(ServerStep.of(issuer.issue(host, *others)))


def _odd_extensions(pki: TestPKI) -> Scenario:
    """Return a scenario with an attacker's leaf that has legal, but unusual extensions.

    Simple parsers may not expect them.
    """
    names = pki.rogue.issue(pki.host).chain[0].extensions
    hosts = names.get_extension_for_class(x509.SubjectAlternativeName).value
    odd = x509.SubjectAlternativeName(
        [
            x509.OtherName(_PRIVATE_OID, b"\x0c\x03odd"),
            x509.RFC822Name("hostmaster@evil.example"),
            x509.UniformResourceIdentifier("https://evil.example/"),
            x509.RegisteredID(_PRIVATE_OID),
            x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "odd")])),
            *hosts,
        ]
    )
    extra = (
        (x509.UnrecognizedExtension(_PRIVATE_OID, b""), False),  # no DER at all
        (x509.TLSFeature([x509.TLSFeatureType.status_request_v2]), False),
        (x509.InhibitAnyPolicy(2**31), False),
        (x509.PrivateKeyUsagePeriod(None, pki.now), False),
        (odd, False),
    )
    identity = forgeries.change_server(
        pki.rogue.issue(pki.host), pki.rogue, without=(x509.SubjectAlternativeName,), adding=extra
    )
    return Scenario.of(ServerStep.of(identity))


def _authority_as_server(pki: TestPKI) -> Scenario:
    """Return a scenario in which the attacker's server certificate is a CA certificate.

    It has the name of the host and the purpose of a TLS server, so some libraries accept it.
    """
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    names = pki.rogue.issue(pki.host).chain[0].extensions
    san = names.get_extension_for_class(x509.SubjectAlternativeName).value
    authority = pki.rogue.intermediate(
        "Authority as a server",
        change=lambda builder: builder.add_extension(purpose, critical=False).add_extension(
            san, critical=False
        ),
    )
    return Scenario.of(ServerStep.of(Identity(authority.key, (authority.x509,))))


def _wildcard(pki: TestPKI) -> Scenario:
    """Return a scenario with an attacker's leaf that has a wildcard, and a signature with SHA-384.

    Clients must support both properties, so neither is a reason to refuse the leaf. The case finds
    a client that skips its pin checks for such a leaf.
    """
    parent = pki.host.partition(".")[2]
    whole = is_address(pki.host) or "." not in parent  # no client accepts a wildcard for this host
    names = (pki.host, f"*.{_OTHER_DOMAIN}") if whole else (f"*.{parent}",)
    key = ec.generate_private_key(ec.SECP384R1())
    issuer = Authority("Rogue intermediate P-384", issuer=pki.rogue, key=key)
    return Scenario.of(ServerStep.of(issuer.issue(*names)))


def _without_purposes(pki: TestPKI) -> Scenario:
    """Return a scenario with an attacker's leaf that expires after 2049 and has no purposes.

    "No purposes" means that the leaf has no extended key usage extension. One case is enough for
    both properties, because Apple's platforms refuse a certificate for either of them.
    """
    identity = pki.rogue.issue(pki.host, days=_LONG_LIFE)
    without = (x509.ExtendedKeyUsage,)
    return Scenario.of(ServerStep.of(forgeries.change_server(identity, pki.rogue, without=without)))


_FIX = (
    "treat every error of the check as a refusal: take the SPKI bytes as they are in the "
    "certificate (certpin.Certificate, SecCertificateCopyKey is not enough), instead of decoding "
    "keys and fields, and let no exception reach a handler that accepts"
)
_OTHER_DOMAIN = "shop.example"
_ORGANISATION = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example Bank")])
_HEADERS = (
    "that a pin check doesn't depend on the kind of the key: code for iOS that puts fixed ASN.1 "
    "headers before raw keys knows only some"
)


def _leaf(
    name: str,
    presents: str,
    guards: str,
    scenario: Callable[[TestPKI], Scenario],
    reference: str = "CWE-636: not failing securely",
) -> Case:
    """Return a case of an attacker's unusual leaf, which the pins must refuse.

    Some TLS libraries refuse the leaf before the pins are checked, and others accept it. Both is
    right.

    Args:
        name: the name of the case.
        presents: what is unusual about the leaf.
        guards: the property of the client that the case checks.
        scenario: builds the scenario with the leaf.
        reference: the standard or document that requires this property.
    """
    return Case(
        name=name,
        family=Family.AUTHORITY,
        presents=f"R2→L′ {presents}",
        expected=PINS_REJECT_MAYBE_ALL,
        guards=guards,
        reference=reference,
        fix=_FIX,
        scenario=scenario,
    )


LEAVES = (
    _leaf(
        "rogue-ed25519",
        "with an Ed25519 key",
        _HEADERS,
        _with_key(ed25519.Ed25519PrivateKey.generate),
        "RFC 8410; TrustKit, pinning_utils: headers for four kinds of keys",
    ),
    _leaf(
        "rogue-p384",
        "with a key on the curve P-384",
        _HEADERS,
        _with_key(lambda: ec.generate_private_key(ec.SECP384R1())),
    ),
    _leaf(
        "rogue-p521",
        "with a key on the curve P-521",
        _HEADERS,
        _with_key(lambda: ec.generate_private_key(ec.SECP521R1())),
    ),
    _leaf(
        "rogue-rsa-pss",
        "with an RSA key for PSS only, which has another algorithm identifier",
        _HEADERS,
        _pss,
        "RFC 4055 section 1.2; RFC 8446 section 4.2.3 (rsa_pss_pss_sha256)",
    ),
    _leaf(
        "rogue-rsa-8192",
        "with an RSA key of 8192 bits",
        "that a buffer or a limit for keys doesn't end the check without a refusal",
        _with_key(_large_key),
    ),
    _leaf(
        "rogue-empty-subject",
        "with an empty subject, and the host in a critical SAN",
        "that code which reads the subject first doesn't skip the pins if there is none",
        _subject(x509.Name([])),
        "RFC 5280 section 4.1.2.6",
    ),
    _leaf(
        "rogue-no-common-name",
        "with a subject without a common name",
        "that code which looks for the common name doesn't skip the pins if there is none",
        _subject(_ORGANISATION),
        "CA/B Forum Baseline Requirements 7.1.4.3: the common name is not recommended",
    ),
    _leaf(
        "rogue-many-names",
        f"with {_MANY_NAMES:,} names in its SAN",
        "that a limit for the number of names or the size of a certificate doesn't skip the pins",
        lambda pki: with_other_names(pki.rogue, pki.host, _MANY_NAMES),
    ),
    _leaf(
        "rogue-odd-extensions",
        "with rare extensions, and names of other kinds in the SAN",
        "that a parser which doesn't know an extension doesn't skip the pins",
        _odd_extensions,
        "RFC 5280 section 4.2",
    ),
    _leaf(
        "rogue-version-1",
        "of version 1, which has no extensions",
        "that code which reads an extension doesn't skip the pins if there is none",
        _version_1,
        "RFC 5280 section 4.1.2.1",
    ),
    _leaf(
        "rogue-authority-as-server",
        "that is marked as an authority (basicConstraints with cA TRUE)",
        "that code which leaves out authorities to find the server's certificate doesn't find "
        "nothing, and accept",
        _authority_as_server,
        "CA/B Forum Baseline Requirements 7.1.2.7.8",
    ),
    _leaf(
        "rogue-wildcard",
        "with a wildcard that covers the host, and a signature with SHA-384",
        "that no exception for a kind of name or of signature skips the pins: an attacker chooses "
        "the fields of its certificate",
        _wildcard,
        "RFC 9525 section 6.3; RFC 5758 section 3.2",
    ),
    _leaf(
        "rogue-without-purposes",
        "without purposes (extendedKeyUsage), which expires after 2049",
        "that code which reads an extension or a date doesn't skip the pins if it is missing, or "
        "has another encoding",
        _without_purposes,
        "RFC 5280 sections 4.2.1.12 and 4.1.2.5",
    ),
)
