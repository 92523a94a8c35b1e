"""Where a request comes from, and how it got here. A proxy is believed if it is trusted."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers

if TYPE_CHECKING:
    from starlette.types import Scope

    from certpin.watch.access.settings import Network
    from certpin.watch.settings import Settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

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
        return _network(self.address, _PREFIX)

    @property
    def guesser(self) -> str:
        """Whom to slow down; kept in memory for a while, and nowhere else."""
        return _network(self.address, _GUESSER)

    @property
    def is_local(self) -> bool:
        """Whether a program of this machine asks, by a name that only this machine has.

        The name is what stops DNS rebinding: a page of the network whose name is suddenly this
        machine's address still sends that name.
        """
        near = self.address is not None and _plain(self.address).is_loopback
        return near and not self.forwarded and is_loopback(host_of(self.host))


def origin_of(scope: Scope, settings: Settings) -> Origin:
    """Where a request comes from. A header of somebody who is no trusted proxy says nothing."""
    headers = Headers(scope=scope)
    address = _address(scope["client"][0] if scope.get("client") else "")
    scheme, host = scope.get("scheme", "http"), headers.get("host", "")
    access = settings.access
    if access.behind_proxy and _trusted(address, access.trusted_proxies):
        address = _first_stranger(headers, address, access.trusted_proxies)
        scheme = _last(headers, "x-forwarded-proto") or scheme
        host = _last(headers, "x-forwarded-host") or host
    forwarded = any(name in headers for name in _FORWARDING)
    return Origin(scheme.lower(), host.lower(), address, forwarded)


def host_of(text: str) -> str:
    """The name or address of ``HOST`` or ``HOST:PORT``; empty if it is none."""
    if not text.isprintable() or set(text) & set("/@?#\\ "):
        return ""
    try:
        return urlsplit(f"//{text}").hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine's alone (RFC 6761, 6.3)."""
    name = host.lower().rstrip(".")
    address = _address(name)
    if address is None:
        return name == "localhost" or name.endswith(".localhost")
    return _plain(address).is_loopback


def _first_stranger(
    headers: Headers, peer: Address | None, trusted: tuple[Network, ...]
) -> Address | None:
    """From the right, the first that is no proxy of ours: what is left of it, anybody can write."""
    chain = ",".join(headers.getlist("x-forwarded-for")).split(",")
    found = peer
    for text in reversed([each.strip() for each in chain if each.strip()]):
        found = _address(text)
        if not _trusted(found, trusted):
            break
    return found


def _last(headers: Headers, name: str) -> str:
    """What the nearest proxy said."""
    return ",".join(headers.getlist(name)).rpartition(",")[2].strip()


def _trusted(address: Address | None, networks: tuple[Network, ...]) -> bool:
    return address is not None and any(_plain(address) in network for network in networks)


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None


def _plain(address: Address) -> Address:
    """A socket for both families shows IPv4 as ``::ffff:…``."""
    return getattr(address, "ipv4_mapped", None) or address


def _network(address: Address | None, lengths: dict[int, int]) -> str:
    if address is None:
        return ""
    plain = _plain(address)
    return str(ipaddress.ip_network((plain, lengths[plain.version]), strict=False))
