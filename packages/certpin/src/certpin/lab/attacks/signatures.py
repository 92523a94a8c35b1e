"""Cases of invalid signatures: damaged signatures, and signatures by another key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding

from certpin.lab.authority import Identity, new_key
from certpin.lab.case import ALL_REJECT, Case, Family
from certpin.lab.forge import ForgedRoot, break_signature, mismatched_key_pem, replace_key
from certpin.lab.scenario import Scenario, ServerStep, TLSSettings

if TYPE_CHECKING:
    from cryptography import x509

    from certpin.lab.pki import TestPKI


def _bad_leaf(pki: TestPKI) -> Scenario:
    leaf, *issuers = pki.leaf.chain
    return _served(pki, break_signature(leaf), *issuers)


def _bad_intermediate(pki: TestPKI) -> Scenario:
    leaf, intermediate, *issuers = pki.leaf.chain
    return _served(pki, leaf, break_signature(intermediate), *issuers)


def _served(pki: TestPKI, *chain: x509.Certificate) -> Scenario:
    return Scenario.of(ServerStep.of(Identity(pki.leaf.key, chain)))


def _replaced(pki: TestPKI) -> Scenario:
    leaf, *issuers = pki.real_chain
    key = new_key()
    forged = replace_key(leaf, key.public_key())
    return Scenario.of(ServerStep.of(Identity(key, (forged, *issuers))))


def _stolen(pki: TestPKI, settings: TLSSettings) -> Scenario:
    chain = tuple(certificate.public_bytes(Encoding.DER) for certificate in pki.real_chain)
    key = mismatched_key_pem(pki.real_chain[0].public_key())
    return Scenario.of(ServerStep(chain, key, settings=settings))


def _stolen_tls12(pki: TestPKI) -> Scenario:
    # No RSA key transport: without ServerKeyExchange there is no signature to forge.
    ciphers = "ECDHE+AESGCM:DHE+AESGCM"
    return _stolen(pki, TLSSettings(oldest="TLSv1_2", newest="TLSv1_2", ciphers=ciphers))


def _stolen_tls13(pki: TestPKI) -> Scenario:
    return _stolen(pki, TLSSettings(oldest="TLSv1_3", newest="TLSv1_3"))


def _explicit_curve(pki: TestPKI) -> Scenario:
    forged = ForgedRoot(pki.root.x509)
    return Scenario.of(ServerStep.of(forged.sign(pki.root.issue(pki.host))))


_FIX_SIGNATURE = (
    "verify the signature of every certificate: let the TLS library verify the chain, and do not "
    "let a callback override its result"
)
_FIX_LIBRARY = (
    "TLS libraries do this: update yours, or replace an embedded one; look for code that reads the "
    "certificate from a handshake that it does not finish"
)

SIGNATURES = (
    Case(
        name="bad-signature-leaf",
        family=Family.AUTHORITY,
        presents="I→L: the good leaf and its key, with one bit of its signature flipped",
        expected=ALL_REJECT,
        guards="that the leaf's signature is verified, even if its key is the pinned one",
        reference="RFC 5280 section 6.1.3 (a)(1)",
        fix=_FIX_SIGNATURE,
        scenario=_bad_leaf,
    ),
    Case(
        name="bad-signature-intermediate",
        family=Family.AUTHORITY,
        presents="I→L: the good chain, with one bit of the intermediate's signature flipped",
        expected=ALL_REJECT,
        guards="that every signature up to the root is verified, not only the first",
        reference="RFC 5280 section 6.1.3 (a)(1)",
        fix=_FIX_SIGNATURE + "; a pinned intermediate is no trust anchor unless it was made one",
        scenario=_bad_intermediate,
    ),
    Case(
        name="replaced-key",
        family=Family.AUTHORITY,
        presents="I→L: the good leaf with another key inserted, and its old signature",
        expected=ALL_REJECT,
        guards="that the signature is verified over the certificate as received",
        reference="RFC 5280 section 6.1.3 (a)(1)",
        fix=_FIX_SIGNATURE,
        scenario=_replaced,
    ),
    Case(
        name="stolen-certificate-tls12",
        family=Family.AUTHORITY,
        presents="I→L: the genuine chain; ServerKeyExchange is signed with another key",
        expected=ALL_REJECT,
        guards="that the server proves possession of the key: a certificate is public, and so is "
        "its pin",
        reference="CVE-2014-1266 (goto fail); RFC 5246 section 7.4.3",
        fix=_FIX_LIBRARY,
        scenario=_stolen_tls12,
    ),
    Case(
        name="stolen-certificate-tls13",
        family=Family.AUTHORITY,
        presents="I→L: the genuine chain; CertificateVerify is signed with another key",
        expected=ALL_REJECT,
        guards="that the server proves possession of the key: a certificate is public, and so is "
        "its pin",
        reference="RFC 8446 section 4.4.3; as CVE-2014-1266",
        fix=_FIX_LIBRARY,
        scenario=_stolen_tls13,
    ),
    Case(
        name="explicit-curve-ca",
        family=Family.AUTHORITY,
        presents="R~→L′: R's name and public point, on P-256 with a generator that the attacker "
        "chose",
        expected=ALL_REJECT,
        guards="that a root is compared by its whole key, including the parameters of its curve",
        reference="CVE-2020-0601; RFC 5480 section 2.1.1 (specifiedCurve must not be used)",
        fix="update the platform (Windows: January 2020); refuse keys without a named curve; "
        "compare the whole SubjectPublicKeyInfo, never only the point",
        scenario=_explicit_curve,
    ),
)
