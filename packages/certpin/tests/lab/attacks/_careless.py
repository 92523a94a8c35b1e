"""A TLS 1.3 client that checks the leaf's pin, but not the signature of CertificateVerify.

``leave_as_java`` is the start of another client: it closes TLS as Java does.

It implements the necessary parts of RFC 8446 for one suite (that of ``tls13``) and one group
(X25519): no TLS library can skip the check, so a client with CVE-2014-1266 must be built.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from certpin.lab.server.records import vector
from certpin.lab.server.tls13 import (
    TrafficKeys,
    derive,
    handshake_secret,
    master_secret,
    verify_data,
)
from certpin.pins import Pin
from certpin.x509 import Certificate

if TYPE_CHECKING:
    from certpin.lab.target import Target

_CERTIFICATE, _FINISHED = 11, 20  # RFC 8446 section 4
_ALERT, _HANDSHAKE, _DATA = 21, 22, 23  # RFC 8446 section 5.1
_USER_CANCELED, _CLOSE_NOTIFY = b"\1\x5a", b"\1\0"  # RFC 8446 section 6, as warnings


def ask(target: Target) -> str:
    """Send one request if the leaf's key has the pin. No proof of owning that key is required."""
    with socket.create_connection((target.address, target.port), 10) as sock:
        secret, messages, transcript = _handshake(sock, target.host)
        certificate = dict(messages)[_CERTIFICATE]
        der = certificate[7 : 7 + int.from_bytes(certificate[4:7])]
        if str(Pin.of_key(Certificate.from_der(der).spki_sha256)) != target.pin:
            raise ValueError("not the key that is pinned")
        keys = _finish(sock, secret, transcript)
        request = f"GET /{target.canary} HTTP/1.1\r\nHost: {target.host}\r\n\r\n".encode()
        sock.sendall(keys.encrypt(_DATA, request))
        while sock.recv(4096):
            continue
    return ""


def leave_as_java(target: Target) -> None:
    """Finish a handshake, and close TLS with the two alerts of Java, in one write."""
    with socket.create_connection((target.address, target.port), 10) as sock:
        secret, _, transcript = _handshake(sock, target.host)
        keys = _finish(sock, secret, transcript)
        alerts = (_USER_CANCELED, _CLOSE_NOTIFY)
        sock.sendall(b"".join(keys.encrypt(_ALERT, alert) for alert in alerts))
        while sock.recv(4096):
            continue


def _handshake(sock: socket.socket, host: str) -> tuple[bytes, list[tuple[int, bytes]], bytes]:
    """Run a TLS 1.3 handshake up to the server's Finished message.

    Returns:
        the handshake secret, the server's messages as (type, body), and the transcript so far
    """
    key = X25519PrivateKey.generate()
    hello = _hello(host, key.public_key().public_bytes_raw())
    sock.sendall(b"\x16\3\1" + vector(2, hello))
    answer = _record(sock)[1]
    share = answer[answer.index(b"\0\x33\0\x24\0\x1d\0\x20") + 8 :][:32]
    secret = handshake_secret(key.exchange(X25519PublicKey.from_public_bytes(share)))
    said = hello + answer
    flight = _flight(sock, derive(secret, b"s hs traffic", said))
    return secret, _messages(flight), said + flight


def _hello(host: str, share: bytes) -> bytes:
    extensions = (
        b"\0\0" + vector(2, vector(2, b"\0" + vector(2, host.encode())))
        + b"\0\x0a" + vector(2, vector(2, b"\0\x1d"))
        + b"\0\x0d" + vector(2, vector(2, b"\4\3\x08\4"))
        + b"\0\x2b" + vector(2, vector(1, b"\3\4"))
        + b"\0\x33" + vector(2, vector(2, b"\0\x1d" + vector(2, share)))
    )  # fmt: skip
    suites = vector(2, b"\x13\1")
    body = b"\3\3" + os.urandom(32) + b"\0" + suites + b"\1\0" + vector(2, extensions)
    return b"\1" + vector(3, body)


def _flight(sock: socket.socket, secret: bytes) -> bytes:
    """Read and decrypt the server's handshake messages up to its Finished message.

    ``secret`` is the server's handshake traffic secret.
    """
    plain, keys = b"", TrafficKeys(secret)
    while _FINISHED not in dict(_messages(plain)):
        header, sealed = _record(sock)
        if header[0] != _DATA:  # change_cipher_spec, for middleboxes (RFC 8446 appendix D.4)
            continue
        plain += keys.decrypt(header, sealed)[1]
    return plain


def _messages(plain: bytes) -> list[tuple[int, bytes]]:
    found = []
    while len(plain) >= 4 and len(plain) >= (end := 4 + int.from_bytes(plain[1:4])):
        found.append((plain[0], plain[4:end]))
        plain = plain[end:]
    return found


def _finish(sock: socket.socket, secret: bytes, transcript: bytes) -> TrafficKeys:
    """Send the client's Finished message, and return the keys for its data."""
    traffic = derive(secret, b"c hs traffic", transcript_of_hellos(transcript))
    finished = bytes([_FINISHED]) + vector(3, verify_data(traffic, transcript))
    sock.sendall(TrafficKeys(traffic).encrypt(_HANDSHAKE, finished))
    return TrafficKeys(derive(master_secret(secret), b"c ap traffic", transcript))


def transcript_of_hellos(transcript: bytes) -> bytes:
    """Return the ClientHello and the ServerHello at the start of a transcript.

    The handshake keys are derived from these two messages.
    """
    first = 4 + int.from_bytes(transcript[1:4])
    return transcript[: first + 4 + int.from_bytes(transcript[first + 1 : first + 4])]


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
