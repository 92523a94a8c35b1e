"""A private key that claims to belong to another server's certificate."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certpin.lab.case import CannotServeError
from certpin.lab.forge import der

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes


def mismatched_key_pem(victim: CertificatePublicKeyTypes) -> bytes:
    """A fresh private key whose file names the victim's public key as its own.

    OpenSSL compares only public keys (``X509_check_private_key``), so it serves the victim's
    certificate with it, and what it signs fits nothing. Raises ``CannotServeError`` for a key
    whose file holds no public part that could lie.
    """
    if isinstance(victim, ec.EllipticCurvePublicKey):
        return _pem("EC", der.encode(_ec(victim)))
    if isinstance(victim, rsa.RSAPublicKey):
        return _pem("RSA", der.encode(_rsa(victim)))
    raise CannotServeError("the real server's key is neither RSA nor ECDSA")


def _ec(victim: ec.EllipticCurvePublicKey) -> der.ECPrivateKey:
    fresh = ec.generate_private_key(victim.curve)
    point = victim.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return der.ECPrivateKey(
        version=1,
        private_key=fresh.private_numbers().private_value.to_bytes((victim.key_size + 7) // 8),
        parameters=_CURVES[victim.curve.name],
        public_key=der.bits(point),
    )


_CURVES = {
    "secp256r1": ec.EllipticCurveOID.SECP256R1,
    "secp384r1": ec.EllipticCurveOID.SECP384R1,
    "secp521r1": ec.EllipticCurveOID.SECP521R1,
}


def _rsa(victim: rsa.RSAPublicKey) -> der.RSAPrivateKey:
    fresh = rsa.generate_private_key(65537, victim.key_size).private_numbers()
    public = victim.public_numbers()
    return der.RSAPrivateKey(
        version=0,
        modulus=der.number(public.n),
        public_exponent=der.number(public.e),
        private_exponent=der.number(fresh.d),
        prime1=der.number(fresh.p),
        prime2=der.number(fresh.q),
        exponent1=der.number(fresh.dmp1),
        exponent2=der.number(fresh.dmq1),
        coefficient=der.number(fresh.iqmp),
    )


def _pem(kind: str, content: bytes) -> bytes:
    """The older framing of RFC 7468's predecessors: the only one with room for both halves."""
    text = ssl.DER_cert_to_PEM_cert(content)
    return text.replace("CERTIFICATE", f"{kind} PRIVATE KEY").encode()
