"""A bank with a key for its list, and lists that are right, or wrong in one respect."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from certpin.x509.signing import FileKey, file_key

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SECONDS = int((NOW + timedelta(days=60)).timestamp())
HOST = "api.bank.example"
DIGEST = hashlib.sha256(b"a certificate").digest()
FINGERPRINT = base64.b64encode(DIGEST).decode()


def entry(**fields: Any) -> dict[str, Any]:
    """An entry, unsigned."""
    return {"name": HOST, "fingerprint": FINGERPRINT, "expires": SECONDS, **fields}


def listing(*entries: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({**more, "fingerprints": entries}).encode()


@dataclass
class Bank:
    """Signs with ``cryptography`` alone."""

    private: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    @property
    def key(self) -> ec.EllipticCurvePublicKey:
        return self.private.public_key()

    @property
    def pem(self) -> bytes:
        return pem_of(self.private)

    @property
    def public_key(self) -> str:
        """As the configuration of an SDK has it."""
        point = self.key.public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        return base64.b64encode(point).decode()

    @property
    def signer(self) -> FileKey:
        return signer_of(self.private)

    def sign(self, text: bytes | str, algorithm: hashes.HashAlgorithm | None = None) -> bytes:
        data = text.encode() if isinstance(text, str) else text
        return self.private.sign(data, ec.ECDSA(algorithm or hashes.SHA256()))

    def signed(self, text: bytes | str | None = None, **fields: Any) -> dict[str, Any]:
        """An entry with a signature; with ``text``, that is what was signed in its place."""
        made = entry(**fields)
        right = f"{made['name']}&{made['fingerprint']}&{made['expires']}"
        return with_signature(made, self.sign(right if text is None else text))


def pem_of(private: Any) -> bytes:
    """Any private key as a file, in clear."""
    made: bytes = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return made


def signer_of(private: Any) -> FileKey:
    """Any private key, as certpin has it."""
    return file_key(pem_of(private), lambda: None)


def with_signature(made: dict[str, Any], signature: bytes) -> dict[str, Any]:
    return {**made, "signature": base64.b64encode(signature).decode()}
