"""A private key that stays in its key service: its public key, and its signatures.

The signatures are made by the signers of securesystemslib. Each one is verified with the public key
before it is returned: an alias may lead to another key since the public key was read, and a service
or its client may be wrong.
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
from certpin.x509.keys import PublicKey
from certpin.x509.signing import verify_signature

if TYPE_CHECKING:
    from certpin.x509.signing import SignerPublicKey

_CHALLENGE_BYTES = 32


@dataclass(frozen=True, eq=False)
class ServiceKey:
    """A key in a key service. No connection is kept open that would have to be closed."""

    uri: ServiceURI
    public_key: SignerPublicKey
    _signer: Any = field(repr=False)  # a signer of securesystemslib

    @cached_property
    def key(self) -> PublicKey:
        """The public key as certpin's ``PublicKey``, like one that was read from a file."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        spki = self.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return PublicKey(spki, "key in a service")

    @property
    def spki(self) -> bytes:
        """The public key as DER (SubjectPublicKeyInfo). A pin is its SHA-256."""
        return self.key.spki

    def sign(self, data: bytes) -> bytes:
        """Sign data of any length. The service gets its digest; Vault gets the data.

        Returns:
            The signature, by the algorithm of ``TokenKey.sign``.

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
    """Open the key that a URI names. It signs a random challenge, which is verified.

    So a key that can't sign, or may not, is refused when it is named, and not at its first use.

    Args:
        uri: see ``ServiceURI``. Credentials come from the environment, as the service's own client
            finds them.

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
