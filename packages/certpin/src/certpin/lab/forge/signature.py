"""Signatures that are weak, invalid, or made for other data."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import SignatureAlgorithmOID

from certpin.lab.forge import der

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

_RSA = {
    "md5": SignatureAlgorithmOID.RSA_WITH_MD5,
    "sha1": SignatureAlgorithmOID.RSA_WITH_SHA1,
    "sha256": SignatureAlgorithmOID.RSA_WITH_SHA256,
}
_ECDSA = {
    "sha1": SignatureAlgorithmOID.ECDSA_WITH_SHA1,
    "sha256": SignatureAlgorithmOID.ECDSA_WITH_SHA256,
}


def resign(
    certificate: x509.Certificate,
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    algorithm: hashes.HashAlgorithm,
) -> x509.Certificate:
    """The same certificate, signed by this key with this hash, however weak.

    Both places that name the algorithm name this one, so the signature holds. ``cryptography``
    itself refuses to sign certificates with SHA-1 or MD5. Raises ``KeyError`` for a hash that no
    certificate is signed with.
    """
    parts = der.take_apart(certificate)
    named = _algorithm(key, algorithm)
    tbs = replace(parts.tbs_certificate, signature=named)
    value = _sign(key, der.encode(tbs), algorithm)
    return der.put_together(
        der.Certificate(
            tbs_certificate=tbs, signature_algorithm=named, signature_value=der.bits(value)
        )
    )


def _algorithm(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, algorithm: hashes.HashAlgorithm
) -> asn1.TLV:
    if isinstance(key, rsa.RSAPrivateKey):
        rsa_with = der.NullAlgorithm(algorithm=_RSA[algorithm.name], parameters=asn1.Null())
        return der.field(der.encode(rsa_with))
    return der.field(der.encode(der.PlainAlgorithm(algorithm=_ECDSA[algorithm.name])))


def _sign(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    message: bytes,
    algorithm: hashes.HashAlgorithm,
) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PKCS1v15(), algorithm)
    return key.sign(message, ec.ECDSA(algorithm))


def break_signature(certificate: x509.Certificate) -> x509.Certificate:
    """The same certificate with one bit of its signature flipped: the last one.

    It ends the number s of an ECDSA signature, and the whole of an RSA one: the DER stays valid.
    """
    parts = der.take_apart(certificate)
    value = bytearray(parts.signature_value.as_bytes())
    value[-1] ^= 1
    return der.put_together(replace(parts, signature_value=der.bits(bytes(value))))


def replace_key(certificate: x509.Certificate, key: CertificatePublicKeyTypes) -> x509.Certificate:
    """The same certificate for another key. Its signature is kept, so it does not hold."""
    info = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    parts = der.take_apart(certificate)
    tbs = replace(parts.tbs_certificate, subject_public_key_info=der.field(info))
    return der.put_together(replace(parts, tbs_certificate=tbs))
