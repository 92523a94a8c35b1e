"""The key schedule and the records of TLS 1.3 (RFC 8446), for the suite TLS_AES_128_GCM_SHA256.

They are for TLS peers that no TLS library supports: a server that staples OCSP responses, and a
test client that skips a check. This code is not hardened against timing attacks, because every key
of the lab is worthless.
"""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from certpin.lab.server.records import vector


class TrafficKeys:
    """The key, the nonce and the record counter of one direction of a TLS 1.3 connection.

    See RFC 8446 sections 5.2, 5.3 and 7.3.

    Args:
        secret: the traffic secret of the direction.
    """

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(expand(secret, b"key", b"", 16))
        self._iv = int.from_bytes(expand(secret, b"iv", b"", 12))
        self._number = 0

    def _nonce(self) -> bytes:
        nonce = (self._iv ^ self._number).to_bytes(12)
        self._number += 1
        return nonce

    def encrypt(self, kind: int, content: bytes) -> bytes:
        """Return an encrypted TLS record with the content type ``kind`` and this content."""
        header = b"\x17\3\3" + (len(content) + 1 + 16).to_bytes(2)
        return header + self._cipher.encrypt(self._nonce(), content + bytes((kind,)), header)

    def decrypt(self, header: bytes, content: bytes) -> tuple[int, bytes]:
        """Return the type and the content of an encrypted TLS record, without padding.

        ``header`` are the five bytes before the encrypted content.

        Raises:
            cryptography.exceptions.InvalidTag: the record is not authentic.
            ValueError: the record has no type.
        """
        inner = self._cipher.decrypt(self._nonce(), content, header).rstrip(b"\0")
        if not inner:
            raise ValueError("the record has no type")
        return inner[-1], inner[:-1]


def verify_data(secret: bytes, transcript: bytes) -> bytes:
    """Return the content of a Finished message (RFC 8446 section 4.4.4).

    Args:
        secret: the handshake traffic secret of the sender.
        transcript: all handshake messages before this one.
    """
    key = expand(secret, b"finished", b"", 32)
    return hmac.digest(key, hashlib.sha256(transcript).digest(), "sha256")


def handshake_secret(shared: bytes) -> bytes:
    """Return the handshake secret of a key exchange without a PSK (RFC 8446 section 7.1).

    ``shared`` is the result of the key exchange.
    """
    return _extract(derive(_extract(bytes(32), bytes(32)), b"derived", b""), shared)


def master_secret(secret: bytes) -> bytes:
    """Return the master secret that follows a handshake secret (RFC 8446 section 7.1)."""
    return _extract(derive(secret, b"derived", b""), bytes(32))


def derive(secret: bytes, label: bytes, messages: bytes) -> bytes:
    """Return a secret that is derived from another one by Derive-Secret (RFC 8446 section 7.1).

    ``secret``, ``label`` and ``messages`` (handshake messages) are the inputs in the RFC.
    """
    return expand(secret, label, hashlib.sha256(messages).digest(), 32)


def expand(secret: bytes, label: bytes, context: bytes, count: int) -> bytes:
    """Return HKDF-Expand-Label with SHA-256 (RFC 8446 section 7.1).

    ``secret``, ``label`` and ``context`` are the inputs in the RFC. ``count`` is the length of the
    result in bytes, at most 32.
    """
    info = count.to_bytes(2) + vector(1, b"tls13 " + label) + vector(1, context)
    return hmac.digest(secret, info + b"\1", "sha256")[:count]


def _extract(salt: bytes, key: bytes) -> bytes:
    return hmac.digest(salt, key, "sha256")
