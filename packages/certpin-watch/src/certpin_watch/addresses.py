"""Addresses as sockets and proxies write them: pure. Which proxy is believed, and who asked it.

Collector and pages ask here, so that both take the same visitor for the same.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from socket import AF_INET, inet_pton
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MOST_HOPS = 20  # of X-Forwarded-For, from the right
_WIDE = {4: 16, 6: 32}  # bits that a provider's networks have, at least
_LONGEST = 64  # characters of an address, brackets and port included
_REMEMBERED = 1024  # addresses, and networks, that are not read again


def address_of(text: str) -> Address | None:
    """The address; ``None`` where it is none.

    One of IPv4 that is written as IPv6 is one of IPv4 (RFC 4291, 2.5.5.2): a socket for both shows
    it so. Some proxies write the port, too: ``192.0.2.1:4711``, ``[2001:db8::1]:4711``.
    """
    return _read(text) if len(text) <= _LONGEST else _reckon(text)


def _reckon(text: str) -> Address | None:
    try:  # the C library reads the usual form, four numbers and nothing else, as ipaddress does
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


# A request asks for one address several times: who it is, and whether that is a proxy of ours.
_read = lru_cache(_REMEMBERED)(_reckon)


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine's alone (RFC 6761, 6.3)."""
    name = host.lower().rstrip(".")
    address = address_of(name)
    if address is None:
        return name == "localhost" or name.endswith(".localhost")
    return address.is_loopback


def stays_here(host: str) -> bool:
    """Whether what is dialled, or listened on, by this name or address is this machine's alone.

    Of names, ``localhost`` is: whoever looks up one below it may ask the network, as glibc does,
    and be told anything.
    """
    return is_loopback(host) and not host.lower().rstrip(".").endswith(".localhost")


def is_in(text: str, networks: Sequence[Network]) -> bool:
    """Whether it is an address of one of these networks."""
    address = address_of(text)
    if address is not None:
        for network in networks:  # each report asks: no generator is made for it
            if address in network:
                return True
    return False


def who_asked(peer: str, forwarded: str, is_trusted: Callable[[str], bool]) -> str:
    """Who asked, as text: the peer, or whom a trusted one says it asks for (X-Forwarded-For).

    Each proxy adds who asked it at the right: the first from there that is no proxy of ours is the
    client. What stands to the left of it was written by whoever liked to.
    """
    if not forwarded or not is_trusted(peer):
        return peer
    for hop in reversed(forwarded.rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]):
        if not (said := hop.strip()[:_LONGEST]):
            continue
        peer = said
        if not is_trusted(peer):
            break
    return peer


def cut(address: Address | None, bits: dict[int, int]) -> str:
    """Its network, with so many bits for each version of IP: ``192.0.2.0/24``; empty for none."""
    if address is None:
        return ""
    hidden = address.max_prefixlen - bits[address.version]
    return _network(address.version, int(address) >> hidden << hidden, bits[address.version])


@lru_cache(_REMEMBERED)
def _network(version: int, first: int, bits: int) -> str:
    kind = ipaddress.IPv4Network if version == 4 else ipaddress.IPv6Network
    return str(kind((first, bits)))


def wide(network: str) -> str:
    """A network as one of a whole provider: IPv4 /16, IPv6 /32; empty for none."""
    try:
        found = ipaddress.ip_network(network)
    except ValueError:
        return ""
    bits = min(_WIDE[found.version], found.prefixlen)
    return str(found.supernet(new_prefix=bits))
