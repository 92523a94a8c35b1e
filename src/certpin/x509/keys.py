"""Public keys, private keys and CSRs: whatever holds a key, down to its SPKI."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from certpin.errors import CertificateParseError, KeyParseError
from certpin.x509._text import describe_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

KeySource = Literal["public key", "private key", "certificate request", "key on a token"]
KeyAlgorithm = Literal["p256", "p384", "rsa2048", "rsa3072", "rsa4096", "ed25519"]

_MAKE_AN_SPKI = "give its public key: openssl pkey -in KEY -pubout"


@dataclass(frozen=True)
class PublicKey:
    """A public key, as SubjectPublicKeyInfo in strict DER (RFC 5280 section 4.1.2.7).

    ``source`` says what it was read from; a private key itself is never kept. ``caveat`` is a
    doubt about the digest that the reader should hear, or is empty.
    """

    spki: bytes
    source: KeySource = field(compare=False)
    caveat: str = field(default="", compare=False)

    @cached_property
    def spki_sha256(self) -> bytes:
        """SHA-256 of the SPKI, 32 bytes."""
        return hashlib.sha256(self.spki).digest()

    @cached_property
    def key(self) -> str:
        """The key in words: ``EC P-256``, ``RSA 2048``, ``Ed25519``."""
        return describe_key(self.spki)


def public_key(der: bytes) -> PublicKey:
    """Read a SubjectPublicKeyInfo. Raises ``KeyParseError``."""
    from certpin.x509 import _der

    try:
        _der.check_spki(der)
    except ValueError as exc:
        raise KeyParseError("this is not a public key in DER", fix=_MAKE_AN_SPKI) from exc
    return PublicKey(der, "public key")


def certificate_request(der: bytes) -> PublicKey:
    """Read the key of a CSR (RFC 2986), signature unchecked. Raises ``CertificateParseError``."""
    from certpin.x509 import _der

    try:
        return PublicKey(_der.request_spki(der), "certificate request")
    except ValueError as exc:
        raise CertificateParseError("this is not a certificate request in DER") from exc


def private_key(der: bytes) -> PublicKey:
    """The public half of a private key in clear DER (PKCS#8, PKCS#1 or SEC 1).

    An RSA-PSS key keeps its algorithm and parameters. Raises ``KeyParseError``.
    """
    return _read(_clear, der, None)


def sealed_private_key(data: bytes, passphrase: bytes) -> PublicKey:
    """The public half of an encrypted private key, PEM or DER. Raises ``KeyParseError``.

    The parameters of an RSA-PSS key cannot be seen in it: ``caveat`` says so.
    """
    return _read(_sealed, data, passphrase)


def parsed_private_key(key: PrivateKeyTypes) -> PublicKey:
    """The public half of a key that ``cryptography`` parsed, with the same ``caveat``."""
    return _doubted(public_half(key))


def public_half(key: PrivateKeyTypes) -> PublicKey:
    """The public half of a private key, taken for plain RSA if it is RSA-PSS."""
    from cryptography.hazmat.primitives import serialization

    spki = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return PublicKey(spki, "private key")


def _read(
    how: Callable[[bytes, bytes | None], PublicKey], data: bytes, passphrase: bytes | None
) -> PublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return how(data, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        # TypeError is how the loader says that a passphrase is missing, or was not needed.
        raise KeyParseError(
            "this private key cannot be read", fix=f"check its passphrase, or {_MAKE_AN_SPKI}"
        ) from exc


def _clear(der: bytes, passphrase: bytes | None) -> PublicKey:
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    from certpin.x509 import _der

    half = public_half(load_der_private_key(der, passphrase))
    if not _is_rsa(half):
        return half
    return replace(half, spki=_der.with_private_algorithm(half.spki, der))


def _sealed(data: bytes, passphrase: bytes | None) -> PublicKey:
    from cryptography.hazmat.primitives import serialization

    pem = data.startswith(b"-----BEGIN ")
    load = serialization.load_pem_private_key if pem else serialization.load_der_private_key
    return parsed_private_key(load(data, passphrase))


def _doubted(half: PublicKey) -> PublicKey:
    if not _is_rsa(half):
        return half
    return replace(half, caveat=f"if this is an RSA-PSS key, {_MAKE_AN_SPKI}")


def _is_rsa(half: PublicKey) -> bool:
    return half.key.startswith("RSA")


def new_private_key(algorithm: KeyAlgorithm, passphrase: bytes | None) -> tuple[bytes, PublicKey]:
    """Make a key: its PKCS#8 PEM (encrypted if there is a passphrase), and its public half.

    The PEM is a secret. Write it where only its owner can read it, and nowhere else.
    Raises ``KeyParseError`` on an empty passphrase: nobody means that.
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
    return pem, public_half(key)


def _generate(algorithm: KeyAlgorithm) -> PrivateKeyTypes:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if algorithm == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm.startswith("rsa"):
        return rsa.generate_private_key(65537, int(algorithm.removeprefix("rsa")))
    return ec.generate_private_key(ec.SECP256R1() if algorithm == "p256" else ec.SECP384R1())
