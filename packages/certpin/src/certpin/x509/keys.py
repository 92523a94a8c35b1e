"""Read the public key from a public key, a private key or a CSR, and generate private keys."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from certpin.errors import CertificateParseError, KeyParseError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

KeySource = Literal[
    "public key", "private key", "certificate request", "key on a token", "key in a service"
]
KeyAlgorithm = Literal["p256", "p384", "rsa2048", "rsa3072", "rsa4096", "ed25519"]

MAKE_AN_SPKI = "give its public key: openssl pkey -in KEY -pubout"
_MIN_RSA_BITS = 2048


class PassphraseError(KeyParseError):
    """A private key is encrypted, and its passphrase is missing or wrong, or the key is damaged.

    A wrong passphrase can't be distinguished from a damaged key.
    """


class MissingPassphraseError(PassphraseError):
    """A private key is encrypted, and there is no passphrase for it."""


@dataclass(frozen=True)
class PublicKey:
    """A public key, as SubjectPublicKeyInfo in strict DER (RFC 5280 section 4.1.2.7).

    ``spki`` are these bytes. ``source`` is the kind of object from which the key was read, such as
    a CSR. A private key is never stored. ``caveat`` is a sentence for the user if the digest may be
    wrong, and empty otherwise.
    """

    spki: bytes
    source: KeySource = field(compare=False)
    caveat: str = field(default="", compare=False)

    @cached_property
    def spki_sha256(self) -> bytes:
        """The SHA-256 of the SubjectPublicKeyInfo, 32 bytes: the digest that a pin contains."""
        return hashlib.sha256(self.spki).digest()

    @cached_property
    def key(self) -> str:
        """The type of the key, such as ``EC P-256``, ``RSA 2048`` or ``Ed25519``."""
        from certpin.x509.der import describe_key

        return describe_key(self.spki)


def public_key(der: bytes) -> PublicKey:
    """Parse a SubjectPublicKeyInfo in DER, and return the key.

    Raises:
        KeyParseError: the bytes are not a public key in strict DER.
    """
    from certpin.x509.der import check_spki

    try:
        check_spki(der)
    except ValueError as exc:
        raise KeyParseError("this is not a public key in DER", fix=MAKE_AN_SPKI) from exc
    return PublicKey(der, "public key")


def certificate_request(der: bytes) -> PublicKey:
    """Return the public key in a CSR (RFC 2986), given as DER. The CSR's signature is not verified.

    Raises:
        CertificateParseError: the bytes are not a CSR in strict DER.
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

    If it is an RSA key, ``caveat`` warns that the digest may be wrong: an RSA-PSS key is read as
    plain RSA here, which has a different digest.

    Raises:
        PassphraseError: the passphrase is wrong, or the data is not such a key.
        KeyParseError: certpin can't read this kind of key, or of encryption.
    """
    return _read(_encrypted, data, passphrase)


def parsed_private_key(key: PrivateKeyTypes) -> PublicKey:
    """Return the public key of a private key that ``cryptography`` parsed.

    If it is an RSA key, ``caveat`` warns that the digest may be wrong: ``cryptography`` reads an
    RSA-PSS key as plain RSA, which has a different digest.
    """
    return _with_caveat(public_key_of(key))


def public_key_of(key: PrivateKeyTypes) -> PublicKey:
    """Return the public key of a private key.

    For an RSA-PSS key, the result is a plain RSA key, whose digest (pin) differs.
    """
    return PublicKey(spki_of(key.public_key()), "private key")


def spki_of(public_key: PublicKeyTypes) -> bytes:
    """Return a public key as SubjectPublicKeyInfo in DER (RFC 5280, section 4.1.2.7)."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _read(
    load: Callable[[bytes, bytes | None], PublicKey], data: bytes, passphrase: bytes | None
) -> PublicKey:
    from cryptography.exceptions import InternalError, UnsupportedAlgorithm

    try:
        return load(data, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm, InternalError) as exc:
        # The loader raises TypeError if a passphrase is missing, or was not needed, and
        # InternalError for a DH key that is larger than OpenSSL allows.
        is_undecrypted = passphrase is not None and isinstance(exc, ValueError)
        kind = PassphraseError if is_undecrypted else KeyParseError
        raise kind(
            "this private key cannot be read", fix=f"check its passphrase, or {MAKE_AN_SPKI}"
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
    return replace(public, caveat=f"if this is an RSA-PSS key, {MAKE_AN_SPKI}")


def _is_rsa(public: PublicKey) -> bool:
    return public.key.startswith("RSA")


def new_private_key(algorithm: KeyAlgorithm, passphrase: bytes | None) -> tuple[bytes, PublicKey]:
    """Generate a private key.

    Args:
        algorithm: the algorithm and size of the key.
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


def public_authority_refusal(key: str) -> str:
    """Return the reason why no public authority issues a certificate for this type of key.

    Args:
        key: the type of the key, as ``describe_key`` returns it.

    Returns:
        A clause with the reason; empty if public authorities accept the type. Sources: CA/Browser
        Forum, Baseline Requirements 2.1, section 6.1.5 (RSA of at least 2048 bits, P-256, P-384,
        P-521) and section 7.1.3.1.1 (no RSA-PSS), and Mozilla Root Store Policy 3.0, section 5.1,
        which excludes P-521. Not checked: the exponent of an RSA key, and keys known to be weak.
    """
    kind, _, size = key.partition(" ")
    if key in {"EC P-256", "EC P-384"} or (kind == "RSA" and int(size) >= _MIN_RSA_BITS):
        return ""
    if key == "EC P-521":
        return "the Mozilla Root Store Policy (5.1) excludes P-521"
    section = "7.1.3.1.1" if kind == "RSA-PSS" else "6.1.5"
    return f"the Baseline Requirements ({section}) don't allow {key}"


def dart_can_use(key: str, *, signs: bool = False) -> bool:
    """Return True if Dart's TLS library, BoringSSL, can use a type of key.

    Servers can use RSA keys and EC keys on P-256 and P-384; authorities also those on P-521, and
    Ed25519. All other types, also unknown ones, give False.

    Args:
        key: the type of the key, as ``describe_key`` returns it.
        signs: True for the key of an authority: clients only verify its signatures. False for the
            key of a server.
    """
    kind, _, curve = key.partition(" ")
    if signs and (key == "Ed25519" or curve == "P-521"):
        return True
    return kind == "RSA" or curve in {"P-256", "P-384"}
