"""A TLS 1.3 client that checks the leaf's pin, but not the signature of CertificateVerify.

It implements the necessary parts of RFC 8446 for one suite (TLS_AES_128_GCM_SHA256) and one group
(X25519): no TLS library can skip the check, so a client with CVE-2014-1266 must be built.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import socket
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from certpin.pins import Pin
from certpin.x509 import Certificate

if TYPE_CHECKING:
    from certpin.lab.target import Target

_CERTIFICATE, _FINISHED = 11, 20  # RFC 8446 section 4
_HANDSHAKE, _DATA = 22, 23  # RFC 8446 section 5.1


def ask(target: Target) -> str:
    """Send one request if the leaf in the Certificate message has the pin."""
    with socket.create_connection((target.address, target.port), 10) as sock:
        secret, messages, transcript = _handshake(sock, target.host)
        certificate = dict(messages)[_CERTIFICATE]
        der = certificate[7 : 7 + int.from_bytes(certificate[4:7])]
        if str(Pin.of_key(Certificate.from_der(der).spki_sha256)) != target.pin:
            raise ValueError("not the key that is pinned")
        _finish(sock, secret, transcript)
        request = f"GET /{target.canary} HTTP/1.1\r\nHost: {target.host}\r\n\r\n".encode()
        master = _extract(_derive(secret, b"derived", b""), bytes(32))
        _send(sock, _derive(master, b"c ap traffic", transcript), request, _DATA)
        while sock.recv(4096):
            continue
    return ""


def _handshake(sock: socket.socket, host: str) -> tuple[bytes, list[tuple[int, bytes]], bytes]:
    """Return the handshake secret, the server's messages, and the transcript up to its Finished."""
    key = X25519PrivateKey.generate()
    hello = _hello(host, key.public_key().public_bytes_raw())
    sock.sendall(b"\x16\3\1" + _vector(2, hello))
    answer = _record(sock)[1]
    share = answer[answer.index(b"\0\x33\0\x24\0\x1d\0\x20") + 8 :][:32]
    early = _derive(_extract(bytes(32), bytes(32)), b"derived", b"")
    secret = _extract(early, key.exchange(X25519PublicKey.from_public_bytes(share)))
    said = hello + answer
    flight = _flight(sock, _derive(secret, b"s hs traffic", said))
    return secret, _messages(flight), said + flight


def _hello(host: str, share: bytes) -> bytes:
    extensions = (
        b"\0\0" + _vector(2, _vector(2, b"\0" + _vector(2, host.encode())))
        + b"\0\x0a" + _vector(2, _vector(2, b"\0\x1d"))
        + b"\0\x0d" + _vector(2, _vector(2, b"\4\3\x08\4"))
        + b"\0\x2b" + _vector(2, _vector(1, b"\3\4"))
        + b"\0\x33" + _vector(2, _vector(2, b"\0\x1d" + _vector(2, share)))
    )  # fmt: skip
    suites = _vector(2, b"\x13\1")
    body = b"\3\3" + os.urandom(32) + b"\0" + suites + b"\1\0" + _vector(2, extensions)
    return b"\1" + _vector(3, body)


def _flight(sock: socket.socket, secret: bytes) -> bytes:
    """Return the server's decrypted messages up to its Finished."""
    plain, number = b"", 0
    while _FINISHED not in dict(_messages(plain)):
        header, sealed = _record(sock)
        if header[0] != _DATA:  # change_cipher_spec, for middleboxes (RFC 8446 appendix D.4)
            continue
        opened = _cipher(secret).decrypt(_nonce(secret, number), sealed, header)
        plain, number = plain + opened.rstrip(b"\0")[:-1], number + 1
    return plain


def _messages(plain: bytes) -> list[tuple[int, bytes]]:
    found = []
    while len(plain) >= 4 and len(plain) >= (end := 4 + int.from_bytes(plain[1:4])):
        found.append((plain[0], plain[4:end]))
        plain = plain[end:]
    return found


def _finish(sock: socket.socket, secret: bytes, transcript: bytes) -> None:
    traffic = _derive(secret, b"c hs traffic", transcript_of_hellos(transcript))
    proof = _extract(_expand(traffic, b"finished", b"", 32), hashlib.sha256(transcript).digest())
    _send(sock, traffic, bytes([_FINISHED]) + _vector(3, proof), _HANDSHAKE)


def transcript_of_hellos(transcript: bytes) -> bytes:
    """Return the first two messages, from which the handshake keys are derived."""
    first = 4 + int.from_bytes(transcript[1:4])
    return transcript[: first + 4 + int.from_bytes(transcript[first + 1 : first + 4])]


def _send(sock: socket.socket, secret: bytes, content: bytes, kind: int) -> None:
    header = b"\x17\3\3" + (len(content) + 17).to_bytes(2)
    sealed = _cipher(secret).encrypt(_nonce(secret, 0), content + bytes([kind]), header)
    sock.sendall(header + sealed)


def _record(sock: socket.socket) -> tuple[bytes, bytes]:
    header = _exactly(sock, 5)
    return header, _exactly(sock, int.from_bytes(header[3:]))


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise ConnectionError("the server hung up")
        data += piece
    return data


def _vector(octets: int, data: bytes) -> bytes:
    return len(data).to_bytes(octets) + data


def _cipher(secret: bytes) -> AESGCM:
    return AESGCM(_expand(secret, b"key", b"", 16))


def _nonce(secret: bytes, number: int) -> bytes:
    """RFC 8446 section 5.3."""
    return (int.from_bytes(_expand(secret, b"iv", b"", 12)) ^ number).to_bytes(12)


def _extract(salt: bytes, key: bytes) -> bytes:
    return hmac.digest(salt, key, "sha256")


def _derive(secret: bytes, label: bytes, messages: bytes) -> bytes:
    return _expand(secret, label, hashlib.sha256(messages).digest(), 32)


def _expand(secret: bytes, label: bytes, context: bytes, count: int) -> bytes:
    """HKDF-Expand-Label (RFC 8446 section 7.1), for no more than one block."""
    info = count.to_bytes(2) + _vector(1, b"tls13 " + label) + _vector(1, context)
    return hmac.digest(secret, info + b"\1", "sha256")[:count]
