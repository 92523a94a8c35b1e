"""The verifiers that judge the same chains as the client: OpenSSL, certpin, and cryptography's own.

``OpenSSLPeer`` and ``CertpinPeer`` do TLS handshakes in memory, with the server that the lab uses,
so their verdict is that of a TLS client. ``OpenSSLPeer`` uses OpenSSL's default settings.
``CertpinPeer`` uses a ``PinnedSSLContext`` with pins on the trusted roots and ``strict_x509``. Its
verdict is that of certpin's path check (OpenSSL's check with more rules), and doesn't depend on the
version of Python. ``CryptographyPeer`` is the verifier of ``cryptography``, which shares no code
with OpenSSL's.
"""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Protocol

import cryptography
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from certpin._version import __version__
from certpin.lab.case import CannotServeError
from certpin.lab.scenario import ServerStep
from certpin.lab.server.tls import Contexts, reason_of
from certpin.pins import HostPattern, HostPin, HostPolicy, Pin, PinSet, TrustAnchors
from certpin.tls import PinnedSSLContext
from certpin.x509 import Certificate
from certpin.x509.certificate import without_deprecations

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.lab.case import OwnChain

# What cryptography raises for a certificate that it can't read, or a chain that it doesn't accept.
_REFUSALS = (
    VerificationError,
    UnsupportedAlgorithm,
    ValueError,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_MOST_ROUNDS = 10  # flights of a handshake, with room for a HelloRetryRequest


@dataclass(frozen=True)
class PeerVerdict:
    """The verdict of a verifier on one chain.

    ``accepts`` is None if the verifier reached no verdict. ``why`` is the reason for a refusal or
    for no verdict; for an acceptance it has no meaning.
    """

    accepts: bool | None
    why: str = ""


class Peer(Protocol):
    """Interface of a verifier that judges the same chains as the client.

    ``name`` is the title of its column in reports. ``version`` is that of its software, for
    reports.
    """

    name: str
    version: str

    def judge(self, own: OwnChain) -> PeerVerdict:
        """Return the verdict on ``own.chain`` for the host ``own.host``.

        ``own`` has the inputs of a client. The verifier trusts the roots with which it was created.
        """

    def close(self) -> None:
        """Release the resources of the verifier. It can't be used afterwards."""


class _Handshake:
    """Base class of verifiers that do TLS handshakes, in memory, with a server.

    The server presents the chain to judge. An error of the handshake is a refusal.
    """

    name = ""
    version = ""

    def __init__(self, context: ssl.SSLContext, contexts: Contexts) -> None:
        self._context = context
        self._contexts = contexts

    def judge(self, own: OwnChain) -> PeerVerdict:
        step = ServerStep(own.chain, own.key_pem)
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            server = self._contexts.wrap(step, (), to_server, to_client)
        except CannotServeError as exc:
            # OpenSSL parses with the same code in a server and in a client.
            return PeerVerdict(accepts=False, why=exc.problem)
        client = self._context.wrap_bio(to_client, to_server, server_hostname=own.host)
        try:
            return _shake(client, server)
        except ssl.SSLCertVerificationError as exc:
            return PeerVerdict(accepts=False, why=exc.verify_message or str(exc))
        except ssl.SSLError as exc:
            return PeerVerdict(accepts=False, why=reason_of(exc).lower().replace("_", " "))

    def close(self) -> None:
        """Do nothing: TLS contexts hold only memory."""


def _shake(client: ssl.SSLObject, server: ssl.SSLObject) -> PeerVerdict:
    for _ in range(_MOST_ROUNDS):
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            pass
        else:
            return PeerVerdict(accepts=True)
        try:
            server.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLError as exc:  # no common signature algorithm, for example
            return PeerVerdict(accepts=False, why=reason_of(exc).lower().replace("_", " "))
    return PeerVerdict(accepts=None, why="the handshake did not end")


class OpenSSLPeer(_Handshake):
    """A verifier that is the OpenSSL of this Python, with its defaults.

    It checks dates with the machine's clock.
    """

    name = "openssl"
    version = ssl.OPENSSL_VERSION

    def __init__(self, anchors: tuple[bytes, ...], contexts: Contexts) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata="".join(map(ssl.DER_cert_to_PEM_cert, anchors)))
        super().__init__(context, contexts)


class CertpinPeer(_Handshake):
    """A verifier that is certpin: a ``PinnedSSLContext`` that trusts only ``anchors``.

    It also pins the keys of these anchors, so that each chain to an anchor matches a pin.
    """

    name = "certpin"
    version = __version__

    def __init__(self, host: str, anchors: tuple[bytes, ...], contexts: Contexts) -> None:
        roots = map(Certificate.from_der, anchors)
        pins = tuple(HostPin(Pin.of_key(root.spki_sha256), "root") for root in roots)
        trust = TrustAnchors(anchors, strict=True)
        policy = HostPolicy(HostPattern.parse(host), pins, trust=trust)
        super().__init__(PinnedSSLContext(PinSet("fuzz", 1, (policy,))), contexts)
        self._silent = logging.NullHandler()  # each refusal is an error in the log of certpin
        self._log = logging.getLogger("certpin")
        self._log.addHandler(self._silent)

    def close(self) -> None:
        """Remove the log handler that discarded certpin's messages about refusals.

        Without this handler, Python prints such messages to standard error if the program
        configured no logging.
        """
        self._log.removeHandler(self._silent)


class CryptographyPeer:
    """The path validation of ``cryptography``, for the profile of public web servers.

    It trusts ``anchors`` (DER), and checks dates against ``now``.
    """

    name = "cryptography"
    version = cryptography.__version__

    def __init__(self, anchors: tuple[bytes, ...], now: datetime) -> None:
        store = Store([x509.load_der_x509_certificate(anchor) for anchor in anchors])
        moment = now.astimezone(UTC).replace(tzinfo=None)  # it takes UTC without a zone
        self._policy = PolicyBuilder().store(store).time(moment)

    def judge(self, own: OwnChain) -> PeerVerdict:
        """Return the verdict of ``cryptography`` on ``own.chain`` for the host ``own.host``.

        ``own`` has the inputs of a client. The trusted roots are those with which this object was
        created.
        """
        try:
            with without_deprecations():
                leaf, *above = map(x509.load_der_x509_certificate, own.chain)
                verifier = self._policy.build_server_verifier(x509.DNSName(own.host))
                verifier.verify(leaf, above)
        except _REFUSALS as exc:
            return PeerVerdict(accepts=False, why=str(exc))
        return PeerVerdict(accepts=True)

    def close(self) -> None:
        """Do nothing: the store of trusted roots holds only memory."""
