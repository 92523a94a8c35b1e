"""A handshake with a step in memory, by a client of OpenSSL's that trusts what it should."""

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
    """A context that trusts what the clients of the lab trust."""
    return ssl.create_default_context(cadata=pki.authorities.trusted_pem.decode())


def verified(step: ServerStep, pki: TestPKI, host: str) -> list[bytes]:
    """The chain that OpenSSL verifies, as DER. Raises ``ssl.SSLError``."""
    raw: Any = handshake(step, trusting(pki), host)._sslobj  # type: ignore[attr-defined]
    return list(verified_chain(raw))


def problem(step: ServerStep, pki: TestPKI, host: str) -> str:
    """What OpenSSL finds wrong, in its own words; empty for nothing."""
    try:
        verified(step, pki, host)
    except ssl.SSLCertVerificationError as exc:
        return exc.verify_message
    except ssl.SSLError as exc:
        return exc.reason or ""
    return ""
