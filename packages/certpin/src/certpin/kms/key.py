"""A private key that stays in its key service: its public key, and its signatures.

The signers of securesystemslib request the signatures. Each signature is verified with the public
key before it is returned, for two reasons: an alias may have been moved to another key after the
public key was read, and a service or its client may have a fault.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from certpin.errors import TokenError
from certpin.kms.failures import translated
from certpin.kms.services import read_public_key
from certpin.kms.uri import ServiceURI
from certpin.x509.keys import PublicKey, spki_of
from certpin.x509.signing import verify_signature

if TYPE_CHECKING:
    from certpin.x509.signing import SignerPublicKey

_CHALLENGE_BYTES = 32


@dataclass(frozen=True, eq=False)
class ServiceKey:
    """A private key in a cloud key service, which signs with it; the key never leaves the service.

    No connection is kept open, so that nothing has to be closed.

    Attributes:
        uri: the parsed URI of the key.
        public_key: the public key, as an object of ``cryptography``.
    """

    uri: ServiceURI
    public_key: SignerPublicKey
    _signer: Any = field(repr=False)  # a signer of securesystemslib

    @cached_property
    def key(self) -> PublicKey:
        """The public key as certpin's ``PublicKey``, the class of keys that are read from files."""
        return PublicKey(spki_of(self.public_key), "key in a service")

    @property
    def spki(self) -> bytes:
        """The public key as DER (SubjectPublicKeyInfo). Its SHA-256 is the pin of the key."""
        return self.key.spki

    def sign(self, data: bytes) -> bytes:
        """Sign data of any length in the service, and verify the signature.

        Vault receives the data. The other services receive only its digest.

        Returns:
            The signature. For ECDSA it is DER, with SHA-256 for P-256 and SHA-384 for P-384. RSA
            signs by PKCS#1 v1.5 with SHA-256, and Ed25519 by RFC 8032.

        Raises:
            TokenError: the service refused or failed, or the signature is not valid for the public
                key.
        """
        with translated(self.uri):
            signature = bytes.fromhex(self._signer.sign(data).signature)
        if not verify_signature(self.public_key, signature, data):
            raise TokenError(
                f"{self.uri.service.title} returned a signature that is not valid for the public "
                f"key of {self.uri}",
                fix="if the URI has an alias, check which key it leads to; then try again",
            )
        return signature


def open_service_key(uri: str) -> ServiceKey:
    """Open the key that a URI names, and let it sign a random challenge as a test.

    If the key can't sign, or the user has no permission to use it, an error is therefore raised
    now, and not at the first use.

    Args:
        uri: the URI of the key, such as ``awskms:alias/NAME``; the module ``certpin.kms.uri`` lists
            the forms. Credentials come from the environment, as the service's own client finds
            them.

    Returns:
        The key, ready to sign.

    Raises:
        TokenError: the URI is invalid, a package is missing, the service refuses, or clients can't
            verify signatures of this type of key.
    """
    parsed = ServiceURI.parse(uri)
    public_key, tuf_key = read_public_key(parsed)
    with translated(parsed):
        from securesystemslib.signer import Signer

        signer = Signer.from_priv_key_uri(str(parsed), tuf_key)
    key = ServiceKey(parsed, public_key, signer)
    key.sign(os.urandom(_CHALLENGE_BYTES))
    return key
