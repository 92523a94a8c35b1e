"""Certificates of given fields, correct or not, with keys and signatures that a seed determines.

Fields are DER elements, so that a mutation can break one of them. P-256, P-384 and P-521 keys are
derived from the seed, and ECDSA signatures are deterministic (RFC 6979), as are those of Ed25519
(RFC 8032). So the same plan (the fields of a certificate) and seed give the same bytes. RSA isn't
used, because RSA keys can't be derived in this way. Anyone can derive these private keys. Never
add the roots to a permanent trust store.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import PublicKeyAlgorithmOID, SignatureAlgorithmOID

from certpin.lab.case import LabError
from certpin.lab.forge import der
from certpin.x509.der import bit_string, element

if TYPE_CHECKING:
    from collections.abc import Iterable

    PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

# Octets of a private key: one less than the order has, so that each number is in range.
_CURVES: dict[str, tuple[ec.EllipticCurve, int]] = {
    "p256": (ec.SECP256R1(), 31),
    "p384": (ec.SECP384R1(), 47),
    "p521": (ec.SECP521R1(), 64),
}
KEY_KINDS = (*_CURVES, "ed25519")
# All chains are valid in these years, so that verdicts don't depend on the day of a run.
NOT_BEFORE, NOT_AFTER = b"200101000000Z", b"491231235959Z"
COMMON_NAME = "2.5.4.3"
UTF8, PRINTABLE, IA5, UTC_TIME, GENERALIZED = b"\x0c", b"\x13", b"\x16", b"\x17", b"\x18"
VERSION_3 = bytes.fromhex("a003020102")


@dataclass(frozen=True)
class KeyPlan:
    """A private key that is derived from the seed of a fuzz run.

    ``owner`` is a name such as ``root-1``: each owner has another key. ``kind`` is the key's type,
    one of ``KEY_KINDS``.
    """

    owner: str
    kind: str = "p256"


@dataclass(frozen=True)
class ExtensionPlan:
    """An extension of a certificate to encode.

    ``name`` is its name in RFC 5280, ``value`` the content of the OCTET STRING, and ``critical``
    the DER of the critical flag: empty for the default FALSE.
    """

    name: str
    value: bytes
    critical: bytes = b""

    @property
    def encoded(self) -> bytes:
        """The extension as DER (RFC 5280 section 4.1)."""
        value = element(b"\x04", self.value)
        return sequence(oid(EXTENSIONS[self.name]), self.critical, value)


@dataclass(frozen=True)
class CertificatePlan:
    """The fields of a certificate to encode (RFC 5280 section 4.1): DER elements, except the keys.

    If ``algorithm`` or ``outer_algorithm`` is empty, the algorithm of the issuer's key is encoded;
    if ``spki`` is empty, the SubjectPublicKeyInfo of ``key``. An empty ``version`` or
    ``unique_ids`` is left out. ``signature`` is ``right``, ``broken`` (one bit is flipped),
    ``empty``, or ``another-key`` (signed by a key that is not the issuer's). ``extensions`` are
    encoded in their order.
    """

    key: KeyPlan
    issuer: bytes
    subject: bytes
    serial: bytes
    extensions: tuple[ExtensionPlan, ...]
    version: bytes = VERSION_3
    algorithm: bytes = b""
    not_before: bytes = element(UTC_TIME, NOT_BEFORE)
    not_after: bytes = element(UTC_TIME, NOT_AFTER)
    spki: bytes = b""
    unique_ids: bytes = b""
    outer_algorithm: bytes = b""
    signature: str = "right"


# The extensions that plans name, in the arcs of RFC 5280, 7633, 6962, and the examples of X.660.
EXTENSIONS = {
    "basicConstraints": "2.5.29.19",
    "keyUsage": "2.5.29.15",
    "extKeyUsage": "2.5.29.37",
    "subjectAltName": "2.5.29.17",
    "nameConstraints": "2.5.29.30",
    "subjectKeyIdentifier": "2.5.29.14",
    "authorityKeyIdentifier": "2.5.29.35",
    "certificatePolicies": "2.5.29.32",
    "policyConstraints": "2.5.29.36",
    "policyMappings": "2.5.29.33",
    "inhibitAnyPolicy": "2.5.29.54",
    "cRLDistributionPoints": "2.5.29.31",
    "authorityInfoAccess": "1.3.6.1.5.5.7.1.1",
    "tlsFeature": "1.3.6.1.5.5.7.1.24",
    "ctPoison": "1.3.6.1.4.1.11129.2.4.3",
    "unknown": "2.999.1",
}
TRUE = b"\x01\x01\xff"


@lru_cache(maxsize=256)
def oid(dotted: str) -> bytes:
    """Return the OBJECT IDENTIFIER ``dotted``, such as ``2.5.29.17``, as DER."""
    return der.encode(x509.ObjectIdentifier(dotted))


def sequence(*parts: bytes) -> bytes:
    """Return the DER of a SEQUENCE of these DER elements."""
    return element(b"\x30", b"".join(parts))


def name_of_text(text: bytes, tag: bytes = UTF8) -> bytes:
    """Return a Name as DER, with one common name: ``text`` as a string with the DER tag ``tag``.

    An empty text makes an empty name.
    """
    if not text:
        return sequence()
    return sequence(element(b"\x31", sequence(oid(COMMON_NAME), element(tag, text))))


def text_of_name(name: bytes) -> bytes:
    """Return the common name in a Name that ``name_of_text`` made from less than 128 octets.

    Other names can't be read this way; a Name without a common name gives an empty result.
    """
    _, found, string = name.partition(oid(COMMON_NAME))
    return string[2:] if found else b""


@lru_cache(maxsize=256)
def private_key(seed: int, plan: KeyPlan) -> PrivateKey:
    """Return the private key that is derived from a seed and a key plan (its owner and kind)."""
    digest = hashlib.sha512(f"certpin fuzz key {seed} {plan.owner} {plan.kind}".encode()).digest()
    if plan.kind not in _CURVES:
        return ed25519.Ed25519PrivateKey.from_private_bytes(digest[:32])
    curve, octets = _CURVES[plan.kind]
    return ec.derive_private_key(int.from_bytes(digest[:octets]) | 1, curve)


def private_pem(seed: int, plan: KeyPlan) -> bytes:
    """Return the private key that is derived from a seed and a key plan, as PKCS#8 PEM.

    ``plan`` has the owner and the kind of the key.
    """
    return private_key(seed, plan).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@lru_cache(maxsize=256)
def public_info(seed: int, plan: KeyPlan) -> bytes:
    """Return the SubjectPublicKeyInfo (DER) of the key that a seed and a key plan determine.

    ``plan`` has the owner and the kind of the key.
    """
    public = private_key(seed, plan).public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def compressed_info(seed: int, plan: KeyPlan) -> bytes:
    """Return the SubjectPublicKeyInfo of an EC key with a compressed point (RFC 5480, section 2.2).

    The key is the one that is derived from ``seed`` and ``plan``, a key plan. An Ed25519 key has no
    such form, so its usual SubjectPublicKeyInfo is returned.
    """
    public = private_key(seed, plan).public_key()
    if isinstance(public, ed25519.Ed25519PublicKey):
        return public_info(seed, plan)
    point = public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    curve = getattr(ec.EllipticCurveOID, public.curve.name.upper()).dotted_string
    algorithm = sequence(oid(PublicKeyAlgorithmOID.EC_PUBLIC_KEY.dotted_string), oid(curve))
    return sequence(algorithm, bit_string(point))


@lru_cache(maxsize=256)
def key_identifier(seed: int, plan: KeyPlan) -> bytes:
    """Return the identifier of the key that is derived from a seed and a key plan.

    ``plan`` has the owner and the kind of the key. The identifier is the first 20 octets of the
    SHA-256 of the SubjectPublicKeyInfo (RFC 5280 section 4.2.1.2 allows any unique value).
    """
    return hashlib.sha256(public_info(seed, plan)).digest()[:20]


def algorithm_of(kind: str) -> bytes:
    """Return the AlgorithmIdentifier (DER) of the signatures that a key of this kind makes.

    ``kind`` is one of ``KEY_KINDS``. The result is ecdsa-with-SHA256 (RFC 5758) for all curves, and
    Ed25519 (RFC 8410).
    """
    known = SignatureAlgorithmOID
    found = known.ED25519 if kind == "ed25519" else known.ECDSA_WITH_SHA256
    return sequence(oid(found.dotted_string))


@lru_cache(maxsize=1024)
def encode_certificate(seed: int, plan: CertificatePlan, signer: KeyPlan) -> bytes:
    """Return the certificate with the fields of a plan. It is valid DER, except for mutated fields.

    Args:
        seed: the seed from which all keys are derived.
        plan: the fields.
        signer: the key of the issuer.

    Raises:
        LabError: the OpenSSL of Python's ``cryptography`` can't make deterministic signatures.
    """
    if plan.signature == "another-key":
        signer = KeyPlan("forger", signer.kind)
    algorithm = algorithm_of(signer.kind)
    signed = sequence(
        plan.version,
        plan.serial,
        plan.algorithm or algorithm,
        plan.issuer,
        sequence(plan.not_before, plan.not_after),
        plan.subject,
        plan.spki or public_info(seed, plan.key),
        plan.unique_ids,
        _extensions(plan.extensions),
    )
    value = b"" if plan.signature == "empty" else _sign(private_key(seed, signer), signed)
    if plan.signature == "broken":
        value = value[:-1] + bytes([value[-1] ^ 1])
    return sequence(signed, plan.outer_algorithm or algorithm, bit_string(value))


def _extensions(extensions: Iterable[ExtensionPlan]) -> bytes:
    encoded = [extension.encoded for extension in extensions]
    return element(b"\xa3", sequence(*encoded)) if encoded else b""


def _sign(key: PrivateKey, message: bytes) -> bytes:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    try:
        return key.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    except UnsupportedAlgorithm as exc:
        raise LabError(
            "this cryptography can't make deterministic ECDSA signatures (RFC 6979)",
            fix="install cryptography from a wheel, or build it with OpenSSL 3.2 or newer",
        ) from exc
