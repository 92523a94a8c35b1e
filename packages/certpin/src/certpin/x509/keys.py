"""Read public keys, private keys and CSRs as public keys, and generate private keys."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from certpin.errors import CertificateParseError, KeyParseError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

KeySource = Literal["public key", "private key", "certificate request", "key on a token"]
KeyAlgorithm = Literal["p256", "p384", "rsa2048", "rsa3072", "rsa4096", "ed25519"]

_MAKE_AN_SPKI = "give its public key: openssl pkey -in KEY -pubout"
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


@dataclass(frozen=True)
class PublicKey:
    """A public key, as SubjectPublicKeyInfo in strict DER (RFC 5280 section 4.1.2.7).

    ``source`` is the kind of object that it was read from; a private key is never kept. ``caveat``
    is a sentence for the user if the digest may be wrong, or empty.
    """

    spki: bytes
    source: KeySource = field(compare=False)
    caveat: str = field(default="", compare=False)

    @cached_property
    def spki_sha256(self) -> bytes:
        """The SHA-256 of the SPKI, 32 bytes."""
        return hashlib.sha256(self.spki).digest()

    @cached_property
    def key(self) -> str:
        """The type of the key: ``EC P-256``, ``RSA 2048``, ``Ed25519``."""
        return describe_key(self.spki)


def public_key(der: bytes) -> PublicKey:
    """Parse a SubjectPublicKeyInfo in DER.

    Raises:
        KeyParseError: this is not a public key in strict DER.
    """
    from certpin.x509.der import check_spki

    try:
        check_spki(der)
    except ValueError as exc:
        raise KeyParseError("this is not a public key in DER", fix=_MAKE_AN_SPKI) from exc
    return PublicKey(der, "public key")


def certificate_request(der: bytes) -> PublicKey:
    """Return the public key in a CSR (RFC 2986). Not verified: the CSR's signature.

    Raises:
        CertificateParseError: this is not a CSR in strict DER.
    """
    from certpin.x509.der import request_spki

    try:
        return PublicKey(request_spki(der), "certificate request")
    except ValueError as exc:
        raise CertificateParseError("this is not a certificate request in DER") from exc


def private_key(der: bytes) -> PublicKey:
    """Return the public key of an unencrypted private key in DER (PKCS#8, PKCS#1 or SEC 1).

    An RSA-PSS key keeps its algorithm and parameters.

    Raises:
        KeyParseError: the key can't be read.
    """
    return _read(_unencrypted, der, None)


def encrypted_private_key(data: bytes, passphrase: bytes) -> PublicKey:
    """Return the public key of an encrypted private key, PEM or DER.

    The parameters of an RSA-PSS key can't be read from it. ``caveat`` mentions this.

    Raises:
        KeyParseError: the key can't be read, or the passphrase is wrong.
    """
    return _read(_encrypted, data, passphrase)


def parsed_private_key(key: PrivateKeyTypes) -> PublicKey:
    """Return the public key of a private key that ``cryptography`` parsed.

    Its ``caveat`` is that of ``encrypted_private_key``.
    """
    return _with_caveat(public_key_of(key))


def public_key_of(key: PrivateKeyTypes) -> PublicKey:
    """Return the public key of a private key. An RSA-PSS key becomes a plain RSA key."""
    from cryptography.hazmat.primitives import serialization

    spki = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return PublicKey(spki, "private key")


def _read(
    load: Callable[[bytes, bytes | None], PublicKey], data: bytes, passphrase: bytes | None
) -> PublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return load(data, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        # The loader raises TypeError if a passphrase is missing, or was not needed.
        raise KeyParseError(
            "this private key cannot be read", fix=f"check its passphrase, or {_MAKE_AN_SPKI}"
        ) from exc


def _unencrypted(der: bytes, passphrase: bytes | None) -> PublicKey:
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    from certpin.x509.der import with_private_algorithm

    public = public_key_of(load_der_private_key(der, passphrase))
    if not _is_rsa(public):
        return public
    return replace(public, spki=with_private_algorithm(public.spki, der))


def _encrypted(data: bytes, passphrase: bytes | None) -> PublicKey:
    from cryptography.hazmat.primitives import serialization

    pem = data.startswith(b"-----BEGIN ")
    load = serialization.load_pem_private_key if pem else serialization.load_der_private_key
    return parsed_private_key(load(data, passphrase))


def _with_caveat(public: PublicKey) -> PublicKey:
    if not _is_rsa(public):
        return public
    return replace(public, caveat=f"if this is an RSA-PSS key, {_MAKE_AN_SPKI}")


def _is_rsa(public: PublicKey) -> bool:
    return public.key.startswith("RSA")


def new_private_key(algorithm: KeyAlgorithm, passphrase: bytes | None) -> tuple[bytes, PublicKey]:
    """Generate a private key.

    Args:
        algorithm: the kind of key.
        passphrase: encrypts the key; ``None`` leaves it unencrypted.

    Returns:
        The private key as PKCS#8 PEM, and its public key. The PEM is a secret: write it only to a
        file that no other user can read.

    Raises:
        KeyParseError: the passphrase is empty, which is never intended.

    """
    from cryptography.hazmat.primitives import serialization

    if passphrase == b"":
        raise KeyParseError("the passphrase is empty", fix="give one, or none at all")
    key = _generate(algorithm)
    protection: serialization.KeySerializationEncryption = (
        serialization.NoEncryption()
        if passphrase is None
        else serialization.BestAvailableEncryption(passphrase)
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection
    )
    return pem, public_key_of(key)


def _generate(algorithm: KeyAlgorithm) -> PrivateKeyTypes:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if algorithm == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm.startswith("rsa"):
        return rsa.generate_private_key(65537, int(algorithm.removeprefix("rsa")))
    return ec.generate_private_key(ec.SECP256R1() if algorithm == "p256" else ec.SECP384R1())


def describe_key(spki: bytes) -> str:
    """Return the type of the key in an SPKI: ``EC P-256``, ``RSA 2048``, or ``key OID 1.2.3``."""
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
    from certpin.x509.der import key_algorithm

    try:
        return f"key OID {key_algorithm(spki)}"
    except ValueError:
        return "a key that cannot be read"
