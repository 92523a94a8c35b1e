"""TLS handshakes in memory between a server of the lab and an OpenSSL client."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from certpin.lab.server.tls import Contexts
from certpin.x509.openssl import verified_chain

if TYPE_CHECKING:
    from certpin.lab.pki import TestPKI
    from certpin.lab.scenario import ServerStep


def handshake(step: ServerStep, context: ssl.SSLContext, host: str) -> ssl.SSLObject:
    """Run a handshake in memory with the server that a step describes. Return the client's side.

    Raises ``ssl.SSLError`` if either side fails.
    """
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(to_client, to_server, server_hostname=host)
    server = Contexts().wrap(step, (), to_server, to_client)
    for _ in range(3):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return client


def trusting(pki: TestPKI) -> ssl.SSLContext:
    """Return a client context that trusts the roots that the lab gives to its clients."""
    return ssl.create_default_context(cadata=pki.authorities.trusted_pem.decode())


def verified(step: ServerStep, pki: TestPKI, host: str) -> list[bytes]:
    """Return the chain that OpenSSL builds and verifies for this server, as DER, the leaf first.

    Raises ``ssl.SSLError`` if the handshake fails.
    """
    raw: Any = handshake(step, trusting(pki), host)._sslobj  # type: ignore[attr-defined]
    return list(verified_chain(raw))


def problem(step: ServerStep, pki: TestPKI, host: str) -> str:
    """Return the error of OpenSSL's handshake with this server; empty if the handshake succeeds."""
    try:
        verified(step, pki, host)
    except ssl.SSLCertVerificationError as exc:
        return exc.verify_message
    except ssl.SSLError as exc:
        return exc.reason or str(exc)  # an old Python does not know all reasons
    return ""
