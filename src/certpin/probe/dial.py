"""Ask one server for its certificates: the chain it serves, and the one that OpenSSL verified."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from certpin.errors import CertificateParseError, DialError, HandshakeError
from certpin.probe.starttls import PROTOCOLS, negotiate
from certpin.x509 import Chain
from certpin.x509.openssl import served_chain, verified_chain

if TYPE_CHECKING:
    from certpin.probe.endpoint import Endpoint

PATIENCE = 10.0  # seconds for each of: connecting, STARTTLS, the handshake


@dataclass(frozen=True)
class Observation:
    """What a server presented.

    ``verified`` is the path that OpenSSL built for this name, leaf to root, or ``None``; then
    ``problem`` says why, and whatever ``served`` holds may be anybody's. ``address`` is the one
    that answered.
    """

    endpoint: Endpoint
    address: str
    tls_version: str
    served: Chain
    verified: Chain | None
    problem: str = ""


def probe_context(anchors: str | bytes | None = None) -> ssl.SSLContext:
    """A context that verifies: against these roots alone (PEM or DER), or the platform's.

    Not pinned: it is for looking, and what it sees is judged afterwards. Raises ``ssl.SSLError`` on
    roots that cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.hostname_checks_common_name = False  # RFC 9525 section 2, as PinnedSSLContext
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    if anchors is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(cadata=anchors)
    return context


def observe(
    endpoint: Endpoint, context: ssl.SSLContext, *, patience: float = PATIENCE
) -> Observation:
    """Dial, verify, and read both chains. Where the chain does not verify, dial again to see it.

    ``patience`` is in seconds, for each step. Raises ``DialError``, ``StartTLSError`` or
    ``HandshakeError``. Not checked: pins. A chain that is not verified proves nothing.
    """
    try:
        return _look(endpoint, context, patience, "")
    except ssl.SSLCertVerificationError as exc:
        return _look(endpoint, _blind_context(), patience, exc.verify_message or str(exc))


def _look(
    endpoint: Endpoint, context: ssl.SSLContext, patience: float, problem: str
) -> Observation:
    with _connect(endpoint, patience) as plain:
        address = str(plain.getpeername()[0])
        if endpoint.starttls:
            negotiate(plain, PROTOCOLS[endpoint.starttls], endpoint.host, endpoint.port)
        with _handshake(endpoint, context, plain) as connection:
            return _read(endpoint, address, connection, problem)


def _connect(endpoint: Endpoint, patience: float) -> socket.socket:
    try:
        return socket.create_connection(endpoint.address, patience)
    except (OSError, UnicodeError) as exc:
        raise DialError(
            f"no connection to {endpoint.address[0]} port {endpoint.address[1]}: {_words(exc)}",
            host=endpoint.host,
            port=endpoint.port,
            fix="check name and port, and that this network may reach it",
        ) from exc


def _handshake(endpoint: Endpoint, context: ssl.SSLContext, plain: socket.socket) -> ssl.SSLSocket:
    try:
        return context.wrap_socket(plain, server_hostname=endpoint.name)
    except ssl.SSLCertVerificationError:
        raise
    except (OSError, ValueError) as exc:
        raise HandshakeError(
            f"no TLS: {_words(exc)}",
            host=endpoint.host,
            port=endpoint.port,
            fix="check that this port speaks TLS; for mail, LDAP, XMPP and databases say which "
            "protocol comes first: --starttls",
        ) from exc


def _read(endpoint: Endpoint, address: str, connection: Any, problem: str) -> Observation:
    raw = connection._sslobj
    try:
        served = Chain.from_der(served_chain(raw))
        verified = None if problem else Chain.from_der(verified_chain(raw))
    except CertificateParseError as exc:
        raise HandshakeError(
            f"its certificates cannot be read: {exc.problem}",
            host=endpoint.host,
            port=endpoint.port,
            fix=exc.fix,
        ) from exc
    return Observation(endpoint, address, connection.version() or "", served, verified, problem)


def _blind_context() -> ssl.SSLContext:
    """A context that accepts anything, to see what it was that did not verify."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _words(exc: Exception) -> str:
    if isinstance(exc, TimeoutError):
        return "it did not answer in time"
    reason = getattr(exc, "reason", None)
    return str(reason) if isinstance(reason, str) else (getattr(exc, "strerror", None) or str(exc))
