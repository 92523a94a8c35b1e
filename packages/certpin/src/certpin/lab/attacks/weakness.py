"""Cases of weak keys and digests, and of an incomplete chain."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from certpin.lab import forge
from certpin.lab.authority import Authority, new_rsa_key
from certpin.lab.case import ALL_EITHER, ALL_POLICY, Case, Family
from certpin.lab.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab.pki import TestPKI


def _weak_key(pki: TestPKI) -> Scenario:
    """Return a scenario in which an intermediate has a weak RSA key; all other keys are strong.

    Pins match, and an attacker who factors that key can issue certificates. The client's reaction
    is reported, and not judged.
    """
    name = "Intermediate with RSA 1024"
    issuer = Authority(name, issuer=pki.root, key=new_rsa_key(1024))
    return Scenario.legitimate(issuer.issue(pki.host, key=pki.leaf.key))


def _signed_over(digest: hashes.HashAlgorithm) -> Callable[[TestPKI], Scenario]:
    """Return a function that builds a scenario in which the leaf is signed over ``digest``.

    The digest is a weak hash function, such as MD5. The signature is by RSA, because ECDSA has no
    OID for MD5.
    """

    def scenario(pki: TestPKI) -> Scenario:
        issuer = pki.authorities.rsa_intermediate
        identity = issuer.issue(pki.host, key=pki.leaf.key)
        leaf, *path = identity.chain
        assert isinstance(issuer.key, rsa.RSAPrivateKey)  # noqa: S101
        weak = forge.resign(leaf, issuer.key, digest)
        return Scenario.legitimate(replace(identity, chain=(weak, *path)))

    return scenario


def _leaf_alone(pki: TestPKI) -> Scenario:
    leaf, *_ = pki.leaf.chain
    return Scenario.legitimate(replace(pki.leaf, chain=(leaf,)))


FIX_LEVEL = (
    "raise the minimum of the TLS library: OpenSSL's security level 2 (ciphers ending in "
    "@SECLEVEL=2), jdk.certpath.disabledAlgorithms in Java"
)

WEAKNESS = (
    Case(
        name="weak-key-rsa-1024",
        family=Family.CONSTRAINT,
        presents="R→I(RSA 1024)→L: an intermediate whose key can be factored",
        expected=ALL_POLICY,
        guards="whether the client enforces a minimum key size: a state can factor RSA keys of "
        "1024 bits, and no public authority may certify them since 2014",
        reference="NIST SP 800-57 part 1; CA/B Forum Baseline Requirements 6.1.5",
        fix=FIX_LEVEL,
        scenario=_weak_key,
    ),
    Case(
        name="weak-digest-sha1",
        family=Family.CONSTRAINT,
        presents="R→I(RSA)→L, where I signed L over SHA-1",
        expected=ALL_POLICY,
        guards="whether the client accepts SHA-1 signatures: an attacker can make two "
        "certificates with one digest, of which an authority sees and signs the harmless one",
        reference="CVE-2005-4900; CA/B Forum Baseline Requirements 7.1.3.2",
        fix=FIX_LEVEL,
        scenario=_signed_over(hashes.SHA1()),  # noqa: S303  # the point
    ),
    Case(
        name="weak-digest-md5",
        family=Family.CONSTRAINT,
        presents="R→I(RSA)→L, where I signed L over MD5",
        expected=ALL_POLICY,
        guards="the same for MD5, which was used to forge an authority in 2008, and Flame's "
        "certificate in 2012",
        reference="CVE-2004-2761; RFC 6151",
        fix=FIX_LEVEL,
        scenario=_signed_over(hashes.MD5()),  # noqa: S303  # the point
    ),
    Case(
        name="missing-intermediate",
        family=Family.CONSTRAINT,
        presents="only L: the server was configured without its intermediate. L has no URL to "
        "fetch it from (no AIA), so only a client that cached I can accept",
        expected=ALL_EITHER,
        guards="no security property: it explains why a server works in browsers and fails in apps",
        reference="RFC 8446 section 4.4.2; RFC 5280 section 4.2.2.1",
        fix="configure the server to send its intermediate (certbot: fullchain.pem, not cert.pem)",
        scenario=_leaf_alone,
    ),
)
