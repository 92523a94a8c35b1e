"""The key schedule and the records of TLS 1.2 (RFC 5246), for a few of its cipher suites.

They are for TLS peers that no TLS library supports: a server with a weakness, and a test client
that accepts this weakness. Like ``tls13``, this code is not hardened against timing attacks,
because every key of the lab is worthless.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from certpin.lab.server.records import vector

if TYPE_CHECKING:
    from certpin.lab.server.handmade import RecordKeys

_VERSION = b"\3\3"
_SALT, _NONCE, _TAG = 4, 8, 16  # octets of the two parts of a nonce, and of the tag (RFC 5288)


@dataclass(frozen=True)
class Suite:
    """A cipher suite of TLS 1.2, with a PRF over SHA-256.

    Attributes:
        number: the suite's number in the handshake.
        name: OpenSSL's name of the suite.
        exchange: the key exchange: ``RSA``, ``DHE`` or ``ECDHE``.
        key: the length of the cipher's key in bytes.
        mac: the hash of the MAC; empty for AES-GCM.
        block: the length of a block in bytes: 8 for 3DES, 16 for AES.
    """

    number: int
    name: str
    exchange: str
    key: int
    mac: str = "sha1"
    block: int = 16

    def keys(self, master: bytes, client: bytes, server: bytes) -> tuple[RecordKeys, RecordKeys]:
        """Return the keys of the client's and of the server's records (RFC 5246 section 6.3).

        Args:
            master: the master secret.
            client: the random value of the client.
            server: the random value of the server.
        """
        mac = hashlib.new(self.mac).digest_size if self.mac else 0
        salt = 0 if self.mac else _SALT
        block = prf(master, b"key expansion", server + client, 2 * (mac + self.key + salt))
        parts = []
        for size in (mac, mac, self.key, self.key, salt, salt):
            parts.append(block[:size])
            block = block[size:]
        if self.mac:
            return CbcKeys(self, parts[2], parts[0]), CbcKeys(self, parts[3], parts[1])
        return GcmKeys(parts[2], parts[4]), GcmKeys(parts[3], parts[5])


class CbcKeys:
    """The keys for TLS 1.2 records of one direction in CBC mode, and the record counter.

    See RFC 5246 section 6.2.3.2.

    Args:
        suite: the suite.
        key: the key of the cipher.
        mac: the key of the MAC.
    """

    def __init__(self, suite: Suite, key: bytes, mac: bytes) -> None:
        self._suite, self._mac = suite, mac
        self._algorithm = TripleDES(key) if suite.block == 8 else algorithms.AES(key)
        self._number = 0

    def encrypt(self, kind: int, content: bytes) -> bytes:
        """Return an encrypted TLS record with the content type ``kind`` and this content."""
        plain = content + self._authenticate(kind, content)
        padding = self._suite.block - len(plain) % self._suite.block
        plain += bytes((padding - 1,)) * padding
        first = os.urandom(self._suite.block)
        encryptor = Cipher(self._algorithm, modes.CBC(first)).encryptor()
        sealed = first + encryptor.update(plain) + encryptor.finalize()
        return bytes((kind,)) + _VERSION + vector(2, sealed)

    def decrypt(self, header: bytes, content: bytes) -> tuple[int, bytes]:
        """Return the type and the content of an encrypted TLS record.

        ``header`` are the five bytes before the encrypted content.

        Raises:
            cryptography.exceptions.InvalidTag: the padding or the MAC is wrong.
            ValueError: the length is no multiple of a block, or too small.
        """
        block = self._suite.block
        if len(content) < 2 * block:
            raise ValueError("the record is too short")
        decryptor = Cipher(self._algorithm, modes.CBC(content[:block])).decryptor()
        plain = decryptor.update(content[block:]) + decryptor.finalize()
        padding = plain[-1] + 1
        plain, padded = plain[:-padding], plain[-padding:]
        size = len(plain) - hashlib.new(self._suite.mac).digest_size
        expected = self._authenticate(header[0], plain[: max(size, 0)])
        if len(set(padded)) != 1 or not hmac.compare_digest(plain[max(size, 0) :], expected):
            raise InvalidTag
        return header[0], plain[:size]

    def _authenticate(self, kind: int, content: bytes) -> bytes:
        """Return the MAC of the next record, and count the record (RFC 5246 section 6.2.3.1).

        ``kind`` is the content type of the record, and ``content`` its content.
        """
        made = _counted(self._number, kind, len(content)) + content
        self._number += 1
        return hmac.digest(self._mac, made, self._suite.mac)


class GcmKeys:
    """The key, the salt and the record counter of one direction of AES-GCM (RFC 5288 section 3)."""

    def __init__(self, key: bytes, salt: bytes) -> None:
        self._cipher, self._salt = AESGCM(key), salt
        self._number = 0

    def encrypt(self, kind: int, content: bytes) -> bytes:
        """Return an encrypted TLS record with the content type ``kind`` and this content."""
        nonce = self._number.to_bytes(_NONCE)
        counted = _counted(self._number, kind, len(content))
        self._number += 1
        sealed = nonce + self._cipher.encrypt(self._salt + nonce, content, counted)
        return bytes((kind,)) + _VERSION + vector(2, sealed)

    def decrypt(self, header: bytes, content: bytes) -> tuple[int, bytes]:
        """Return the type and the content of an encrypted TLS record.

        ``header`` are the five bytes before the encrypted content.

        Raises:
            cryptography.exceptions.InvalidTag: the record is not authentic.
            ValueError: the record is too short.
        """
        size = len(content) - _NONCE - _TAG
        if size < 0:
            raise ValueError("the record is too short")
        nonce, sealed = content[:_NONCE], content[_NONCE:]
        counted = _counted(self._number, header[0], size)
        self._number += 1
        return header[0], self._cipher.decrypt(self._salt + nonce, sealed, counted)


def _counted(number: int, kind: int, size: int) -> bytes:
    """Return the data that a TLS 1.2 record authenticates in addition to its content.

    It is the record's number and header. ``kind`` is the content type in the header, and ``size``
    the length of the content in bytes.
    """
    return number.to_bytes(8) + bytes((kind,)) + _VERSION + size.to_bytes(2)


def master_secret(shared: bytes, client: bytes, server: bytes) -> bytes:
    """Return the master secret of a key exchange (RFC 5246 section 8.1).

    Args:
        shared: the premaster secret.
        client: the random value of the client.
        server: the random value of the server.
    """
    return prf(shared, b"master secret", client + server, 48)


def verify_data(master: bytes, label: bytes, transcript: bytes) -> bytes:
    """Return the content of a Finished message (RFC 5246 section 7.4.9).

    Args:
        master: the master secret.
        label: ``client finished`` or ``server finished``.
        transcript: all handshake messages before this one.
    """
    return prf(master, label, hashlib.sha256(transcript).digest(), 12)


def prf(secret: bytes, label: bytes, seed: bytes, size: int) -> bytes:
    """Return ``size`` bytes of the pseudo-random function over SHA-256 (RFC 5246 section 5).

    ``secret``, ``label`` and ``seed`` are the inputs of the function in the RFC.
    """
    made, state = b"", label + seed
    while len(made) < size:
        state = hmac.digest(secret, state, "sha256")
        made += hmac.digest(secret, state + label + seed, "sha256")
    return made[:size]
