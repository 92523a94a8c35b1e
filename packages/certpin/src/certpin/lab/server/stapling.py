"""A TLS 1.3 server that staples an OCSP response, which Python's ``ssl`` can't do.

It has the few methods of ``ssl.SSLObject`` that ``Tls`` calls, and the parts of RFC 8446 that an
honest server needs for one suite (TLS_AES_128_GCM_SHA256), one group (X25519) and one signature
algorithm (ecdsa_secp256r1_sha256). It has no sessions, no client certificates and no second
ClientHello: a client that offers something else can't be served.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import ssl
from typing import TYPE_CHECKING, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certpin.lab.case import CannotServeError
from certpin.lab.server.records import HelloReader, NotTLSError, Vectors
from certpin.lab.server.tls13 import (
    TrafficKeys,
    derive,
    handshake_secret,
    master_secret,
    vector,
    verify_data,
)

if TYPE_CHECKING:
    from certpin.lab.scenario import ServerStep

# RFC 8446 sections 5.1, 4 and 4.2, and RFC 6066 section 8.
_CHANGE_CIPHER_SPEC, _ALERT, _HANDSHAKE, _DATA = 20, 21, 22, 23
_SERVER_HELLO, _ENCRYPTED_EXTENSIONS, _CERTIFICATE, _VERIFY, _FINISHED = 2, 8, 11, 15, 20
_STATUS_REQUEST, _SIGNATURES, _ALPN, _VERSIONS, _KEY_SHARE = 5, 13, 16, 43, 51
_SUITE, _X25519, _ECDSA_P256 = 0x1301, 29, 0x0403
_OCSP = 1  # CertificateStatusType
_CLOSE_NOTIFY = 0
_LONGEST_RECORD = 2**14
_CONTEXT = b" " * 64 + b"TLS 1.3, server CertificateVerify\0"  # RFC 8446 section 4.4.3
# The names that OpenSSL gives to the alerts of clients (RFC 8446 section 6).
_ALERTS = {
    10: "UNEXPECTED_MESSAGE",
    20: "BAD_RECORD_MAC",
    40: "HANDSHAKE_FAILURE",
    42: "BAD_CERTIFICATE",
    43: "UNSUPPORTED_CERTIFICATE",
    44: "CERTIFICATE_REVOKED",
    45: "CERTIFICATE_EXPIRED",
    46: "CERTIFICATE_UNKNOWN",
    47: "ILLEGAL_PARAMETER",
    48: "UNKNOWN_CA",
    49: "ACCESS_DENIED",
    50: "DECODE_ERROR",
    51: "DECRYPT_ERROR",
    80: "INTERNAL_ERROR",
    90: "USER_CANCELLED",
    109: "MISSING_EXTENSION",
    110: "UNSUPPORTED_EXTENSION",
    113: "BAD_CERTIFICATE_STATUS_RESPONSE",
}


class StaplingTls:
    """The server's side of a TLS connection that serves a step with its stapled OCSP response.

    A client that did not ask for the response (status_request) doesn't get it, as RFC 6066 section
    8 requires.

    Args:
        step: the chain, its P-256 key, and the response (``staple``, DER).
        alpn: the protocol to negotiate, in a tuple; empty for none.
        incoming: the buffer with bytes from the client.
        outgoing: the buffer for bytes to the client.

    Raises:
        CannotServeError: the step needs TLS 1.2, a client certificate or another kind of key.
    """

    session_reused = False

    def __init__(
        self,
        step: ServerStep,
        alpn: tuple[str, ...],
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
    ) -> None:
        settings = step.settings
        if settings.newest != "TLSv1_3":
            raise CannotServeError("the lab staples in TLS 1.3 only")
        if settings.needs_certificate or settings.asks_certificate:
            raise CannotServeError("the lab doesn't staple if it asks for a client certificate")
        key = load_pem_private_key(step.key_pem, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise CannotServeError("the lab staples for an ECDSA key only")
        self._step, self._alpn, self._key = step, alpn, key
        self._incoming, self._outgoing = incoming, outgoing
        self._hello = HelloReader()
        self._buffer = bytearray()  # the beginning of a record
        self._transcript = b""
        self._reading: TrafficKeys | None = None
        self._writing: TrafficKeys | None = None
        self._master = b""
        self._verify_data = b""  # of the client's Finished
        self._messages = bytearray()  # handshake messages of the client, after its ClientHello
        self._ended = False

    def version(self) -> str:
        """Return ``TLSv1.3``."""
        return "TLSv1.3"

    def cipher(self) -> tuple[str, str, int]:
        """Return the suite, its version and its key length in bits."""
        return "TLS_AES_128_GCM_SHA256", "TLSv1.3", 128

    def selected_alpn_protocol(self) -> str | None:
        """Return the negotiated protocol; None if there is none."""
        return self._alpn[0] if self._alpn else None

    def getpeercert(self, *, binary_form: bool) -> None:
        """Return None: no client certificate is requested, in either form (``binary_form``)."""

    def do_handshake(self) -> None:
        """Continue the handshake.

        Raises:
            ssl.SSLWantReadError: more bytes of the client are needed.
            ssl.SSLError: the client sent an alert, or broke the protocol.
            CannotServeError: the client offers nothing that this server has.
        """
        if not self._transcript:
            self._answer_hello()
        while not self._finished():
            kind, content = self._record()
            if kind != _HANDSHAKE:
                _fail("UNEXPECTED_MESSAGE")
            self._messages += content
        self._reading = TrafficKeys(derive(self._master, b"c ap traffic", self._transcript))

    def read(self, size: int) -> bytes:
        """Return the application data of the next record; empty if the client closed TLS.

        A record is at most 16 KiB (RFC 8446 section 5.1), the ``size`` with which the lab reads.

        Raises:
            ssl.SSLWantReadError: no record is complete.
            ssl.SSLError: the client sent an alert, or a record can't be decrypted.
        """
        while not self._ended:
            kind, content = self._record()
            if kind == _DATA and content:
                return content[:size]
        return b""

    def write(self, data: bytes) -> None:
        """Send application data."""
        self._send(_DATA, data)

    def unwrap(self) -> None:
        """Send close_notify."""
        self._send(_ALERT, bytes((1, _CLOSE_NOTIFY)))

    def _answer_hello(self) -> None:
        data = self._incoming.read()
        try:
            hello = self._hello.feed(data)
        except NotTLSError as exc:
            raise _error(str(exc)) from exc
        if hello is None:
            raise ssl.SSLWantReadError
        private = X25519PrivateKey.generate()
        try:
            offer = _Offer(self._hello.message)
            shared = private.exchange(X25519PublicKey.from_public_bytes(offer.share))
        except (IndexError, ValueError) as exc:  # ValueError: a share of small order (RFC 7748)
            raise _error("DECODE_ERROR") from exc
        self._buffer += self._hello.rest
        self._transcript = self._hello.message
        server_hello = _message(_SERVER_HELLO, offer.answer(private.public_key()))
        self._outgoing.write(_record(_HANDSHAKE, server_hello))
        if offer.session_id:  # for middleboxes (RFC 8446 appendix D.4)
            self._outgoing.write(_record(_CHANGE_CIPHER_SPEC, b"\1"))
        self._transcript += server_hello
        secret = handshake_secret(shared)
        server = derive(secret, b"s hs traffic", self._transcript)
        client = derive(secret, b"c hs traffic", self._transcript)
        self._master = master_secret(secret)
        self._reading, self._writing = TrafficKeys(client), TrafficKeys(server)
        self._send(_HANDSHAKE, self._flight(offer, server))
        self._writing = TrafficKeys(derive(self._master, b"s ap traffic", self._transcript))
        self._verify_data = verify_data(client, self._transcript)

    def _flight(self, offer: _Offer, secret: bytes) -> bytes:
        """Return the messages from EncryptedExtensions to Finished; add them to the transcript."""
        before = self._transcript
        names = b"".join(vector(1, name.encode("ascii")) for name in self._alpn)
        extensions = _extension(_ALPN, vector(2, names)) if self._alpn else b""
        self._transcript += _message(_ENCRYPTED_EXTENSIONS, vector(2, extensions))
        self._transcript += _message(_CERTIFICATE, b"\0" + vector(3, self._entries(offer)))
        signed = _CONTEXT + hashlib.sha256(self._transcript).digest()
        signature = self._key.sign(signed, ec.ECDSA(hashes.SHA256()))
        proof = _ECDSA_P256.to_bytes(2) + vector(2, signature)
        self._transcript += _message(_VERIFY, proof)
        self._transcript += _message(_FINISHED, verify_data(secret, self._transcript))
        return self._transcript[len(before) :]

    def _entries(self, offer: _Offer) -> bytes:
        """Return the certificates with their extensions (RFC 8446 sections 4.4.2 and 4.4.2.1)."""
        staple = bytes((_OCSP,)) + vector(3, self._step.staple)
        entries = b""
        for place, der in enumerate(self._step.chain):
            stapled = place == 0 and offer.asks_status and self._step.staple
            extensions = _extension(_STATUS_REQUEST, staple) if stapled else b""
            entries += vector(3, der) + vector(2, extensions)
        return entries

    def _finished(self) -> bool:
        """Return True if the client's Finished has arrived.

        Raises:
            ssl.SSLError: it is wrong, or another message.
        """
        expected = _message(_FINISHED, self._verify_data)
        if len(self._messages) < len(expected):
            return False
        if not hmac.compare_digest(bytes(self._messages), expected):
            _fail("DECRYPT_ERROR")
        return True

    def _record(self) -> tuple[int, bytes]:
        """Return the type and the content of the client's next record, decrypted.

        Raises:
            ssl.SSLWantReadError: no record is complete.
            ssl.SSLError: the record is an alert, or can't be decrypted.
        """
        while True:
            self._buffer += self._incoming.read()
            size = 5 + int.from_bytes(self._buffer[3:5])
            if len(self._buffer) < 5 or len(self._buffer) < size:
                raise ssl.SSLWantReadError
            header, content = bytes(self._buffer[:5]), bytes(self._buffer[5:size])
            del self._buffer[:size]
            kind = header[0]
            if kind == _CHANGE_CIPHER_SPEC:
                continue
            if kind == _DATA and self._reading:
                kind, content = _decrypted(self._reading, header, content)
            if kind == _ALERT:
                self._take_alert(content)
            return kind, content

    def _take_alert(self, content: bytes) -> None:
        number = content[-1] if content else 0
        if number != _CLOSE_NOTIFY:
            _fail(f"TLSV1_ALERT_{_ALERTS.get(number, number)}")
        self._ended = True

    def _send(self, kind: int, data: bytes) -> None:
        assert self._writing is not None  # noqa: S101  # set by the answer to the ClientHello
        for begin in range(0, len(data), _LONGEST_RECORD):
            piece = data[begin : begin + _LONGEST_RECORD]
            self._outgoing.write(self._writing.encrypt(kind, piece))


class _Offer:
    """The parts of a ClientHello that the server needs.

    Raises:
        IndexError: it is malformed.
        CannotServeError: the client doesn't offer the version, the suite, the group or the
            signature algorithm of this server.
    """

    def __init__(self, message: bytes) -> None:
        reader = Vectors(message[4:])
        reader.take(2 + 32)  # legacy_version and random
        self.session_id = reader.vector(1).rest()
        suites = _numbers(reader.vector(2))
        reader.vector(1)  # legacy_compression_methods
        extensions: dict[int, bytes] = {}
        listed = reader.vector(2) if reader else Vectors(b"")
        while listed:
            kind = listed.number(2)
            extensions.setdefault(kind, listed.vector(2).rest())
        self.asks_status = extensions.get(_STATUS_REQUEST, b"")[:1] == bytes((_OCSP,))
        share = _shares(extensions.get(_KEY_SHARE, b"\0\0")).get(_X25519, b"")
        versions = _numbers(Vectors(extensions.get(_VERSIONS, b"\0")).vector(1))
        signatures = _numbers(Vectors(extensions.get(_SIGNATURES, b"\0\0")).vector(2))
        offered = (
            0x0304 in versions,
            _SUITE in suites,
            _ECDSA_P256 in signatures,
            len(share) == 32,
        )
        if not all(offered):
            raise CannotServeError(
                "the client doesn't offer TLS 1.3 with AES-128-GCM, X25519 and ECDSA on P-256, and "
                "the lab staples with nothing else"
            )
        self.share = share

    def answer(self, public: X25519PublicKey) -> bytes:
        """Return the body of the ServerHello (RFC 8446 section 4.1.3)."""
        share = _X25519.to_bytes(2) + vector(2, public.public_bytes_raw())
        extensions = _extension(_VERSIONS, b"\3\4") + _extension(_KEY_SHARE, share)
        head = b"\3\3" + os.urandom(32) + vector(1, self.session_id)
        return head + _SUITE.to_bytes(2) + b"\0" + vector(2, extensions)


def _decrypted(keys: TrafficKeys, header: bytes, content: bytes) -> tuple[int, bytes]:
    """Return the type and the content of an encrypted record.

    Raises:
        ssl.SSLError: it is not authentic, or has no type.
    """
    try:
        return keys.decrypt(header, content)
    except InvalidTag as exc:
        raise _error("BAD_RECORD_MAC") from exc
    except ValueError as exc:
        raise _error("UNEXPECTED_MESSAGE") from exc


def _shares(data: bytes) -> dict[int, bytes]:
    """Return the key shares of a client by the number of their group."""
    reader, found = Vectors(data).vector(2), {}
    while reader:
        group = reader.number(2)
        found[group] = reader.vector(2).rest()
    return found


def _numbers(reader: Vectors) -> set[int]:
    found = set()
    while reader:
        found.add(reader.number(2))
    return found


def _fail(reason: str) -> NoReturn:
    raise _error(reason)


def _error(reason: str) -> ssl.SSLError:
    """Return an error with a reason, as those of OpenSSL have."""
    exc = ssl.SSLError(1, f"[SSL] {reason}")
    exc.reason = reason
    return exc


def _record(kind: int, content: bytes) -> bytes:
    return bytes((kind, 3, 3)) + vector(2, content)


def _message(kind: int, content: bytes) -> bytes:
    return bytes((kind,)) + vector(3, content)


def _extension(kind: int, content: bytes) -> bytes:
    return kind.to_bytes(2) + vector(2, content)
