"""The origin of a request: the client's address, and the scheme and host that the browser used.

Only a trusted proxy can change them with ``X-Forwarded-…`` headers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from certpin_watch.addresses import (
    client_address,
    in_networks,
    is_loopback,
    network_of,
    parse_address,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Scope

    from certpin_watch.addresses import Address, Network

# Headers that proxies add. Behind a proxy, the peer's address says nothing about the client.
_FORWARDING = (
    *("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"),
    *("x-real-ip", "cf-connecting-ip", "true-client-ip"),
)
# Logs contain no personal data: an address is cut to its network, as in reports.
_LOGGED_BITS = {4: 24, 6: 48}
# A home or a phone has a /64 of IPv6: all its addresses count as one guesser.
_GUESSER_BITS = {4: 32, 6: 64}


@dataclass(frozen=True)
class Origin:
    """The client's address, and the scheme and host (with port) in the browser's address bar.

    ``forwarded`` is True if any header shows that a proxy forwarded the request.
    """

    scheme: str
    host: str
    address: Address | None
    forwarded: bool

    @property
    def is_secure(self) -> bool:
        """True if the browser used TLS, to the service or to a proxy in front."""
        return self.scheme == "https"

    @property
    def url(self) -> str:
        """Scheme and host in the form of an ``Origin`` header (RFC 6454)."""
        return f"{self.scheme}://{self.host}"

    @property
    def source(self) -> str:
        """The client's network, as the log shows it instead of the address."""
        return network_of(self.address, _LOGGED_BITS)

    @property
    def guesser(self) -> str:
        """The client's network, as the key under which wrong passwords and tokens are counted."""
        return network_of(self.address, _GUESSER_BITS)

    @property
    def is_local(self) -> bool:
        """True if a program on this machine sent the request, to a name of the loopback.

        The check of the name stops DNS rebinding: if an attacker lets the name of a web page
        resolve to this machine, the requests of the page still have that name.
        """
        near = self.address is not None and self.address.is_loopback
        return near and not self.forwarded and is_loopback(host_of(self.host))


def origin_of(scope: Scope, trusted_proxies: Sequence[Network]) -> Origin:
    """Return the origin of a request. ``X-Forwarded-…`` counts only from a trusted proxy.

    Args:
        scope: the ASGI scope of the request.
        trusted_proxies: their networks; none if no proxy is in front.
    """
    headers = Headers(scope=scope)
    peer = scope["client"][0] if scope.get("client") else ""
    scheme, host = scope.get("scheme", "http"), headers.get("host", "")
    if in_networks(peer, trusted_proxies):
        hops = ",".join(headers.getlist("x-forwarded-for"))
        peer = client_address(peer, hops, lambda hop: in_networks(hop, trusted_proxies))
        scheme = _last(headers, "x-forwarded-proto") or scheme
        host = _last(headers, "x-forwarded-host") or host
    forwarded = any(name in headers for name in _FORWARDING)
    return Origin(scheme.lower(), host.lower(), parse_address(peer), forwarded)


def host_of(text: str) -> str:
    """Return the name or address in ``HOST`` or ``HOST:PORT``; empty if the text is invalid."""
    if not text.isprintable() or set(text) & set("/@?#\\ "):
        return ""
    try:
        return urlsplit(f"//{text}").hostname or ""
    except ValueError:
        return ""


def local_path(text: str) -> str:
    """Return a path to redirect to; ``/`` if the given text could lead to another host.

    Browsers read a backslash as a slash, two slashes as a host, and drop tabs and line ends.
    """
    fine = text.startswith("/") and text[1:2] not in {"/", "\\"} and "\\" not in text
    return text if fine and text.isascii() and text.isprintable() and len(text) < 1000 else "/"


def _last(headers: Headers, name: str) -> str:
    """Return the last value of a header, which the nearest proxy added."""
    return ",".join(headers.getlist(name)).rpartition(",")[2].strip()
