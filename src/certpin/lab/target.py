"""What a client is told: where the lab is, whom to trust, what is pinned."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from certpin.lab.case import CannotServeError

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab.exports import Exports

PROXY_ADDRESS = "127.0.0.1"


@dataclass(frozen=True)
class Target:
    """One case, as a client meets it.

    ``port`` is that of the lab on ``address``, for a client that is led there directly; ``proxy``
    is the address of the lab's CONNECT and SOCKS5 proxy. ``url`` holds the canary.
    """

    case: str
    host: str
    second_host: str
    port: int
    proxy_port: int
    canary: str
    folder: Path  # of what is handed to clients
    pin: str  # of the good server, or of its issuer: sha256/…
    backup: str
    pins: Path  # the pins, as a pin file of certpin's
    address: str = "127.0.0.1"
    # Whether ``host`` is another than the one under test: the client must be led there.
    elsewhere: bool = False
    clock: timedelta = timedelta(0)  # how far the client's clock must be moved
    dns_port: int = 0  # of the lab's resolver on 127.0.0.1, where there is one
    exports: Exports | None = None  # the pins in the formats of other platforms

    @property
    def ca(self) -> Path:
        """The roots that the client must trust, as PEM."""
        return self.folder / "trusted.pem"

    @property
    def client_certificate(self) -> Path:
        """The client's own certificate, as PEM: what it shows to a server that asks for one."""
        return self.folder / "client.pem"

    @property
    def client_key(self) -> Path:
        """The key of that certificate, as PEM."""
        return self.folder / "client.key"

    @property
    def truststore(self) -> Path:
        """The same as a Java trust store (PKCS#12); its password is ``changeit``."""
        return self.folder / "trusted.p12"

    @property
    def proxy(self) -> str:
        """``http://127.0.0.1:PORT``: the lab's HTTP proxy."""
        return f"http://{PROXY_ADDRESS}:{self.proxy_port}"

    @property
    def socks(self) -> str:
        """``socks5h://127.0.0.1:PORT``: the same as a SOCKS5 proxy that resolves names."""
        return f"socks5h://{PROXY_ADDRESS}:{self.proxy_port}"

    @property
    def url(self) -> str:
        """What to ask for through the proxy."""
        return f"https://{bracketed(self.host)}/{self.canary}"

    @property
    def second_url(self) -> str:
        """The same at the second host."""
        return f"https://{bracketed(self.second_host)}/{self.canary}"

    @property
    def pinnedpubkey(self) -> str:
        """Both pins as curl writes them: ``sha256//…;sha256//…``."""
        return ";".join(pin.replace("sha256/", "sha256//", 1) for pin in (self.pin, self.backup))

    def export(self, name: str) -> Path:
        """The pins in a format of ``certpin export``: its file, with what belongs to it beside it.

        Raises ``CannotServeError`` where that platform cannot have them.
        """
        if self.exports is None:
            raise CannotServeError(f"there are no pins to be exported to {name}")
        return self.exports.path(name)


def bracketed(host: str) -> str:
    """A host as a URL writes it (RFC 3986 section 3.2.2)."""
    return f"[{host}]" if ":" in host else host
