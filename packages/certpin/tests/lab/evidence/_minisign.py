"""Helpers that create minisign keys and verify minisign signatures without the minisign program."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

if TYPE_CHECKING:
    from pathlib import Path

KEY_ID = b"certpin!"


def write_key(path: Path, *, passphrase: bytes | None = None) -> Path:
    """Write a new minisign secret key to a file, and return its path.

    With a passphrase, the key is encrypted with a low scrypt cost, so that tests are fast.
    """
    private = Ed25519PrivateKey.generate()
    seed = private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    body = KEY_ID + seed + public
    if passphrase is None:
        encoded = b"Ed\0\0B2" + bytes(48) + body + bytes(32)
    else:
        body += hashlib.blake2b(b"Ed" + body, digest_size=32).digest()
        salt = b"s" * 32
        # libsodium's parameters for 32768 operations and 16 MiB: N = 1024, r = 8, p = 1.
        mask = Scrypt(salt, len(body), n=1024, r=8, p=1).derive(passphrase)
        limits = (32768).to_bytes(8, "little") + (2**24).to_bytes(8, "little")
        hidden = bytes(a ^ b for a, b in zip(body, mask, strict=True))
        encoded = b"EdScB2" + salt + limits + hidden
    path.write_text(f"untrusted comment: a test key\n{base64.b64encode(encoded).decode()}\n")
    return path


def no_passphrase() -> bytes | None:
    """Replace the passphrase prompt, and fail the test: a key without one needs no prompt."""
    raise AssertionError("asked for a passphrase")


def verify(signature: str, data: bytes, public: str) -> str:
    """Verify a signature as minisign does, and return its trusted comment.

    Raises:
        InvalidSignature: it is not a signature of this data by this key.
    """
    first, encoded, trusted, second = signature.splitlines()
    assert first.startswith("untrusted comment: ")
    key = base64.b64decode(public)
    assert key[:2] == b"Ed"
    made = base64.b64decode(encoded)
    assert made[:10] == b"ED" + key[2:10]
    verifier = Ed25519PublicKey.from_public_bytes(key[10:])
    verifier.verify(made[10:], hashlib.blake2b(data).digest())
    comment = trusted.removeprefix("trusted comment: ")
    verifier.verify(base64.b64decode(second), made[10:] + comment.encode())
    return comment
