"""Keys that sign metadata: those of files and tokens, as TUF writes them down.

The id of a key is the hash of it (TUF 1.0.31, 4.2). A client takes any id: two ids for one key
would count as two signatures. So ids are computed here, and compared where somebody else wrote
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key
from securesystemslib.signer import Signature, SSlibKey
from securesystemslib.signer import Signer as TUFSigner

from certpin.errors import KeyParseError
from certpin.x509.keys import PublicKey
from certpin.x509.reader import read
from certpin.x509.signing import is_signing_key

if TYPE_CHECKING:
    from securesystemslib.signer import Key

    from certpin.x509.signing import Signer, SignerPublicKey

# What ``Signer.sign`` makes of an RSA key; the scheme that securesystemslib prefers is PSS.
_RSA_SCHEME = "rsa-pkcs1v15-sha256"
_LEAST_RSA_BITS = 2048  # NIST SP 800-131A, table 2


class KeySigner(TUFSigner):
    """A key that signs, as tuf wants one. Its ``sign`` raises what the key raises."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._key = tuf_key(signer.public_key)

    @property
    def public_key(self) -> SSlibKey:
        """The public half."""
        return self._key

    def sign(self, payload: bytes) -> Signature:
        """Sign metadata."""
        return Signature(self._key.keyid, self._signer.sign(payload).hex())

    @classmethod
    def from_priv_key_uri(cls, *_: object) -> NoReturn:
        """Is not how these are made."""
        raise NotImplementedError


def tuf_key(public_key: SignerPublicKey) -> SSlibKey:
    """A public key as it stands in a root. Raises ``KeyParseError`` for one that is too weak."""
    if not isinstance(public_key, RSAPublicKey):
        return SSlibKey.from_crypto(public_key)
    if public_key.key_size < _LEAST_RSA_BITS:
        raise KeyParseError(
            f"an RSA key of {public_key.key_size} bits signs nothing that others rely on",
            fix=f"take one of {_LEAST_RSA_BITS} bits or more, or a P-256 key",
        )
    return SSlibKey.from_crypto(public_key, scheme=_RSA_SCHEME)


def held_elsewhere(data: bytes) -> SSlibKey | None:
    """The key of a file, if that holds the public key of somebody else, and nothing but it."""
    try:
        (item,) = read(data)
    except ValueError:  # several, or none that is read without a passphrase
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
    """The public key that stands in a root; ``None`` where it does not stand there as here.

    That is: id, scheme and all.
    """
    try:
        text = key.keyval["public"]
        public_key: Any = (
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
            if key.keytype == "ed25519"
            else load_pem_public_key(text.encode())
        )
        return public_key if is_signing_key(public_key) and tuf_key(public_key) == key else None
    except Exception:  # noqa: BLE001  # whatever a hostile key makes the libraries raise
        return None
