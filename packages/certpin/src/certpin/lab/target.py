"""The target of one case: the data with which a client is directed to the lab.

These are the lab's address, the roots to trust, and the pins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Self, TypeVar

from certpin.lab.case import CannotServeError

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab.exports import Exports

PROXY_ADDRESS = "127.0.0.1"
_T = TypeVar("_T")


@dataclass(frozen=True)
class Target:
    """One case as the client gets it: where to connect, which roots to trust, which pins to check.

    The lab listens on ``port`` of ``address``, for a client that connects to it directly, and is a
    CONNECT and SOCKS5 proxy at ``proxy``. ``url`` contains the canary. It names no port: a client
    that uses no proxy takes the URLs of ``direct``.
    """

    case: str
    host: str
    second_host: str
    port: int
    proxy_port: int
    canary: str
    folder: Path  # the files that clients get
    accepted: tuple[str, str, str, str]  # ``pin``, ``backup``, ``second_pin``, ``second_backup``
    pins: Path  # the pins, as a pin file
    pinned_pem: Path  # ``certificate``
    pinned_sha256: str  # ``fingerprint``
    address: str = "127.0.0.1"
    url_port: int = 0  # the port that URLs name; 0 if they name none
    # Whether ``host`` differs from the host under test, so that the client must be directed there.
    elsewhere: bool = False
    clock: timedelta = timedelta(0)  # how far the client's clock must be moved
    dns_port: int = 0  # of the resolver on 127.0.0.1; 0 if there is none
    exports: Exports | None = None  # the pins in the formats of other platforms
    compromised: str = ""  # the key that ``pins`` marks compromised, if it marks one

    @property
    def pin(self) -> str:
        """The pin of the honest server, or of its issuer: ``sha256/…``.

        This and the next five attributes are for clients that get keys or a certificate to accept
        instead of a pin file.

        Raises:
            CannotServeError: the pins mark a key as compromised, and such a client can't know that.
        """
        return self._without_compromised(self.accepted)[0]

    @property
    def backup(self) -> str:
        """The backup pin that the client has: of the server's backup key, or of the root."""
        return self._without_compromised(self.accepted)[1]

    @property
    def second_pin(self) -> str:
        """The same as ``pin``, for the second host of the case."""
        return self._without_compromised(self.accepted)[2]

    @property
    def second_backup(self) -> str:
        """The same as ``backup``, for the second host of the case."""
        return self._without_compromised(self.accepted)[3]

    @property
    def certificate(self) -> Path:
        """The path of the pinned certificate of the honest chain, as PEM."""
        return self._without_compromised(self.pinned_pem)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of ``certificate``, as ``openssl x509 -fingerprint`` prints it."""
        return self._without_compromised(self.pinned_sha256)

    def _without_compromised(self, value: _T) -> _T:
        if self.compromised:
            raise CannotServeError(
                "the client is given what to accept, and no compromised key",
                fix="give it {compromised} too, or {pins}, or {export:FORMAT} of a platform that "
                "refuses such keys",
            )
        return value

    @property
    def ca(self) -> Path:
        """The path of the roots that the client must trust, as PEM."""
        return self.folder / "trusted.pem"

    @property
    def client_certificate(self) -> Path:
        """The path of the client certificate, as PEM."""
        return self.folder / "client.pem"

    @property
    def client_key(self) -> Path:
        """The path of the key of the client certificate, as PEM."""
        return self.folder / "client.key"

    @property
    def truststore(self) -> Path:
        """The path of the trusted roots as a Java trust store (PKCS#12, password ``changeit``)."""
        return self.folder / "trusted.p12"

    @property
    def proxy(self) -> str:
        """``http://127.0.0.1:PORT``: the lab's HTTP proxy."""
        return f"http://{PROXY_ADDRESS}:{self.proxy_port}"

    @property
    def socks(self) -> str:
        """``socks5h://127.0.0.1:PORT``: the lab's SOCKS5 proxy, which resolves host names."""
        return f"socks5h://{PROXY_ADDRESS}:{self.proxy_port}"

    @property
    def direct(self) -> Self:
        """A copy of the target with the lab's port in its URLs, for a client without a proxy."""
        return replace(self, url_port=self.port)

    @property
    def endpoint(self) -> str:
        """``address`` and ``port`` in one word: ``127.0.0.1:PORT`` or ``[::1]:PORT``."""
        return f"{bracketed(self.address)}:{self.port}"

    @property
    def url(self) -> str:
        """The URL to request."""
        return self._url_of(self.host)

    @property
    def second_url(self) -> str:
        """The URL to request from the second host."""
        return self._url_of(self.second_host)

    def _url_of(self, host: str) -> str:
        port = f":{self.url_port}" if self.url_port else ""
        return f"https://{bracketed(host)}{port}/{self.canary}"

    @property
    def pinnedpubkey(self) -> str:
        """The pin and the backup pin as curl's ``--pinnedpubkey``: ``sha256//…;sha256//…``."""
        return ";".join(pin.replace("sha256/", "sha256//", 1) for pin in (self.pin, self.backup))

    def export(self, name: str) -> Path:
        """Write the pins in a format of ``certpin export``, and return the path of the file.

        Args:
            name: the name of the format.

        Raises:
            CannotServeError: the client has no pins, or the format can't express them.
        """
        if self.exports is None:
            raise CannotServeError(f"there are no pins to export to {name}")
        return self.exports.path(name)


def bracketed(host: str) -> str:
    """Return a host in the form for URLs: IPv6 in brackets (RFC 3986 section 3.2.2)."""
    return f"[{host}]" if ":" in host else host
