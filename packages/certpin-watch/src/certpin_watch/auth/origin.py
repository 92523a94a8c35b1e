"""Where a request comes from, and how it got here. A proxy is believed if it is trusted."""

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
    from starlette.types import Scope

    from certpin_watch.addresses import Address
    from certpin_watch.settings import ServiceSettings

# What a proxy adds. Where one is in front, who connects says nothing about who asks.
_FORWARDING = (
    *("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"),
    *("x-real-ip", "cf-connecting-ip", "true-client-ip"),
)
# No personal data in the record: an address is cut to its network, as reports are.
_PREFIX = {4: 24, 6: 48}
# A home or a phone has a /64 of IPv6: each of its addresses is one guesser.
_GUESSER = {4: 32, 6: 64}


@dataclass(frozen=True)
class Origin:
    """``scheme`` and ``host`` (with port) are what the browser shows; ``address`` who asks."""

    scheme: str
    host: str
    address: Address | None
    forwarded: bool

    @property
    def is_secure(self) -> bool:
        """Whether it came by TLS, as far as the browser knows."""
        return self.scheme == "https"

    @property
    def url(self) -> str:
        """Scheme and host, as browsers write an origin (RFC 6454)."""
        return f"{self.scheme}://{self.host}"

    @property
    def source(self) -> str:
        """The network of who asks, for records."""
        return network_of(self.address, _PREFIX)

    @property
    def guesser(self) -> str:
        """Whom to slow down: an address, of which the store keeps a digest, for a while."""
        return network_of(self.address, _GUESSER)

    @property
    def is_local(self) -> bool:
        """Whether a program of this machine asks, by a name that only this machine has.

        The name is what stops DNS rebinding: a page of the network whose name is suddenly this
        machine's address still sends that name.
        """
        near = self.address is not None and self.address.is_loopback
        return near and not self.forwarded and is_loopback(host_of(self.host))


def origin_of(scope: Scope, settings: ServiceSettings) -> Origin:
    """Where a request comes from. A header of somebody who is no trusted proxy says nothing."""
    headers = Headers(scope=scope)
    peer = scope["client"][0] if scope.get("client") else ""
    scheme, host = scope.get("scheme", "http"), headers.get("host", "")
    believed = settings.access.believed
    if in_networks(peer, believed):
        said = ",".join(headers.getlist("x-forwarded-for"))
        peer = client_address(peer, said, lambda hop: in_networks(hop, believed))
        scheme = _last(headers, "x-forwarded-proto") or scheme
        host = _last(headers, "x-forwarded-host") or host
    forwarded = any(name in headers for name in _FORWARDING)
    return Origin(scheme.lower(), host.lower(), parse_address(peer), forwarded)


def host_of(text: str) -> str:
    """The name or address of ``HOST`` or ``HOST:PORT``; empty if it is none."""
    if not text.isprintable() or set(text) & set("/@?#\\ "):
        return ""
    try:
        return urlsplit(f"//{text}").hostname or ""
    except ValueError:
        return ""


def _last(headers: Headers, name: str) -> str:
    """What the nearest proxy said."""
    return ",".join(headers.getlist(name)).rpartition(",")[2].strip()
