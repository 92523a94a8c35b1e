"""Helpers for the tests of rules 7 to 12: short ways to do a handshake and to write a policy."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Self

from cryptography.x509 import OID_EXTENDED_KEY_USAGE

from certpin import HostPattern, HostPin, HostPolicy
from certpin.lab.lab_server import server_context
from tests.kit import NOBODY
from tests.tls import _wire

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from certpin import Pin, PinnedSSLContext
    from certpin.lab import Authority, Identity

HOST = "bank.example"


class TimeLimitError(Exception):
    """An app's exception with a constructor that ``copy`` can't call. For signal handlers."""

    def __init__(self, seconds: int, what: str) -> None:
        super().__init__(f"{what} took more than {seconds} s")


class Wire(_wire.Wire):
    """TLS connection in memory to a server that is given as a context or as an identity.

    The base class accepts only contexts.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        server: ssl.SSLContext | Identity,
        host: str = HOST,
        session: ssl.SSLSession | None = None,
    ) -> None:
        theirs = server if isinstance(server, ssl.SSLContext) else server_context(server)
        super().__init__(context, theirs, host, session)

    def shake(self) -> Self:
        """Complete the handshake and return this object. Raises the errors of the client."""
        super().shake()
        return self

    def answer(self, data: bytes = b"hello") -> bytes:
        """Send data from the client and return the data that the server received."""
        self.client.write(data)
        return bytes(self.server.read(len(data)))


def connect(
    context: ssl.SSLContext, server: ssl.SSLContext | Identity, host: str = HOST
) -> ssl.SSLObject:
    """Complete a handshake, send some data, and return the client's ``SSLObject``."""
    wire = Wire(context, server, host).shake()
    assert wire.answer() == b"hello"
    client: ssl.SSLObject = wire.client
    return client


def verdict_of(context: PinnedSSLContext, server: Identity, host: str = HOST) -> Any:
    """Connect to a server with this identity and return the verdict of the pin check."""
    client: Any = connect(context, server, host)
    return client.pin_verdict


def root_policy(host: str, pin: Pin, **fields: Any) -> HostPolicy:
    """Return a policy that pins a root, and a backup pin that matches no certificate."""
    pins = (HostPin(pin, "root"), HostPin(NOBODY, "backup"))
    return HostPolicy(HostPattern.parse(host), pins, **fields)


def trust_on_this_platform(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *authorities: Authority
) -> Path:
    """Make these the only trust anchors in OpenSSL's default paths, and return their PEM file."""
    bundle = folder / "platform.pem"
    bundle.write_bytes(b"".join(authority.pem for authority in authorities))
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    monkeypatch.setenv("SSL_CERT_DIR", str(folder / "no-such-folder"))
    return bundle


def for_clients(builder: Any) -> Any:
    """Remove the extended key usages from a certificate builder, and return it.

    The certificate is then valid for clients as well as for servers.
    """
    kept = [each for each in builder._extensions if each.oid != OID_EXTENDED_KEY_USAGE]
    builder._extensions = kept
    return builder
