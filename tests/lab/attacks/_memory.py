"""A handshake with an act in memory, by a client of OpenSSL's that trusts what it should."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from certpin.lab.session.context import Contexts
from certpin.x509.stdlib import verified_chain

if TYPE_CHECKING:
    from certpin.lab.cast import Cast
    from certpin.lab.script import Act


def handshake(act: Act, context: ssl.SSLContext, host: str) -> ssl.SSLObject:
    """Finish a handshake with an act. Raises ``ssl.SSLError`` as the client's side does."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(to_client, to_server, server_hostname=host)
    server = Contexts().wrap(act, (), to_server, to_client)
    for _ in range(3):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return client


def trusting(cast: Cast) -> ssl.SSLContext:
    """A context that trusts what the clients of the lab trust."""
    return ssl.create_default_context(cadata=cast.authorities.trusted_pem.decode())


def verified(act: Act, cast: Cast, host: str) -> list[bytes]:
    """The chain that OpenSSL verifies, as DER. Raises ``ssl.SSLError``."""
    raw: Any = handshake(act, trusting(cast), host)._sslobj  # type: ignore[attr-defined]
    return list(verified_chain(raw))


def problem(act: Act, cast: Cast, host: str) -> str:
    """What OpenSSL finds wrong, in its own words; empty for nothing."""
    try:
        verified(act, cast, host)
    except ssl.SSLCertVerificationError as exc:
        return exc.verify_message
    except ssl.SSLError as exc:
        return exc.reason or ""
    return ""
