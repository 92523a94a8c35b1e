"""A client of TLS 1.2 (RFC 5246) for programs with a fault that no current TLS library has.

It has the suites with ECDHE and AES-128-GCM, on the curve P-256, and makes every check.
"""

import hashlib
import hmac
import ipaddress
import os
import socket
from pathlib import Path

from _lab import Target, ask, is_address, pins_of, reach
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.verification import PolicyBuilder, Store

SUITES = b"\xc0\x2b\xc0\x2f"  # ECDHE with AES-128-GCM, for ECDSA and RSA
GROUPS = b"\0\x17"  # P-256
SIGNATURES = b"\4\3\4\1"  # by ECDSA, and by RSA with PKCS #1 version 1.5, over SHA-256
CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
CLIENT_HELLO, SERVER_HELLO, CERTIFICATE, SERVER_KEY = 1, 2, 11, 12
CERTIFICATE_REQUEST, HELLO_DONE, CLIENT_KEY, FINISHED = 13, 14, 16, 20


class Tls12:
    """A connection that verifies the chain, the name, the pins and the server's signature."""

    def __init__(self, sock: socket.socket, target: Target) -> None:
        self.sock, self.target = sock, target
        self.transcript = self.master = self.keys = b""
        self.sending = self.receiving = None
        self.messages = bytearray()
        self.asked = False  # whether the server requests the client's certificate

    def connect(self) -> None:
        client = os.urandom(32)
        self.say(CLIENT_HELLO, hello(self.target.host, client))
        self.randoms = client + self.hear(SERVER_HELLO)[1][2:34]
        path = verified(self.hear(CERTIFICATE)[1], self.target)
        parameters = self.hear(SERVER_KEY)[1]
        self.check_signature(path[0].public_key(), parameters)
        kind, _ = self.hear(CERTIFICATE_REQUEST, HELLO_DONE)
        if kind == CERTIFICATE_REQUEST:
            self.asked = True
            self.hear(HELLO_DONE)
        self.check_pins(path)
        if self.asked:
            self.say(CERTIFICATE, vector(3, b""))
        self.exchange(parameters[4 : 4 + parameters[3]])
        self.change()
        self.say(FINISHED, self.verify_data(b"client finished"))
        self.hear_finished()

    def check_signature(self, key: object, parameters: bytes) -> None:
        """Check that the server has the key of its certificate (RFC 5246 section 7.4.3)."""
        end = 4 + parameters[3]
        signature, signed = parameters[end + 4 :], self.randoms + parameters[:end]
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
        else:
            key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())

    def check_pins(self, path: list[x509.Certificate]) -> None:
        if not pins_of([each.public_bytes(Encoding.DER) for each in path]) & self.target.pins:
            raise OSError("not pinned")

    def exchange(self, point: bytes) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        own = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.say(CLIENT_KEY, vector(1, own))
        shared = key.exchange(ec.ECDH(), public)
        self.master = prf(shared, b"master secret" + self.randoms, 48)

    def change(self) -> None:
        self.send(CHANGE_CIPHER_SPEC, b"\1")
        self.sending = self.direction(0)

    def changed(self) -> None:
        """Accept ChangeCipherSpec, after the client's own one."""
        if not self.sending or self.receiving:
            raise OSError("an unexpected ChangeCipherSpec")
        self.receiving = self.direction(1)

    def direction(self, number: int) -> "Direction":
        if not self.keys:
            seed = self.randoms[32:] + self.randoms[:32]
            self.keys = prf(self.master, b"key expansion" + seed, 40)
        return Direction(self.keys[16 * number :][:16], self.keys[32 + 4 * number :][:4])

    def verify_data(self, label: bytes) -> bytes:
        return prf(self.master, label + hashlib.sha256(self.transcript).digest(), 12)

    def hear_finished(self) -> None:
        expected = self.verify_data(b"server finished")
        if not hmac.compare_digest(self.hear(FINISHED)[1], expected) or not self.receiving:
            raise OSError("the Finished message is wrong")

    def say(self, kind: int, content: bytes) -> None:
        message = bytes([kind]) + vector(3, content)
        self.transcript += message
        self.send(HANDSHAKE, message)

    def hear(self, *kinds: int) -> tuple[int, bytes]:
        """Return the next handshake message, which must be of one of these kinds."""
        while len(self.messages) < 4 or len(self.messages) < 4 + number(self.messages[1:4]):
            got, content = self.receive()
            if got == CHANGE_CIPHER_SPEC:
                self.changed()
            elif got == HANDSHAKE:
                self.messages += content
            else:
                raise OSError("an unexpected record")
        end = 4 + number(self.messages[1:4])
        message = bytes(self.messages[:end])
        del self.messages[:end]
        if message[0] not in kinds:
            raise OSError("an unexpected message")
        self.transcript += message
        return message[0], message[4:]

    def send(self, kind: int, content: bytes) -> None:
        head = bytes([kind]) + b"\3\3"
        sealed = self.sending.seal(head, content) if self.sending else content
        self.sock.sendall(head + vector(2, sealed))

    def receive(self) -> tuple[int, bytes]:
        head = exactly(self.sock, 5)
        content = exactly(self.sock, number(head[3:]))
        return head[0], self.receiving.open(head[:3], content) if self.receiving else content

    def sendall(self, data: bytes) -> None:
        self.send(DATA, data)

    def recv(self, _size: int) -> bytes:
        kind, content = self.receive()
        return content if kind == DATA else b""


class Direction:
    """The key, the salt and the counter of one direction (RFC 5288)."""

    def __init__(self, key: bytes, salt: bytes) -> None:
        self.cipher, self.salt, self.count = AESGCM(key), salt, 0

    def seal(self, head: bytes, content: bytes) -> bytes:
        nonce = self.count.to_bytes(8, "big")
        return nonce + self.cipher.encrypt(self.salt + nonce, content, self.counted(head, content))

    def open(self, head: bytes, content: bytes) -> bytes:
        extra = self.counted(head, content[24:])
        return self.cipher.decrypt(self.salt + content[:8], content[8:], extra)

    def counted(self, head: bytes, content: bytes) -> bytes:
        self.count += 1
        return (self.count - 1).to_bytes(8, "big") + head + len(content).to_bytes(2, "big")


def hello(host: str, client: bytes) -> bytes:
    extensions = {10: vector(2, GROUPS), 13: vector(2, SIGNATURES)}
    if not is_address(host):
        extensions[0] = vector(2, b"\0" + vector(2, host.removesuffix(".").encode("idna")))
    listed = b"".join(kind.to_bytes(2, "big") + vector(2, extensions[kind]) for kind in extensions)
    return b"\3\3" + client + b"\0" + vector(2, SUITES) + b"\1\0" + vector(2, listed)


def verified(message: bytes, target: Target) -> list[x509.Certificate]:
    """Return the verified path, after the check of the name."""
    chain, rest = [], message[3:]
    while rest:
        chain.append(x509.load_der_x509_certificate(rest[3 : 3 + number(rest[:3])]))
        rest = rest[3 + number(rest[:3]) :]
    roots = x509.load_pem_x509_certificates(Path(target.ca).read_bytes())
    host = target.host.removesuffix(".")
    address = x509.IPAddress(ipaddress.ip_address(host)) if is_address(host) else None
    builder = PolicyBuilder().store(Store(roots))
    verifier = builder.build_server_verifier(address or x509.DNSName(host))
    return verifier.verify(chain[0], chain[1:])


def prf(secret: bytes, seed: bytes, size: int) -> bytes:
    made, state = b"", seed
    while len(made) < size:
        state = hmac.digest(secret, state, "sha256")
        made += hmac.digest(secret, state + seed, "sha256")
    return made[:size]


def vector(octets: int, content: bytes) -> bytes:
    return len(content).to_bytes(octets, "big") + content


def number(octets: bytes) -> int:
    return int.from_bytes(octets, "big")


def exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise OSError("the server closed the connection")
        data += piece
    return data


def get(target: Target, kind: type[Tls12]) -> str:
    """Send one request on a connection of this kind."""
    with reach(target) as sock:
        tls = kind(sock, target)
        tls.connect()
        return ask(tls, target)
