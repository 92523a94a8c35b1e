"""The public half of a key on a token, as the token has it: hostile until a signature proves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from certpin.errors import TokenError

if TYPE_CHECKING:
    from pkcs11 import PrivateKey, Session

    from certpin.x509.signing import SignerPublicKey

# The parameters of a curve: its OID (RFC 5480 section 2.1.1.1), as DER.
_P256 = bytes.fromhex("06082a8648ce3d030107")
_P384 = bytes.fromhex("06052b81040022")
# Edwards curves have an OID (RFC 8410 section 3), or a name (PKCS#11 v3.0 section 2.3.10).
_ED25519 = {bytes.fromhex("06032b6570"), b"\x13\x0cedwards25519"}

_USABLE = "P-256, P-384, RSA with 2048 bits or more, and Ed25519 are usable"
_LEAST_RSA_BITS = 2048  # CA/B Forum Baseline Requirements 6.1.5; OpenSSL's level 2


def half_of(private: PrivateKey, session: Session) -> SignerPublicKey:
    """The public key beside a private one: of the same id, or where it has none, the same label.

    Raises ``TokenError``, and what the module raises.
    """
    from pkcs11 import Attribute, ObjectClass

    beside = {Attribute.ID: private.id} if private.id else {Attribute.LABEL: private.label}
    kind = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.KEY_TYPE: private.key_type}
    found: list[Any] = list(session.get_objects({**kind, **beside}))
    if len(found) != 1:
        raise TokenError(
            "the token has no public key for that private key"
            if not found
            else "the token has several public keys for that private key",
            fix="give both objects of the key an id of their own",
        )
    try:
        return _parse(found[0])
    except (ValueError, TypeError, LookupError) as exc:
        raise TokenError("the token's public key cannot be read", fix=_USABLE) from exc


def spki(key: SignerPublicKey) -> bytes:
    """The SubjectPublicKeyInfo as DER."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def ecdsa_value(raw: bytes) -> bytes:
    """Two numbers side by side (PKCS#11 v2.40 section 2.3.1) as DER (RFC 3279 section 2.2.3)."""
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    half = len(raw) // 2
    return encode_dss_signature(
        int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big")
    )


def _parse(found: Any) -> SignerPublicKey:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from pkcs11 import Attribute, KeyType

    if found.key_type == KeyType.RSA:
        exponent = int.from_bytes(found[Attribute.PUBLIC_EXPONENT], "big")
        modulus = int.from_bytes(found[Attribute.MODULUS], "big")
        if modulus.bit_length() < _LEAST_RSA_BITS:
            raise ValueError("an RSA key that anybody may break")
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    parameters = found[Attribute.EC_PARAMS]
    point = _octets(found[Attribute.EC_POINT])
    if found.key_type == KeyType.EC_EDWARDS and parameters in _ED25519:
        return ed25519.Ed25519PublicKey.from_public_bytes(point)
    curves = {_P256: ec.SECP256R1(), _P384: ec.SECP384R1()}
    return ec.EllipticCurvePublicKey.from_encoded_point(curves[parameters], point)


def _octets(value: bytes) -> bytes:
    """A point is in a DER OCTET STRING (PKCS#11 v2.40 section 2.3.3). Raises ValueError."""
    from cryptography.hazmat import asn1

    return asn1.decode_der(bytes, value)
