"""Convert certpin's keys (files, PKCS#11 tokens, key services) to the key format of TUF metadata.

The ID of a key is a hash of the key (TUF 1.0.31, 4.2). Clients accept any ID, so one key under two
IDs would count as two signatures. So certpin always computes IDs, and compares them with those in
metadata.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key
from securesystemslib.signer import Signature
from securesystemslib.signer import Signer as TUFSigner

from certpin.errors import KeyParseError
from certpin.kms.services import sslib_key
from certpin.x509.certificate import read_items
from certpin.x509.keys import PublicKey
from certpin.x509.signing import is_signing_key

if TYPE_CHECKING:
    from securesystemslib.signer import Key, SSlibKey

    from certpin.x509.signing import Signer, SignerPublicKey

_LEAST_RSA_BITS = 2048  # NIST SP 800-131A, table 2


class KeySigner(TUFSigner):
    """Signs TUF metadata with a private key of certpin: from a file, a token or a key service.

    ``sign`` raises the errors of that private key, such as a token's.

    Args:
        signer: the private key.
        place: the key's file or URI as the user named it, for errors; empty if there is none.
    """

    def __init__(self, signer: Signer, place: str = "") -> None:
        self._signer = signer
        self.place = place
        self._key = tuf_key(signer.public_key)

    @property
    def public_key(self) -> SSlibKey:
        """The public key of this signer, in the format of TUF metadata."""
        return self._key

    def sign(self, payload: bytes) -> Signature:
        """Return a TUF signature of the bytes ``payload``, with the ID of the key."""
        return Signature(self._key.keyid, self._signer.sign(payload).hex())

    @classmethod
    def from_priv_key_uri(cls, *_: object) -> NoReturn:
        """Always raise ``NotImplementedError``. The base class requires this method.

        certpin opens private keys itself, not by the URIs of the library ``securesystemslib``.
        """
        raise NotImplementedError


def tuf_key(public_key: SignerPublicKey) -> SSlibKey:
    """Convert a public key to the format of TUF root metadata, with its ID.

    Raises:
        KeyParseError: the key is an RSA key of less than 2048 bits.
    """
    if isinstance(public_key, RSAPublicKey) and public_key.key_size < _LEAST_RSA_BITS:
        raise KeyParseError(
            f"an RSA key of {public_key.key_size} bits is too weak to sign",
            fix=f"take one of {_LEAST_RSA_BITS} bits or more, or a P-256 key",
        )
    return sslib_key(public_key)


def held_elsewhere(data: bytes) -> SSlibKey | None:
    """Return a public key in TUF's format, from a file that contains only this public key.

    Such a file means that another signer has the private key. Return None if the file's bytes
    (``data``) contain anything else, such as a private key.

    Raises:
        KeyParseError: certpin can't verify signatures of this kind of key.
    """
    try:
        (item,) = read_items(data)
    except ValueError:  # several keys, or none that is read without a passphrase
        return None
    if not isinstance(item, PublicKey) or item.source != "public key":
        return None
    public_key: Any = load_der_public_key(item.spki)
    if not is_signing_key(public_key):
        raise KeyParseError(
            f"{item.key} is no key that signs here",
            fix="P-256, P-384, RSA and Ed25519 keys are usable",
        )
    return tuf_key(public_key)


def public_key_of(key: Key) -> Any:
    """Convert a key in root metadata to a public key of the library ``cryptography``.

    Return None if the key is invalid, or if its ID or its signature scheme is not the one that
    certpin writes for such a key.
    """
    try:
        text = key.keyval["public"]
        public_key: Any = (
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
            if key.keytype == "ed25519"
            else load_pem_public_key(text.encode())
        )
        return public_key if is_signing_key(public_key) and tuf_key(public_key) == key else None
    except Exception:  # noqa: BLE001  # a hostile key can make the libraries raise anything
        return None
