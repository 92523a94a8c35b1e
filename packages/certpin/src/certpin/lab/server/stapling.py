"""A TLS 1.3 server that staples an OCSP response, which Python's ``ssl`` can't do.

It has the few methods of ``ssl.SSLObject`` that the lab's class ``Tls`` calls, and the parts of RFC
8446 that an honest server needs for one suite (TLS_AES_128_GCM_SHA256), one group (X25519) and one
signature algorithm (ecdsa_secp256r1_sha256). It has no sessions, no client certificates and no
HelloRetryRequest: a client that doesn't offer these parameters can't be served.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from certpin.lab.case import CannotServeError
from certpin.lab.server.handmade import (
    CHANGE_CIPHER_SPEC,
    DATA,
    HANDSHAKE,
    HandMadeTls,
    Offer,
    alpn_extension,
    extension,
    fail,
    message,
    record,
    tls_error,
)
from certpin.lab.server.records import Vectors, vector
from certpin.lab.server.tls13 import (
    TrafficKeys,
    derive,
    handshake_secret,
    master_secret,
    verify_data,
)

if TYPE_CHECKING:
    import ssl

    from certpin.lab.scenario import ServerStep

# RFC 8446 sections 4 and 4.2, and RFC 6066 section 8.
_SERVER_HELLO, _ENCRYPTED_EXTENSIONS, _CERTIFICATE, _VERIFY, _FINISHED = 2, 8, 11, 15, 20
_STATUS_REQUEST, _SIGNATURES, _VERSIONS, _KEY_SHARE = 5, 13, 43, 51
_SUITE, _X25519, _ECDSA_P256 = 0x1301, 29, 0x0403
_OCSP = 1  # CertificateStatusType
_CONTEXT = b" " * 64 + b"TLS 1.3, server CertificateVerify\0"  # RFC 8446 section 4.4.3


class StaplingTls(HandMadeTls):
    """The server's side of a TLS connection that presents a chain with a stapled OCSP response.

    A client that did not ask for the response (status_request) doesn't get it, as RFC 6066 section
    8 requires.

    Args:
        step: how the lab serves the connection: the chain, its P-256 key, and the response
            (``staple``, DER).
        alpn: the protocol to negotiate, in a tuple; empty for none.
        incoming: the buffer with bytes from the client.
        outgoing: the buffer for bytes to the client.

    Raises:
        CannotServeError: the step needs TLS 1.2, a client certificate or another kind of key.
    """

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
        key = step.private_key
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise CannotServeError("the lab staples for an ECDSA key only")
        super().__init__(alpn, incoming, outgoing)
        self._step, self._key = step, key
        self._master = b""
        self._verify_data = b""  # of the client's Finished

    def version(self) -> str:
        """Return ``TLSv1.3``."""
        return "TLSv1.3"

    def cipher(self) -> tuple[str, str, int]:
        """Return the cipher suite, the TLS version and the key length in bits."""
        return "TLS_AES_128_GCM_SHA256", "TLSv1.3", 128

    def do_handshake(self) -> None:
        """Continue the handshake with the bytes in the buffer, and return when it is complete.

        Raises:
            ssl.SSLWantReadError: more bytes of the client are needed.
            ssl.SSLError: the client sent an alert, or broke the protocol.
            CannotServeError: the client doesn't offer the version, the suite, the group or the
                signature algorithm of this server.
        """
        if not self._transcript:
            self._answer_hello()
        while not self._finished():
            kind, content = self._record()
            if kind == CHANGE_CIPHER_SPEC:  # for middleboxes (RFC 8446 appendix D.4)
                continue
            if kind != HANDSHAKE:
                self._refuse()
            self._messages += content
        self._reading = TrafficKeys(derive(self._master, b"c ap traffic", self._transcript))

    def _answer_hello(self) -> None:
        self._read_hello()
        private = X25519PrivateKey.generate()
        try:
            offer = _Offer(self._transcript)
            shared = private.exchange(X25519PublicKey.from_public_bytes(offer.share))
        except (IndexError, ValueError) as exc:  # ValueError: a share of small order (RFC 7748)
            raise tls_error("DECODE_ERROR") from exc
        server_hello = message(_SERVER_HELLO, offer.answer(private.public_key()))
        self._outgoing.write(record(HANDSHAKE, server_hello))
        if offer.session_id:  # for middleboxes (RFC 8446 appendix D.4)
            self._outgoing.write(record(CHANGE_CIPHER_SPEC, b"\1"))
        self._transcript += server_hello
        secret = handshake_secret(shared)
        server = derive(secret, b"s hs traffic", self._transcript)
        client = derive(secret, b"c hs traffic", self._transcript)
        self._master = master_secret(secret)
        self._reading, self._writing = TrafficKeys(client), TrafficKeys(server)
        self._send(HANDSHAKE, self._flight(offer, server))
        self._writing = TrafficKeys(derive(self._master, b"s ap traffic", self._transcript))
        self._verify_data = verify_data(client, self._transcript)

    def _flight(self, offer: _Offer, secret: bytes) -> bytes:
        """Return the handshake messages from EncryptedExtensions to Finished.

        They are also added to the transcript. ``offer`` is the ClientHello, and ``secret`` the
        server's handshake traffic secret.
        """
        before = self._transcript
        protocol = alpn_extension(self._alpn)
        self._transcript += message(_ENCRYPTED_EXTENSIONS, vector(2, protocol))
        self._transcript += message(_CERTIFICATE, b"\0" + vector(3, self._entries(offer)))
        signed = _CONTEXT + hashlib.sha256(self._transcript).digest()
        signature = self._key.sign(signed, ec.ECDSA(hashes.SHA256()))
        proof = _ECDSA_P256.to_bytes(2) + vector(2, signature)
        self._transcript += message(_VERIFY, proof)
        self._transcript += message(_FINISHED, verify_data(secret, self._transcript))
        return self._transcript[len(before) :]

    def _entries(self, offer: _Offer) -> bytes:
        """Return the entries of the Certificate message (RFC 8446 sections 4.4.2 and 4.4.2.1).

        Each entry is a certificate with its extensions. The leaf has the OCSP response as an
        extension if the client asked for it in ``offer``, its ClientHello.
        """
        staple = bytes((_OCSP,)) + vector(3, self._step.staple)
        entries = b""
        for place, der in enumerate(self._step.chain):
            stapled = place == 0 and offer.asks_status and self._step.staple
            extensions = extension(_STATUS_REQUEST, staple) if stapled else b""
            entries += vector(3, der) + vector(2, extensions)
        return entries

    def _finished(self) -> bool:
        """Return True if the client's Finished has arrived; False while it is incomplete.

        Raises:
            ssl.SSLError: the Finished is wrong, or another message arrived.
        """
        expected = message(_FINISHED, self._verify_data)
        if len(self._messages) < len(expected):
            return False
        if not hmac.compare_digest(bytes(self._messages), expected):
            fail("DECRYPT_ERROR")
        return True

    def _is_encrypted(self, kind: int) -> bool:
        """Return True if a record is encrypted: if its type ``kind`` is application data.

        In TLS 1.3, all encrypted records have this type.
        """
        return kind == DATA


class _Offer(Offer):
    """A ClientHello that this server can answer.

    Raises:
        IndexError: the ClientHello is malformed.
        CannotServeError: the client doesn't offer the version, the suite, the group or the
            signature algorithm of this server.
    """

    def __init__(self, hello: bytes) -> None:
        super().__init__(hello)
        self.asks_status = self.extensions.get(_STATUS_REQUEST, b"")[:1] == bytes((_OCSP,))
        share = _shares(self.extensions.get(_KEY_SHARE, b"\0\0")).get(_X25519, b"")
        versions = self.listed(_VERSIONS, 1)
        signatures = self.listed(_SIGNATURES)
        offered = (
            0x0304 in versions,
            _SUITE in self.suites,
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
        """Return the body of the ServerHello (RFC 8446 section 4.1.3).

        ``public`` is the server's public key for the key exchange.
        """
        share = _X25519.to_bytes(2) + vector(2, public.public_bytes_raw())
        extensions = extension(_VERSIONS, b"\3\4") + extension(_KEY_SHARE, share)
        head = b"\3\3" + os.urandom(32) + vector(1, self.session_id)
        return head + _SUITE.to_bytes(2) + b"\0" + vector(2, extensions)


def _shares(data: bytes) -> dict[int, bytes]:
    """Return the key shares of a client by the number of their group (RFC 8446 section 4.2.8).

    ``data`` is the content of the extension key_share in its ClientHello.
    """
    reader, found = Vectors(data).vector(2), {}
    while reader:
        group = reader.number(2)
        found[group] = reader.vector(2).rest()
    return found
