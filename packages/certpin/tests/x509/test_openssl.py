"""The served and the verified chain of a TLS connection, read from OpenSSL's connection object."""

from __future__ import annotations

import socket
import ssl

from certpin.lab import Authority, LabServer
from certpin.x509.openssl import served_chain, verified_chain


def test_the_verified_chain_ends_at_the_root_and_the_served_chain_is_unchanged() -> None:
    root = Authority("Chain Root")
    below = root.intermediate("Chain Intermediate")
    identity = below.issue("chain.example")
    context = ssl.create_default_context(cadata=root.pem.decode())
    context.verify_flags &= ~ssl.VERIFY_X509_PARTIAL_CHAIN
    with (
        LabServer(identity) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="chain.example") as connection,
    ):
        raw = connection._sslobj  # type: ignore[attr-defined]
        served = (identity.certificate.der, below.certificate.der)
        assert served_chain(raw) == served
        assert verified_chain(raw) == (*served, root.certificate.der)


def test_before_a_handshake_there_is_no_chain() -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = ssl.create_default_context().wrap_bio(
        incoming, outgoing, server_hostname="chain.example"
    )
    raw = connection._sslobj  # type: ignore[attr-defined]
    assert (served_chain(raw), verified_chain(raw)) == ((), ())
