"""Signatures by whatever key certpin takes: one algorithm for each kind of key."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from certpin.errors import InputError, KeyParseError
from certpin.x509 import keys, reader

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

    from certpin.x509.reader import Passphrase

    SignerPublicKey = EllipticCurvePublicKey | RSAPublicKey | Ed25519PublicKey

_USABLE = "P-256, P-384, RSA and Ed25519 keys are usable"


class Signer(Protocol):
    """Whatever signs: a key in memory, or one that stays on its token."""

    @property
    def public_key(self) -> SignerPublicKey:
        """The public half."""

    @property
    def spki(self) -> bytes:
        """Its SubjectPublicKeyInfo as DER."""

    def sign(self, data: bytes) -> bytes:
        """Sign bytes of any length."""


@dataclass(frozen=True)
class FileKey:
    """A private key that was read from a file."""

    public_key: SignerPublicKey
    spki: bytes
    _private: Any = field(repr=False, compare=False)

    def sign(self, data: bytes) -> bytes:
        """Sign bytes of any length, as ``TokenKey`` does."""
        from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

        half = self.public_key
        words: tuple[Any, ...] = ()
        if isinstance(half, ec.EllipticCurvePublicKey):
            words = (ec.ECDSA(hash_for(half)),)
        elif isinstance(half, rsa.RSAPublicKey):
            words = (padding.PKCS1v15(), hash_for(half))
        return bytes(self._private.sign(data, *words))


def file_key(data: bytes, passphrase: Passphrase) -> FileKey:
    """The private key of a file: PEM, DER or PKCS#12. ``passphrase`` is called if it is sealed.

    Raises ``KeyParseError`` where there is none, and where it is of a kind that has no place in a
    certificate request here: an RSA-PSS key would come out as a plain RSA key, with another pin.
    """
    private = _load(data, passphrase)
    half: Any = private.public_key()
    spki = keys.public_half(private).spki
    if not usable(half) or _is_pss(data, spki):
        raise KeyParseError("a key of this kind signs no certificate request here", fix=_USABLE)
    return FileKey(half, spki, private)


def _load(data: bytes, passphrase: Passphrase) -> PrivateKeyTypes:
    """Try each container without a passphrase, then with it."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    pem = serialization.load_pem_private_key
    loaders: list[Any] = [serialization.load_der_private_key, _from_pkcs12]
    for ask in (reader.no_passphrase, passphrase):
        secret = ask()
        for load in [pem] if b"-----BEGIN " in data else loaders:
            with suppress(ValueError, TypeError, UnsupportedAlgorithm):
                private: PrivateKeyTypes = load(data, secret)
                return private
    raise KeyParseError(
        "there is no private key in it that can be read",
        fix="give the file of a private key, as PEM, DER or PKCS#12, and its passphrase if it has "
        "one",
    )


def _from_pkcs12(data: bytes, secret: bytes | None) -> PrivateKeyTypes:
    from cryptography.hazmat.primitives.serialization import pkcs12

    private = pkcs12.load_pkcs12(data, secret).key
    if private is None:
        raise ValueError("no key in it")
    return private


def _is_pss(data: bytes, plain: bytes) -> bool:
    """Whether the file says RSA-PSS, which the loader does not. A sealed one cannot be asked."""
    try:
        items = reader.read(data)
    except InputError:
        return False
    private = [item.spki for item in items if getattr(item, "source", "") == "private key"]
    return any(spki != plain for spki in private)


def usable(half: Any) -> bool:
    """Whether a public key is of a kind that certpin signs with."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(half, ec.EllipticCurvePublicKey):
        return half.curve.name in {"secp256r1", "secp384r1"}
    return isinstance(half, rsa.RSAPublicKey | ed25519.Ed25519PublicKey)


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
