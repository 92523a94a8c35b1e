"""A TLS connection without a network: client and server of ``ssl`` over memory BIOs."""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "api.bank.test"
OTHER = "www.bank.test"
_STEPS = 6  # more than any handshake takes


class Wire:
    """A TLS client and a TLS server in one process, connected by two memory BIOs.

    ``client`` and ``server`` are their ``SSLObject`` instances.
    """

    client: Any  # usually a PinnedSSLObject

    def __init__(
        self,
        client: ssl.SSLContext,
        server: ssl.SSLContext,
        host: str | bytes = HOST,
        session: Any = None,
    ) -> None:
        self.to_client, self.to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        name: Any = host
        self.client = client.wrap_bio(
            self.to_client, self.to_server, server_hostname=name, session=session
        )
        self.server = server.wrap_bio(self.to_server, self.to_client, server_side=True)

    def shake(self) -> Wire:
        """Complete the handshake and return this object. Raises the errors of the client."""
        for side in self._turns():
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
        return self

    def until_checked(self) -> None:
        """Run the handshake until the client's next step completes it and checks the pins."""
        for side in (self.client, self.server):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()

    def pull(self) -> bytes:
        """Complete the server's handshake and return the data that it received from the client.

        The result is empty if the server received none or its side of TLS fails.
        """
        with suppress(ssl.SSLError):
            self.server.do_handshake()
            return self.server.read(65536)
        return b""

    def session(self) -> Any:
        """Return the client's session, after it received the tickets (TLS 1.3 sends them late)."""
        with suppress(ssl.SSLWantReadError):
            self.client.read(1)
        return self.client.session

    def _turns(self) -> Iterator[ssl.SSLObject]:
        for _ in range(_STEPS // 2):
            yield self.client
            yield self.server


def as_old_as_tls12(context: ssl.SSLContext) -> ssl.SSLContext:
    """Limit a context to TLS 1.2 at most, and return it."""
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context
