"""Cases of weak server keys, of weak cipher suites, and of predictable session keys.

OpenSSL serves most of them at security level 0. The lab's own TLS 1.2 (``server.weak_tls``) serves
three others: Diffie-Hellman groups below 1024 bits (Logjam), which OpenSSL refuses at every level;
3DES, which many builds don't have; and an early ChangeCipherSpec, after which the session keys
don't depend on the key exchange.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import dsa, ec

from certpin.lab.attacks.rotation import with_unpinned_key
from certpin.lab.attacks.weakness import FIX_LEVEL
from certpin.lab.authority import new_rsa_key
from certpin.lab.case import ALL_POLICY, ALL_REJECT, Case, Expect, Expected, Family
from certpin.lab.forge import small_rsa_key
from certpin.lab.scenario import Role, Scenario, ServerStep, TLSSettings, Weakness

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

    from certpin.lab.pki import TestPKI

# The second Oakley group (RFC 2409 section 6.2): a prime of 1024 bits that many servers share.
_GROUP_2 = """-----BEGIN DH PARAMETERS-----
MIGHAoGBAP//////////yQ/aoiFowjTExmKLgNwc0SkCTgiKZ8x0Agu+pjsTmyJR
Sgh5jjQE3e+VGbPNOkMbMCsKbfJfFDdP4TVtbVHCReSFtXZiXn7G9ExC6aY37WsL
/1y29Aa37e44a/taiZ+lrp8kEXxLH+ZJKGZR7OZTgf//////////AgEC
-----END DH PARAMETERS-----
"""
_TLS12 = TLSSettings(newest="TLSv1_2")
_DSS = TLSSettings(newest="TLSv1_2", ciphers="DHE-DSS-AES128-GCM-SHA256", dh_params=_GROUP_2)

_rsa_1024 = cache(lambda: new_rsa_key(1024))
_dsa_1024 = cache(lambda: dsa.generate_private_key(1024))  # noqa: S505  # the point


def _p192() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP192R1())


def _with_key(
    make: Callable[[], CertificateIssuerPrivateKeyTypes], settings: TLSSettings = _TLS12
) -> Callable[[TestPKI], Scenario]:
    """Return a function that builds a scenario in which the server has a new, weak key.

    ``make`` makes the key, and ``settings`` are the TLS settings of the server.
    """
    return lambda pki: with_unpinned_key(pki, make(), settings=settings)


def _factored(pki: TestPKI) -> Scenario:
    identity = pki.intermediate.issue(pki.host, key=small_rsa_key())
    return Scenario.of(ServerStep.of(identity, settings=_TLS12))


def _suite(ciphers: str, dh_params: str = "") -> Callable[[TestPKI], Scenario]:
    """Return a function that builds a scenario: TLS 1.2, an RSA key, and the suites ``ciphers``.

    ``ciphers`` is in OpenSSL's syntax. ``dh_params`` are the Diffie-Hellman parameters as PEM;
    empty for none.
    """
    settings = TLSSettings(newest="TLSv1_2", ciphers=ciphers, dh_params=dh_params)
    return lambda pki: Scenario.of(ServerStep.of(pki.backup, role=Role.HONEST, settings=settings))


def _weak(weakness: Weakness, role: Role = Role.ATTACKER) -> Callable[[TestPKI], Scenario]:
    """Return a function that builds a scenario: TLS 1.2 with a given weakness, and an RSA key.

    Args:
        weakness: the weak TLS feature or flaw of the server.
        role: ``Role.ATTACKER`` if the weakness lets anyone in the network read the connection;
            otherwise ``Role.HONEST``.
    """
    settings = TLSSettings(newest="TLSv1_2", weakness=weakness)
    return lambda pki: Scenario.of(ServerStep.of(pki.backup, role=role, settings=settings))


_UNPINNED = Expected(Expect.POLICY, Expect.REJECT, Expect.POLICY)
_FIX_KEY = f"{FIX_LEVEL}; don't lower it for an old server"
_FIX_SUITE = (
    "allow the suites with ECDHE and an AEAD only (ECDHE+AESGCM:ECDHE+CHACHA20, "
    "ConnectionSpec.RESTRICTED_TLS), or TLS 1.3 only"
)

_FIX_GROUP = (
    "offer no suites with DHE, or leave the minimum of the group to the TLS library: look for "
    "minDHSize, --dh-bits, gnutls_dh_set_prime_bits and an empty jdk.tls.disabledAlgorithms"
)
_FIX_LIBRARY = (
    "update the TLS library (OpenSSL 0.9.8za, 1.0.0m and 1.0.1h have the fix), and use none of "
    "your own"
)

WEAK_KEYS = (
    Case(
        name="weak-leaf-rsa-512",
        family=Family.CONSTRAINT,
        presents="I→L′ with an RSA key of 512 bits, which an attacker has factored",
        expected=ALL_REJECT,
        guards="that the server's key has a minimum size: one of 512 bits is factored in "
        "hours, for the price of a meal",
        reference="CVE-2015-0204 (FREAK); Factoring as a Service, 2015",
        fix=_FIX_KEY,
        scenario=_factored,
    ),
    Case(
        name="weak-leaf-rsa-1024",
        family=Family.CONSTRAINT,
        presents="I→L with an RSA key of 1024 bits, which is not pinned",
        expected=_UNPINNED,
        guards="whether the client has a minimum for the server's key; pins on the server's key "
        "must refuse it whatever its size",
        reference="NIST SP 800-57 part 1; CA/B Forum Baseline Requirements 6.1.5",
        fix=_FIX_KEY,
        scenario=_with_key(_rsa_1024),
    ),
    Case(
        name="weak-leaf-dsa",
        family=Family.CONSTRAINT,
        presents="I→L with a DSA key of 1024 bits, which is not pinned",
        expected=_UNPINNED,
        guards="whether the client still offers suites with DSA; pins on the server's key must "
        "refuse it whatever its kind",
        reference="FIPS 186-5: DSA is no longer approved",
        fix=_FIX_KEY,
        scenario=_with_key(_dsa_1024, _DSS),
    ),
    Case(
        name="weak-leaf-p192",
        family=Family.CONSTRAINT,
        presents="I→L with a key on the curve P-192, which is not pinned",
        expected=_UNPINNED,
        guards="whether the client accepts curves below P-256; pins on the server's key must "
        "refuse it whatever its curve",
        reference="NIST SP 800-57 part 1; RFC 8422 section 5.1.1",
        fix=_FIX_KEY,
        scenario=_with_key(_p192),
    ),
    Case(
        name="suite-static-rsa",
        family=Family.PROTOCOL,
        presents="I→B with a suite without an ephemeral key exchange (static RSA)",
        expected=ALL_POLICY,
        guards="whether the client does without forward secrecy: a stolen key then opens every "
        "recorded connection",
        reference="RFC 9325 section 4.1; CVE-2017-17382 (ROBOT)",
        fix=_FIX_SUITE,
        scenario=_suite("AES128-GCM-SHA256"),
    ),
    Case(
        name="suite-cbc",
        family=Family.PROTOCOL,
        presents="I→B with a suite in CBC mode, in TLS 1.2",
        expected=ALL_POLICY,
        guards="whether the client accepts suites that need constant time to be safe",
        reference="RFC 9325 section 4.2; CVE-2013-0169 (Lucky 13)",
        fix=_FIX_SUITE,
        scenario=_suite("ECDHE-RSA-AES128-SHA"),
    ),
    Case(
        name="suite-3des",
        family=Family.PROTOCOL,
        presents="I→B with 3DES",
        expected=ALL_POLICY,
        guards="whether the client accepts a cipher with blocks of 64 bits",
        reference="RFC 9325 section 4.1; CVE-2016-2183 (Sweet32)",
        fix=_FIX_SUITE,
        scenario=_weak(Weakness.TRIPLE_DES, Role.HONEST),
    ),
    Case(
        name="dh-1024",
        family=Family.PROTOCOL,
        presents="I→B with Diffie-Hellman in a group of 1024 bits that many servers share",
        expected=ALL_POLICY,
        guards="whether the client has a minimum for the group: a state can prepare the break of "
        "a common one",
        reference="RFC 9325 section 4.5; CVE-2015-4000 (Logjam)",
        fix=_FIX_SUITE,
        scenario=_suite("DHE-RSA-AES128-GCM-SHA256", _GROUP_2),
    ),
    Case(
        name="dh-512",
        family=Family.PROTOCOL,
        presents="I→B with Diffie-Hellman in a group of 512 bits that many servers shared",
        expected=ALL_REJECT,
        guards="that the group has a minimum size: an attacker who has prepared this one finds the "
        "keys in a minute, and can lead a client of a better server to it",
        reference="CVE-2015-4000 (Logjam); RFC 9325 section 4.5",
        fix=_FIX_GROUP,
        scenario=_weak(Weakness.SMALL_GROUP),
    ),
    Case(
        name="early-change-cipher-spec",
        family=Family.PROTOCOL,
        presents="I→B with a ChangeCipherSpec between ServerHello and Certificate: the keys of the "
        "records then follow from an empty master secret",
        expected=ALL_REJECT,
        guards="that ChangeCipherSpec comes only after the key exchange: otherwise everyone on the "
        "path can read and change the connection, whatever the certificate",
        reference="CVE-2014-0224; RFC 5246 section 7.1",
        fix=_FIX_LIBRARY,
        scenario=_weak(Weakness.EARLY_CHANGE),
    ),
)
