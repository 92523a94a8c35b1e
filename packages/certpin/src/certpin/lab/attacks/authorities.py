"""Cases of untrusted authorities: self-signed, unknown, rogue, and fake ones with a real name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import NameOID

from certpin.lab.authority import Identity, new_key
from certpin.lab.case import ALL_REJECT, PINS_REJECT, Case, Expect, Expected, Family
from certpin.lab.forge import namesake_of_issuer, reissue
from certpin.lab.scenario import Scenario, ServerStep

if TYPE_CHECKING:
    from certpin.lab.pki import TestPKI


def _self_signed(pki: TestPKI) -> Scenario:
    key = new_key()
    leaf = reissue(pki.attacker_chain.chain[0], key.public_key(), None, key)
    return Scenario.of(ServerStep.of(Identity(key, (leaf,))))


def _untrusted(pki: TestPKI) -> Scenario:
    return Scenario.of(ServerStep.of(pki.untrusted.issue(pki.host)))


def _rogue(pki: TestPKI) -> Scenario:
    return Scenario.of(ServerStep.of(pki.attacker_chain))


def _new_key(pki: TestPKI) -> Scenario:
    return Scenario.of(ServerStep.of(pki.intermediate.issue(pki.host)))


def _fake(pki: TestPKI) -> Scenario:
    """Return a scenario in which the server sends a forged copy of the whole real chain.

    The copy includes a root with the name of the real root. All names and key identifiers are those
    of the real certificates; all keys are the attacker's. So no trusted root has signed the copy,
    and each client must refuse it.
    """
    key = new_key()
    issuer = namesake_of_issuer(pki.real_chain[-1], key)
    copies = [issuer]
    for real_chain in reversed(pki.real_chain):
        key, signer = new_key(), key
        issuer = reissue(real_chain, key.public_key(), issuer, signer)
        copies.insert(0, issuer)
    return Scenario.of(ServerStep.of(Identity(key, tuple(copies))))


def _fake_hidden(pki: TestPKI) -> Scenario:
    """Return a scenario in which the server sends a forged leaf with the real issuers.

    The leaf is signed by an attacker's authority that has the name of the real issuer, and whose
    certificate is not sent. Each client must refuse the leaf, because the key of the real issuer
    did not sign it.
    """
    leaf, *issuers = pki.real_chain
    key, signer = new_key(), new_key()
    forged = reissue(leaf, key.public_key(), namesake_of_issuer(leaf, signer), signer)
    return Scenario.of(ServerStep.of(Identity(key, (forged, *issuers))))


def _leaf_as_ca(pki: TestPKI) -> Scenario:
    key, signer = new_key(), pki.leaf
    # With its issuer's name it would count as self-issued (RFC 5280 section 6.1).
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issued by a leaf")])
    forged = reissue(signer.chain[0], key.public_key(), signer.chain[0], signer.key, name)
    return Scenario.of(ServerStep.of(Identity(key, (forged, *signer.chain))))


_FIX_VERIFICATION = (
    "enable certificate verification: look for verify=False, CERT_NONE, -k, "
    "badCertificateCallback returning true, an empty TrustManager"
)
_FIX_PATH = (
    "let the TLS library build the chain, and compare pins with the chain that it verified; custom "
    "code that follows issuers by their names proves nothing"
)

AUTHORITIES = (
    Case(
        name="self-signed",
        family=Family.AUTHORITY,
        presents="only L′: the right name, signed with its own key",
        expected=ALL_REJECT,
        guards="that a certificate can't vouch for itself",
        reference="RFC 5280 section 6.1; OWASP MASTG-TEST-0282",
        fix="trust the certificate of a test server by name (cafile=, a debug-only trust anchor) "
        "instead of every self-signed one; " + _FIX_VERIFICATION,
        scenario=_self_signed,
    ),
    Case(
        name="untrusted-ca",
        family=Family.AUTHORITY,
        presents="U→L′: the right name, under an untrusted root",
        expected=ALL_REJECT,
        guards="that chains are verified",
        reference="RFC 5280 section 6.1",
        fix=_FIX_VERIFICATION,
        scenario=_untrusted,
    ),
    Case(
        name="rogue-ca-in-store",
        family=Family.AUTHORITY,
        presents="R2→L′: the right name, under another root that the client trusts",
        expected=PINS_REJECT,
        guards="that pins are enforced: against a corporate proxy, Superfish, or a root "
        "installed by malware",
        reference="OWASP MASTG-TEST-0244",
        fix="pin the server's key, and check the pin on the verified chain of every connection",
        scenario=_rogue,
    ),
    Case(
        name="same-ca-new-key",
        family=Family.AUTHORITY,
        presents="I→L′: the right name, from the server's own authority, with another key",
        expected=Expected(Expect.ACCEPT, Expect.REJECT, Expect.ACCEPT),
        guards="that a pin on the server's key holds against mis-issuance; a pin on an authority "
        "cannot, and is not meant to",
        reference="RFC 7469 section 4; DigiNotar, 2011",
        fix="if the leaf is pinned, compare the pin with the key of the leaf: a match on "
        "issuer, subject or host name proves nothing about the key",
        scenario=_new_key,
    ),
    Case(
        name="fake-ca-same-name",
        family=Family.AUTHORITY,
        presents="R*→I*→L′: the names and key identifiers of R and I, with other keys",
        expected=ALL_REJECT,
        guards="that a root is trusted for its key, not for its name",
        reference="RFC 5280 section 6.1.1 (d)",
        fix="compare anchors by their key or whole certificate, never by their DN or key "
        "identifier; " + _FIX_PATH,
        scenario=_fake,
    ),
    Case(
        name="fake-ca-genuine-shown",
        family=Family.AUTHORITY,
        presents="L′ in I's name, signed with another key, and then the genuine I",
        expected=ALL_REJECT,
        guards="that each signature is verified: by its names, this chain is complete and "
        "contains the pinned authority",
        reference="RFC 5280 section 6.1.3 (a)(1); AndroidPinning issue #29",
        fix=_FIX_PATH,
        scenario=_fake_hidden,
    ),
    Case(
        name="leaf-as-ca",
        family=Family.AUTHORITY,
        presents="I→L→L′: the good leaf, which is not a CA, signs another certificate",
        expected=ALL_REJECT,
        guards="that only a CA may sign, even if the signing key is pinned",
        reference="RFC 5280 section 6.1.4 (k); CVE-2002-0862",
        fix="check basicConstraints of every issuer: let the TLS library verify the whole chain, "
        "and do not replace it by a loop that calls certificate.verify(issuer.getPublicKey())",
        scenario=_leaf_as_ca,
    ),
)
