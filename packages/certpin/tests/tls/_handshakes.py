"""What the tests of rules 7 to 12 share: a handshake in one line, a policy in another."""

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


class Wire(_wire.Wire):
    """As the other ``Wire``, with a host and an identity where those are enough."""

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
        """The whole handshake. Raises what the client raises."""
        super().shake()
        return self

    def answer(self, data: bytes = b"hello") -> bytes:
        """What the client sends, as the server gets it."""
        self.client.write(data)
        return bytes(self.server.read(len(data)))


def connect(
    context: ssl.SSLContext, server: ssl.SSLContext | Identity, host: str = HOST
) -> ssl.SSLObject:
    """A whole handshake and some data; returns the client's object."""
    wire = Wire(context, server, host).shake()
    assert wire.answer() == b"hello"
    client: ssl.SSLObject = wire.client
    return client


def verdict_of(context: PinnedSSLContext, server: Identity, host: str = HOST) -> Any:
    """What the context decided about this server."""
    client: Any = connect(context, server, host)
    return client.pin_verdict


def root_policy(host: str, pin: Pin, **fields: Any) -> HostPolicy:
    """A policy that pins a root, and a backup of nobody."""
    pins = (HostPin(pin, "root"), HostPin(NOBODY, "backup"))
    return HostPolicy(HostPattern.parse(host), pins, **fields)


def trust_on_this_platform(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *authorities: Authority
) -> Path:
    """Let OpenSSL's default paths lead to these authorities alone."""
    bundle = folder / "platform.pem"
    bundle.write_bytes(b"".join(authority.pem for authority in authorities))
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    monkeypatch.setenv("SSL_CERT_DIR", str(folder / "no-such-folder"))
    return bundle


def for_clients(builder: Any) -> Any:
    """Let a certificate be good for clients too: without extended key usages."""
    kept = [each for each in builder._extensions if each.oid != OID_EXTENDED_KEY_USAGE]
    builder._extensions = kept
    return builder
