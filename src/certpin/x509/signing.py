"""Signatures by whatever key certpin takes: one algorithm for each kind of key."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

    SignerPublicKey = EllipticCurvePublicKey | RSAPublicKey | Ed25519PublicKey


def hash_for(key: EllipticCurvePublicKey | RSAPublicKey) -> HashAlgorithm:
    """SHA-256; SHA-384 for P-384 (CA/B Forum Baseline Requirements 7.1.3.2.2)."""
    from cryptography.hazmat.primitives import hashes

    return hashes.SHA384() if key.key_size == 384 else hashes.SHA256()


def digest_of(key: EllipticCurvePublicKey, data: bytes) -> bytes:
    """What ECDSA signs with this key."""
    return hashlib.new(hash_for(key).name, data).digest()


def verify_signature(key: SignerPublicKey, signature: bytes, data: bytes) -> bool:
    """Whether a signature is this key's, over these bytes."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(hash_for(key)))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), hash_for(key))
        else:
            key.verify(signature, data)
    except InvalidSignature:
        return False
    return True
