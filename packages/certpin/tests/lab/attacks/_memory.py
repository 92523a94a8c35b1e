"""A handshake with a step in memory, by an OpenSSL client that trusts the lab's roots."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from certpin.lab.server.tls import Contexts
from certpin.x509.openssl import verified_chain

if TYPE_CHECKING:
    from certpin.lab.pki import TestPKI
    from certpin.lab.scenario import ServerStep


def handshake(step: ServerStep, context: ssl.SSLContext, host: str) -> ssl.SSLObject:
    """Finish a handshake with a step. Raises ``ssl.SSLError`` as the client's side does."""
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
    """Return a context that trusts the roots of the lab's clients."""
    return ssl.create_default_context(cadata=pki.authorities.trusted_pem.decode())


def verified(step: ServerStep, pki: TestPKI, host: str) -> list[bytes]:
    """Return the chain that OpenSSL verifies, as DER. Raises ``ssl.SSLError``."""
    raw: Any = handshake(step, trusting(pki), host)._sslobj  # type: ignore[attr-defined]
    return list(verified_chain(raw))


def problem(step: ServerStep, pki: TestPKI, host: str) -> str:
    """Return OpenSSL's verification error; empty if there is none."""
    try:
        verified(step, pki, host)
    except ssl.SSLCertVerificationError as exc:
        return exc.verify_message
    except ssl.SSLError as exc:
        return exc.reason or ""
    return ""
