"""Whose authority signed it? Where a signature is broken, or made with another key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding

from certpin.lab.authority import Identity, new_key
from certpin.lab.case import ALL_REJECT, Case, Family
from certpin.lab.forge import ForgedRoot, break_signature, mismatched_key_pem, replace_key
from certpin.lab.script import Act, Script, Settings

if TYPE_CHECKING:
    from cryptography import x509

    from certpin.lab.cast import Cast


def _bad_leaf(cast: Cast) -> Script:
    leaf, *issuers = cast.leaf.chain
    return _served(cast, break_signature(leaf), *issuers)


def _bad_intermediate(cast: Cast) -> Script:
    leaf, intermediate, *issuers = cast.leaf.chain
    return _served(cast, leaf, break_signature(intermediate), *issuers)


def _served(cast: Cast, *chain: x509.Certificate) -> Script:
    return Script.of(Act.of(Identity(cast.leaf.key, chain)))


def _replaced(cast: Cast) -> Script:
    leaf, *issuers = cast.genuine
    key = new_key()
    forged = replace_key(leaf, key.public_key())
    return Script.of(Act.of(Identity(key, (forged, *issuers))))


def _stolen(cast: Cast, settings: Settings) -> Script:
    chain = tuple(each.public_bytes(Encoding.DER) for each in cast.genuine)
    key = mismatched_key_pem(cast.genuine[0].public_key())
    return Script.of(Act(chain, key, settings=settings))


def _stolen_tls12(cast: Cast) -> Script:
    # No key transport: without ServerKeyExchange there would be no signature to get wrong.
    ciphers = "ECDHE+AESGCM:DHE+AESGCM"
    return _stolen(cast, Settings(oldest="TLSv1_2", newest="TLSv1_2", ciphers=ciphers))


def _stolen_tls13(cast: Cast) -> Script:
    return _stolen(cast, Settings(oldest="TLSv1_3", newest="TLSv1_3"))


def _explicit_curve(cast: Cast) -> Script:
    forged = ForgedRoot(cast.root.x509)
    return Script.of(Act.of(forged.sign(cast.root.issue(cast.host))))


_FIX_SIGNATURE = (
    "verify the signature of every certificate: let the TLS library verify the chain, and do not "
    "let a callback of one's own overrule what it says"
)
_FIX_LIBRARY = (
    "a TLS library does this by itself: update it, or leave the one that is embedded; look for "
    "code that reads the certificate from a handshake that it does not finish"
)

SIGNATURES = (
    Case(
        name="bad-signature-leaf",
        family=Family.AUTHORITY,
        presents="I→L: the good leaf and its key, with one bit of its signature flipped",
        expected=ALL_REJECT,
        guards="that the leaf's signature is verified, even where its key is the pinned one",
        reference="RFC 5280 section 6.1.3 (a)(1)",
        fix=_FIX_SIGNATURE,
        play=_bad_leaf,
    ),
    Case(
        name="bad-signature-intermediate",
        family=Family.AUTHORITY,
        presents="I→L: the good chain, with one bit of the intermediate's signature flipped",
        expected=ALL_REJECT,
        guards="that every signature up to the root is verified, not the first alone",
        reference="RFC 5280 section 6.1.3 (a)(1)",
        fix=_FIX_SIGNATURE + "; a pinned intermediate is no trust anchor unless it was made one",
        play=_bad_intermediate,
    ),
    Case(
        name="replaced-key",
        family=Family.AUTHORITY,
        presents="I→L: the good leaf with another key put in, and the signature kept",
        expected=ALL_REJECT,
        guards="that the signature is verified over the certificate that came",
        reference="RFC 5280 section 6.1.3 (a)(1)",
        fix=_FIX_SIGNATURE,
        play=_replaced,
    ),
    Case(
        name="stolen-certificate-tls12",
        family=Family.AUTHORITY,
        presents="I→L: the genuine chain; ServerKeyExchange is signed with another key",
        expected=ALL_REJECT,
        guards="that the server proves to have the key: a certificate is public, and so is its pin",
        reference="CVE-2014-1266 (goto fail); RFC 5246 section 7.4.3",
        fix=_FIX_LIBRARY,
        play=_stolen_tls12,
    ),
    Case(
        name="stolen-certificate-tls13",
        family=Family.AUTHORITY,
        presents="I→L: the genuine chain; CertificateVerify is signed with another key",
        expected=ALL_REJECT,
        guards="that the server proves to have the key: a certificate is public, and so is its pin",
        reference="RFC 8446 section 4.4.3; as CVE-2014-1266",
        fix=_FIX_LIBRARY,
        play=_stolen_tls13,
    ),
    Case(
        name="explicit-curve-ca",
        family=Family.AUTHORITY,
        presents="R~→L′: R's name and public point, on P-256 with a generator of the forger's",
        expected=ALL_REJECT,
        guards="that a root is compared with all of its key, the parameters of its curve included",
        reference="CVE-2020-0601; RFC 5480 section 2.1.1 (specifiedCurve must not be used)",
        fix="update the platform (Windows: January 2020); refuse keys whose curve is not named; "
        "compare the whole SubjectPublicKeyInfo, never the bare point",
        play=_explicit_curve,
    ),
)
