"""A TLS 1.2 server with a weakness that this machine's OpenSSL can't offer, in the lab's own code.

It serves 3DES, which builds of OpenSSL 3 leave out; Diffie-Hellman in a group of 512 bits (Logjam,
CVE-2015-4000), which OpenSSL refuses at every security level; and an early ChangeCipherSpec
(CVE-2014-0224). Of RFC 5246 it has only the parts that these need: an RSA key, no sessions, no
client certificates and no renegotiation.
"""

from __future__ import annotations

import hmac
import os
import secrets
import ssl
from typing import TYPE_CHECKING, Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certpin.lab.case import CannotServeError
from certpin.lab.scenario import Weakness
from certpin.lab.server.handmade import (
    ALERT,
    CHANGE_CIPHER_SPEC,
    HANDSHAKE,
    HandMadeTls,
    Offer,
    alpn_extension,
    extension,
    fail,
    message,
    tls_error,
)
from certpin.lab.server.records import Vectors, vector
from certpin.lab.server.tls12 import Suite, master_secret, verify_data
from certpin.lab.verdict import NOT_OFFERED

if TYPE_CHECKING:
    from certpin.lab.scenario import ServerStep
    from certpin.lab.server.handmade import RecordKeys

# RFC 5246 section 7.4, and the extensions of RFC 8422, RFC 5246 and RFC 5746.
_SERVER_HELLO, _CERTIFICATE, _SERVER_KEY, _HELLO_DONE, _CLIENT_KEY, _FINISHED = (
    2,
    11,
    12,
    14,
    16,
    20,
)
_GROUPS, _SIGNATURES, _RENEGOTIATION = 10, 13, 0xFF01
_RENEGOTIATION_SUITE = 0x00FF
_TLS12, _P256 = 0x0303, 23
_HANDSHAKE_FAILURE = 40

# The prime of Apache 2.2 for suites of export strength, which most of the servers used that were
# open to Logjam: its authors computed discrete logarithms for it (2015, section 3). Generator: 2.
SMALL_PRIME = int(
    "9fdb8b8a004544f0045f1737d0ba2e0b274cdf1a9f588218fb435316a16e3741"
    "71fd19d8d8f37c39bf863fd60e3e300680a3030c6e4c3757d08f70e6aa871033",
    16,
)

# The suites that show a weakness, best first.
SUITES = {
    Weakness.TRIPLE_DES: (
        Suite(0x000A, "DES-CBC3-SHA", "RSA", 24, block=8),
        Suite(0xC012, "ECDHE-RSA-DES-CBC3-SHA", "ECDHE", 24, block=8),
    ),
    Weakness.SMALL_GROUP: (
        Suite(0x0033, "DHE-RSA-AES128-SHA", "DHE", 16),
        Suite(0x0039, "DHE-RSA-AES256-SHA", "DHE", 32),
        Suite(0x0067, "DHE-RSA-AES128-SHA256", "DHE", 16, mac="sha256"),
        Suite(0x006B, "DHE-RSA-AES256-SHA256", "DHE", 32, mac="sha256"),
        Suite(0x009E, "DHE-RSA-AES128-GCM-SHA256", "DHE", 16, mac=""),
    ),
    Weakness.EARLY_CHANGE: (Suite(0xC02F, "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE", 16, mac=""),),
}
# Others that would show it, and that the lab doesn't have: a client that offers only these is
# neither safe nor weak. Those of 3DES and of DHE are in the registry of IANA.
_OTHERS = {
    Weakness.TRIPLE_DES: {0x000D, 0x0010, 0x0013, 0x0016, 0xC003, 0xC008, 0xC00D},
    Weakness.SMALL_GROUP: {
        *(0x0013, 0x0015, 0x0016, 0x0032, 0x0038, 0x0040, 0x0044, 0x0045, 0x006A, 0x0087, 0x0088),
        *(0x0099, 0x009A, 0x009F, 0x00A2, 0x00A3, 0x00BD, 0x00BE, 0x00C3, 0x00C4),
        *(0xC042, 0xC043, 0xC044, 0xC045, 0xC052, 0xC053, 0xC056, 0xC057),
        *(0xC07C, 0xC07D, 0xC080, 0xC081, 0xC09E, 0xC09F, 0xC0A2, 0xC0A3, 0xCCAA),
    },
}
_WANTED = {Weakness.TRIPLE_DES: "3DES", Weakness.SMALL_GROUP: "DHE"}


class NotOfferedError(ssl.SSLError):
    """The client does not offer the weak parameters, which counts as a refusal.

    The message names the parameters.
    """


class WeakTls(HandMadeTls):
    """The server's side of a TLS 1.2 connection with a weakness, such as 3DES.

    Args:
        step: how the lab serves the connection: the chain, its RSA key, and the weakness.
        alpn: the protocol to negotiate, in a tuple; empty for none.
        incoming: the buffer with bytes from the client.
        outgoing: the buffer for bytes to the client.

    Raises:
        CannotServeError: the step needs a client certificate or another kind of key.
    """

    def __init__(
        self,
        step: ServerStep,
        alpn: tuple[str, ...],
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
    ) -> None:
        super().__init__(alpn, incoming, outgoing)
        if step.settings.needs_certificate or step.settings.asks_certificate:
            raise CannotServeError("the lab doesn't ask for a client certificate in weak TLS")
        key = step.private_key
        if not isinstance(key, rsa.RSAPrivateKey):
            raise CannotServeError("the lab serves weak TLS with an RSA key only")
        assert step.settings.weakness is not None  # noqa: S101  # ``Contexts`` looked
        self._step, self._key, self._weakness = step, key, step.settings.weakness
        self._suite = SUITES[self._weakness][0]
        self._exchange: _KeyExchange = _RsaExchange(key)
        self._randoms = b"", b""  # of the client and of the server
        self._weak: tuple[RecordKeys, RecordKeys] | None = None
        self._master = b""
        self._next: tuple[RecordKeys, RecordKeys] | None = None  # after ChangeCipherSpec

    def version(self) -> str:
        """Return ``TLSv1.2``."""
        return "TLSv1.2"

    def cipher(self) -> tuple[str, str, int]:
        """Return the cipher suite, the TLS version and the key length in bits."""
        return self._suite.name, "TLSv1.2", 8 * self._suite.key

    def do_handshake(self) -> None:
        """Continue the handshake with the bytes in the buffer, and return when it is complete.

        Raises:
            ssl.SSLWantReadError: more bytes of the client are needed.
            NotOfferedError: the client offers no TLS 1.2, or no suite with the weakness.
            ssl.SSLError: the client sent an alert, or broke the protocol.
            CannotServeError: the client offers only suites or curves that this server doesn't have.
        """
        if not self._transcript:
            self._answer_hello()
        finished = False
        while not finished:
            kind, content = self._record()
            if kind == CHANGE_CIPHER_SPEC and self._next and not self._reading:
                self._reading = self._next[0]
            elif kind == HANDSHAKE:
                self._messages += content
                finished = self._take_messages()
            else:
                self._refuse()

    def _answer_hello(self) -> None:
        hello = self._read_hello()
        try:
            offer = Offer(self._transcript)
            self._require("TLS 1.2", offered=_TLS12 in hello.versions)
            self._choose(offer)
            # Static RSA signs nothing.
            signature = _Signature(offer) if self._exchange.parameters else None
        except IndexError as exc:
            raise tls_error("DECODE_ERROR") from exc
        # Without the marks of a server with TLS 1.3 (RFC 8446 section 4.1.3).
        self._randoms = offer.random, os.urandom(32)
        self._say(_SERVER_HELLO, self._server_hello(offer))
        if self._weakness is Weakness.EARLY_CHANGE:
            # The keys of both directions follow from an empty master secret, so that everyone on
            # the path has them. A client with the bug keeps them until the end (CVE-2014-0224).
            self._weak = self._suite.keys(b"", *self._randoms)
            self._change(self._weak[1])
        self._say(_CERTIFICATE, vector(3, b"".join(vector(3, der) for der in self._step.chain)))
        if signature:
            parameters = self._exchange.parameters
            signed = signature.sign(self._key, b"".join(self._randoms) + parameters)
            self._say(_SERVER_KEY, parameters + signed)
        self._say(_HELLO_DONE, b"")

    def _choose(self, offer: Offer) -> None:
        """Choose the suite and the key exchange with this server's weakness, such as 3DES.

        ``offer`` has the client's ClientHello.

        Raises:
            NotOfferedError: the client offers no suite with the weakness.
            CannotServeError: the client offers the weakness, but only with suites or curves that
                the lab doesn't have.
        """
        offered = [suite for suite in SUITES[self._weakness] if suite.number in offer.suites]
        wanted = _WANTED.get(self._weakness)
        if wanted and not offered:
            self._require(wanted, offered=bool(_OTHERS[self._weakness] & offer.suites))
        if not offered:
            names = " or ".join(suite.name for suite in SUITES[self._weakness])
            raise CannotServeError(f"the client doesn't offer {names}, and the lab has no other")
        self._suite = offered[0]
        if self._suite.exchange == "DHE":
            self._exchange = _DheExchange()
        elif self._suite.exchange == "ECDHE":
            if _GROUPS in offer.extensions and _P256 not in offer.listed(_GROUPS):
                raise CannotServeError("the client doesn't offer the curve P-256")
            self._exchange = _EcdheExchange()

    def _require(self, wanted: str, *, offered: bool) -> None:
        """End the handshake if the client does not offer the parameters that the server needs.

        Args:
            wanted: the names of the parameters, for the error.
            offered: True if the client offers them. The handshake then continues.

        Raises:
            NotOfferedError: ``offered`` is False.
        """
        if not offered:
            self._send(ALERT, bytes((2, _HANDSHAKE_FAILURE)))
            raise NotOfferedError(f"{NOT_OFFERED} {wanted}")

    def _server_hello(self, offer: Offer) -> bytes:
        """Return the body of the ServerHello (RFC 5246 section 7.4.1.3).

        ``offer`` has the client's ClientHello.
        """
        extensions = alpn_extension(self._alpn)
        if _RENEGOTIATION in offer.extensions or _RENEGOTIATION_SUITE in offer.suites:
            extensions += extension(_RENEGOTIATION, vector(1, b""))
        head = b"\3\3" + self._randoms[1] + vector(1, b"") + self._suite.number.to_bytes(2) + b"\0"
        return head + (vector(2, extensions) if extensions else b"")

    def _take_messages(self) -> bool:
        """Process the complete handshake messages of the client. Return True after its Finished.

        Return False if the Finished has not arrived.

        Raises:
            ssl.SSLError: a message is wrong, or not the next one.
        """
        while len(self._messages) >= 4:
            size = 4 + int.from_bytes(self._messages[1:4])
            if len(self._messages) < size:
                return False
            taken = bytes(self._messages[:size])
            del self._messages[:size]
            if taken[0] == _CLIENT_KEY and not self._master:
                self._take_key(taken)
            elif taken[0] == _FINISHED and self._reading:
                self._take_finished(taken)
                return True
            else:
                fail("UNEXPECTED_MESSAGE")
        return False

    def _take_key(self, taken: bytes) -> None:
        try:
            shared = self._exchange.secret(Vectors(taken[4:]))
        except (IndexError, ValueError) as exc:
            raise tls_error("DECODE_ERROR") from exc
        self._transcript += taken
        self._master = master_secret(shared, *self._randoms)
        self._next = self._weak or self._suite.keys(self._master, *self._randoms)

    def _take_finished(self, taken: bytes) -> None:
        expected = verify_data(self._master, b"client finished", self._transcript)
        if not hmac.compare_digest(taken, message(_FINISHED, expected)):
            fail("DECRYPT_ERROR")
        self._transcript += taken
        assert self._next is not None  # noqa: S101  # set with the master secret
        # OpenSSL 1.0.1c, which has the bug, expects this second ChangeCipherSpec before Finished.
        writing = self._suite.keys(b"", *self._randoms) if self._weak else self._next
        self._change(writing[1])
        finished = verify_data(self._master, b"server finished", self._transcript)
        self._say(_FINISHED, finished)

    def _change(self, writing: RecordKeys) -> None:
        self._send(CHANGE_CIPHER_SPEC, b"\1")
        self._writing = writing

    def _say(self, kind: int, content: bytes) -> None:
        made = message(kind, content)
        self._transcript += made
        self._send(HANDSHAKE, made)

    def _is_encrypted(self, kind: int) -> bool:
        """Return True: every record after ChangeCipherSpec is encrypted. ``kind`` is not used."""
        return True


class _Signature:
    """The first signature algorithm of this server, with RSA and SHA-256, that the client accepts.

    See RFC 8446 section 4.2.3.

    Raises:
        CannotServeError: the client accepts no such algorithm.
    """

    def __init__(self, offer: Offer) -> None:
        known = {
            0x0401: padding.PKCS1v15(),
            0x0804: padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH),
        }
        accepted = [number for number in known if number in offer.listed(_SIGNATURES)]
        if not accepted:
            raise CannotServeError("the client accepts no signature by RSA over SHA-256")
        self._number, self._padding = accepted[0], known[accepted[0]]

    def sign(self, key: rsa.RSAPrivateKey, data: bytes) -> bytes:
        """Return the number of the algorithm and the signature of data (RFC 5246 section 4.7).

        ``key`` is the server's private key.
        """
        return self._number.to_bytes(2) + vector(2, key.sign(data, self._padding, hashes.SHA256()))


class _KeyExchange(Protocol):
    """A key exchange of TLS 1.2.

    ``parameters`` are the public parameters that the server signs (ServerKeyExchange); empty if
    there are none.
    """

    parameters: bytes

    def secret(self, body: Vectors) -> bytes:
        """Return the premaster secret of the key exchange.

        Args:
            body: the content of the client's ClientKeyExchange.

        Raises:
            IndexError: the content is too short.
            ValueError: the content is wrong.
        """


class _RsaExchange:
    """The key exchange by static RSA (RFC 5246 section 7.4.7.1).

    The server sends no parameters: the client encrypts the secret with the key of the certificate.
    """

    parameters = b""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self._key = key

    def secret(self, body: Vectors) -> bytes:
        """Return the decrypted premaster secret.

        ``body`` is the content of the client's ClientKeyExchange. A wrong secret is not detected
        here, but at the Finished message.
        """
        return self._key.decrypt(body.vector(2).rest(), padding.PKCS1v15())


class _DheExchange:
    """The key exchange by Diffie-Hellman in a group of 512 bits (RFC 5246 7.4.3 and 8.1.2)."""

    def __init__(self) -> None:
        self._private = 1 + secrets.randbelow(SMALL_PRIME - 2)
        public = pow(2, self._private, SMALL_PRIME)
        numbers = (_octets(number) for number in (SMALL_PRIME, 2, public))
        self.parameters = b"".join(vector(2, number) for number in numbers)

    def secret(self, body: Vectors) -> bytes:
        """Return the premaster secret: the shared number, without leading zeros.

        ``body`` is the content of the client's ClientKeyExchange. Raises ``ValueError`` if the
        client's public key is trivial, such as 1.
        """
        public = int.from_bytes(body.vector(2).rest())
        if not 1 < public < SMALL_PRIME - 1:
            raise ValueError("the public key is trivial")
        return _octets(pow(public, self._private, SMALL_PRIME))


class _EcdheExchange:
    """The key exchange by Diffie-Hellman on P-256 (RFC 8422 section 5.4).

    Every version of OpenSSL has this curve.
    """

    def __init__(self) -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())
        uncompressed = Encoding.X962, PublicFormat.UncompressedPoint
        point = self._private.public_key().public_bytes(*uncompressed)
        self.parameters = b"\3" + _P256.to_bytes(2) + vector(1, point)

    def secret(self, body: Vectors) -> bytes:
        """Return the premaster secret: the first coordinate of the shared point.

        ``body`` is the content of the client's ClientKeyExchange. Raises ``ValueError`` if the
        client's public key is not a point on the curve.
        """
        point = body.vector(1).rest()
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        return self._private.exchange(ec.ECDH(), public)


def _octets(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8)
