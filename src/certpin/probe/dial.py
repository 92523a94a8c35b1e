"""Ask one server for its certificates: the chain it serves, and the one that OpenSSL verified."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from certpin.errors import CertificateParseError, DialError, HandshakeError
from certpin.probe.starttls import PROTOCOLS, negotiate
from certpin.probe.words import describe, tls_failure
from certpin.x509 import Chain
from certpin.x509.reader import read_certificates
from certpin.x509.stdlib import OwnSSLContext, served_chain, verified_chain
from certpin.x509.verifying import harden, trust_alone

if TYPE_CHECKING:
    from certpin.probe.endpoint import Endpoint

PATIENCE = 10.0  # seconds for each of: connecting, STARTTLS, the handshake


@dataclass(frozen=True)
class Observation:
    """What a server presented.

    ``verified`` is the path that OpenSSL built for this name, leaf to root, or ``None``; then
    ``problem`` says why and ``code`` is OpenSSL's number for it (X509_V_ERR_…, openssl/x509_vfy.h),
    and whatever ``served`` holds may be anybody's. ``address`` is the one that answered.
    """

    endpoint: Endpoint
    address: str
    tls_version: str
    served: Chain
    verified: Chain | None
    problem: str = ""
    code: int = 0


def probe_context(anchors: str | None = None, *, strict: bool | None = None) -> ssl.SSLContext:
    """A context that verifies: against these roots alone (PEM), or the platform's.

    A path may end at one of the anchors that is no root, as it may for ``trust`` in the pin file.
    Not pinned: it is for looking, and what it sees is judged afterwards. Threads may share it.
    ``strict`` is ``strict_x509`` of the pin file, ``None`` to follow the running Python.
    Raises ``InputError`` on anchors that cannot be read.
    """
    if anchors is not None:
        return trust_alone(read_certificates(anchors.encode()), strict=strict)
    context = OwnSSLContext(ssl.PROTOCOL_TLS_CLIENT)
    harden(context)
    context.load_default_certs()
    return context


def observe(
    endpoint: Endpoint, context: ssl.SSLContext, *, patience: float = PATIENCE
) -> Observation:
    """Dial, verify, and read both chains. Where the chain does not verify, dial again to see it.

    ``patience`` is in seconds, for each step. Raises ``DialError``, ``StartTLSError`` or
    ``HandshakeError``. Not checked: pins. A chain that is not verified proves nothing.
    """
    try:
        return _look(endpoint, context, patience)
    except ssl.SSLCertVerificationError as exc:
        return _look(endpoint, _blind_context(), patience, exc)


def _look(
    endpoint: Endpoint,
    context: ssl.SSLContext,
    patience: float,
    unverified: ssl.SSLCertVerificationError | None = None,
) -> Observation:
    with _connect(endpoint, patience) as plain:
        address = str(plain.getpeername()[0])
        if endpoint.starttls:
            negotiate(plain, PROTOCOLS[endpoint.starttls], endpoint.host, endpoint.port)
        with _handshake(endpoint, context, plain) as connection:
            return _read(endpoint, address, connection, unverified)


def _connect(endpoint: Endpoint, patience: float) -> socket.socket:
    try:
        return socket.create_connection(endpoint.address, patience)
    except (OSError, UnicodeError) as exc:
        raise DialError(
            f"no connection to {endpoint.address[0]} port {endpoint.address[1]}: {describe(exc)}",
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
        problem, fix = tls_failure(exc)
        raise HandshakeError(
            f"no TLS: {problem}", host=endpoint.host, port=endpoint.port, fix=fix
        ) from exc


def _read(
    endpoint: Endpoint,
    address: str,
    connection: Any,
    unverified: ssl.SSLCertVerificationError | None,
) -> Observation:
    raw, version = connection._sslobj, connection.version() or ""
    try:
        served = Chain.from_der(served_chain(raw))
        if unverified is None:
            path = Chain.from_der(verified_chain(raw))
            return Observation(endpoint, address, version, served, path)
    except CertificateParseError as exc:
        raise HandshakeError(
            f"its certificates cannot be read: {exc.problem}",
            host=endpoint.host,
            port=endpoint.port,
            fix=exc.fix,
        ) from exc
    problem = unverified.verify_message or str(unverified)
    return Observation(
        endpoint, address, version, served, None, problem.rstrip("."), unverified.verify_code
    )


def _blind_context() -> ssl.SSLContext:
    """A context that accepts anything, to see what it was that did not verify."""
    context = OwnSSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
