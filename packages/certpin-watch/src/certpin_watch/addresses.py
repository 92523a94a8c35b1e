"""IP addresses and networks, and the origin of a request: the client's address, scheme and host.

``X-Forwarded-…`` headers are used only if a trusted proxy sent them. No I/O.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from socket import AF_INET, inet_pton
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.types import Scope

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAX_HOPS = 20  # entries of X-Forwarded-For that are read, from the right
_PROVIDER_BITS = {4: 16, 6: 32}  # the prefix of a provider's network, by version of IP
_MAX_LENGTH = 64  # characters of an address, brackets and port included
_CACHED = 1024  # addresses, and networks

# Headers that proxies add. Behind a proxy, the peer's address says nothing about the client.
_FORWARDING = (
    *("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"),
    *("x-real-ip", "cf-connecting-ip", "true-client-ip"),
)
# Logs contain no personal data: an address is cut to its network, as in reports.
_LOGGED_BITS = {4: 24, 6: 48}
# A home or a phone has a /64 of IPv6: all its addresses count as one guesser.
_GUESSER_BITS = {4: 32, 6: 64}


def parse_address(text: str) -> Address | None:
    """Parse an IP address, with or without a port: ``192.0.2.1:4711``, ``[2001:db8::1]:4711``.

    A port is ignored; it is accepted because some proxies write it. An IPv4-mapped IPv6 address
    (RFC 4291, 2.5.5.2) is converted to the IPv4 address, because a socket for both versions shows
    the addresses of IPv4 clients in this form.

    Returns:
        The address, or None if the text is not an address.
    """
    return _parse_cached(text) if len(text) <= _MAX_LENGTH else _parse(text)


def _parse(text: str) -> Address | None:
    try:  # the C library parses the usual form as ipaddress does, four decimal numbers, but faster
        return ipaddress.IPv4Address(inet_pton(AF_INET, text))
    except (OSError, ValueError):
        pass
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


# A request parses the same address several times: for the client, and for the trusted proxies.
_parse_cached = lru_cache(_CACHED)(_parse)


def is_loopback(host: str) -> bool:
    """Return True for a loopback address, ``localhost``, and a name such as ``app.localhost``.

    RFC 6761, section 6.3, reserves all names that end in ``.localhost`` for the loopback.
    """
    name = host.lower().rstrip(".")
    address = parse_address(name)
    if address is None:
        return name == "localhost" or name.endswith(".localhost")
    return address.is_loopback


def is_local_only(host: str) -> bool:
    """Return True if connections to this host, or a listener on it, never leave the machine.

    For a name such as ``app.localhost`` the result is False: some resolvers, such as glibc's, ask
    the network for it, and the network can answer with any address.
    """
    return is_loopback(host) and not host.lower().rstrip(".").endswith(".localhost")


def in_networks(text: str, networks: Sequence[Network]) -> bool:
    """Return True if ``text`` is an IP address in one of the networks.

    If ``text`` is not an IP address, return False.
    """
    address = parse_address(text)
    if address is not None:
        for network in networks:  # a loop, because a generator for each report costs time
            if address in network:
                return True
    return False


def client_address(peer: str, forwarded: str, is_trusted: Callable[[str], bool]) -> str:
    """Return the address of the client that sent a request, as text.

    If ``peer`` is not a trusted proxy, the result is ``peer``. Otherwise it is the rightmost
    address in X-Forwarded-For that is not a trusted proxy, because each proxy appends the address
    of its client. The text to the left of it is not used: the client can have invented it. NOT
    checked: that the result is an IP address.

    Args:
        peer: the other end of the TCP connection: the client, or the last proxy.
        forwarded: the value of the header X-Forwarded-For, or empty.
        is_trusted: returns True for the address of a trusted proxy.
    """
    if not forwarded or not is_trusted(peer):
        return peer
    for hop in reversed(forwarded.rsplit(",", _MAX_HOPS)[-_MAX_HOPS:]):
        if not (address := hop.strip()[:_MAX_LENGTH]):
            continue
        peer = address
        if not is_trusted(peer):
            break
    return peer


def network_of(address: Address | None, bits: dict[int, int]) -> str:
    """Return the network that contains an address, as text such as ``192.0.2.0/24``.

    Logs, stored reports and limits use this text instead of the whole address.

    Args:
        address: the address. If it is None, the result is empty.
        bits: the prefix length for each IP version: ``{4: 24, 6: 48}``.
    """
    if address is None:
        return ""
    hidden = address.max_prefixlen - bits[address.version]
    return _network_text(address.version, int(address) >> hidden << hidden, bits[address.version])


@lru_cache(_CACHED)
def _network_text(version: int, first: int, bits: int) -> str:
    kind = ipaddress.IPv4Network if version == 4 else ipaddress.IPv6Network
    return str(kind((first, bits)))


def provider_network(network: str) -> str:
    """Return the network of the internet provider that contains a client's network, as text.

    This is an IPv4 /16 or an IPv6 /32: address ranges that usually belong to one provider. The
    result is empty if the text ``network`` is not a network.
    """
    try:
        found = ipaddress.ip_network(network)
    except ValueError:
        return ""
    bits = min(_PROVIDER_BITS[found.version], found.prefixlen)
    return str(found.supernet(new_prefix=bits))


@dataclass(frozen=True)
class Origin:
    """The origin of a request: the client, and the service as the browser addresses it.

    Attributes:
        scheme: "http" or "https", as in the browser's address bar.
        host: the host in the address bar, with its port.
        address: the IP address of the client; None if it is unknown.
        forwarded: True if a header shows that a proxy forwarded the request.
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
        """The scheme and the host, in the form of an ``Origin`` header (RFC 6454)."""
        return f"{self.scheme}://{self.host}"

    @property
    def source(self) -> str:
        """The client's network (IPv4 /24, IPv6 /48), which is logged instead of the address.

        It is empty if the address is unknown.
        """
        return network_of(self.address, _LOGGED_BITS)

    @property
    def guesser(self) -> str:
        """The client's network, for counting wrong passwords and tokens; empty if unknown.

        An IPv4 address is counted separately (/32), an IPv6 address with its whole /64.
        """
        return network_of(self.address, _GUESSER_BITS)

    @property
    def is_local(self) -> bool:
        """True if a program on this machine sent the request, to ``localhost`` or a loopback IP.

        The host name is checked because of DNS rebinding. In this attack, the name of an attacker's
        page resolves to this machine, so that a browser here sends the page's requests to the
        service. These requests have the page's name as their host.
        """
        near = self.address is not None and self.address.is_loopback
        return near and not self.forwarded and is_loopback(host_of(self.host))


def origin_of(scope: Scope, trusted_proxies: Sequence[Network]) -> Origin:
    """Return the origin of a request: the client's address, and the scheme and host.

    Args:
        scope: the ASGI scope of the request.
        trusted_proxies: the networks of the proxies in front of the service; may be empty.
            ``X-Forwarded-…`` headers count only if one of these proxies sent them.
    """
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:  # ASGI: the names are in lower case
        headers.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    peer = scope["client"][0] if scope.get("client") else ""
    scheme, host = scope.get("scheme", "http"), headers.get("host", [""])[0]
    if in_networks(peer, trusted_proxies):
        hops = ",".join(headers.get("x-forwarded-for", ()))
        peer = client_address(peer, hops, lambda hop: in_networks(hop, trusted_proxies))
        scheme = _last(headers, "x-forwarded-proto") or scheme
        host = _last(headers, "x-forwarded-host") or host
    forwarded = any(name in headers for name in _FORWARDING)
    return Origin(scheme.lower(), host.lower(), parse_address(peer), forwarded)


def host_of(text: str) -> str:
    """Return the host name or IP address in ``HOST`` or ``HOST:PORT``, without the port.

    The result is empty if the text has a different form.
    """
    if not text.isprintable() or set(text) & set("/@?#\\ "):
        return ""
    try:
        return urlsplit(f"//{text}").hostname or ""
    except ValueError:
        return ""


def local_path(text: str) -> str:
    """Return ``text`` if it is a path on this service and safe to redirect to; else return ``/``.

    A text is not safe if a browser could read it as the address of a different host. Browsers read
    a backslash as a slash and two slashes as the start of a host, and drop tabs and line ends.
    """
    fine = text.startswith("/") and text[1:2] not in {"/", "\\"} and "\\" not in text
    return text if fine and text.isascii() and text.isprintable() and len(text) < 1000 else "/"


def _last(headers: dict[str, list[str]], name: str) -> str:
    """Return the last value of a header, which the nearest proxy added; empty if it is missing.

    ``headers`` maps the lower-case name of each header to its values. A value can be a list with
    commas: then the last item counts.
    """
    return ",".join(headers.get(name, ())).rpartition(",")[2].strip()
