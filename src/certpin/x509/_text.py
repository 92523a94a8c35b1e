"""Words for keys and names. What comes from a certificate is hostile until it is escaped."""

from __future__ import annotations

_LONGEST = 80  # characters of a value that an error shows
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


def printable(text: str) -> str:
    """Escape what a terminal or a log would act on: control, bidi and invisible characters."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def quoted(text: str) -> str:
    """Text in quotes for an error: its first 80 characters, since it may have millions."""
    return repr(text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "…")


def describe_key(spki: bytes) -> str:
    """Name the key of a SubjectPublicKeyInfo: ``EC P-256``, ``RSA 2048``, or ``key OID 1.2.3``."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        key = load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm):
        return _oid_of(spki)
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {_CURVES.get(key.curve.name, key.curve.name)}"
    return type(key).__name__.removesuffix("PublicKey").replace("MLDSA", "ML-DSA-")


def _oid_of(spki: bytes) -> str:
    from certpin.x509 import _der

    try:
        return f"key OID {_der.key_algorithm(spki)}"
    except ValueError:
        return "a key that cannot be read"
