"""Where a report comes from: an address, cut to a prefix before anybody sees it."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.watch.collector.settings import Network, Settings

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_REMEMBERED = 4096  # addresses whose prefix is not reckoned again
_MOST_HOPS = 20  # of X-Forwarded-For, from the right
_LONGEST = 64  # characters of an address, brackets and port included


class Sources:
    """Addresses to prefixes. ``X-Forwarded-For`` is believed from trusted proxies alone."""

    def __init__(self, settings: Settings) -> None:
        self._trusted = settings.trusted_proxies
        self._bits = {4: settings.ipv4_prefix, 6: settings.ipv6_prefix}
        self._cut: Callable[[str], str] = lru_cache(_REMEMBERED)(self._reckon)
        self._is_trusted: Callable[[str], bool] = lru_cache(_REMEMBERED)(self._look)

    def prefix(self, peer: str, forwarded: str) -> str:
        """The network of whoever sent it, as in ``192.0.2.0/24``; empty where that is not known.

        Each proxy adds who asked it at the right: the first from there that is no proxy of ours
        is the client. What stands to the left of it was written by whoever liked to.
        """
        if not (self._trusted and forwarded and self._is_trusted(peer)):
            return self._cut(peer)
        for hop in reversed(forwarded.rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]):
            peer = hop.strip()[:_LONGEST]
            if not self._is_trusted(peer):
                break
        return self._cut(peer)

    def _reckon(self, text: str) -> str:
        if (address := _address(text)) is None:
            return ""
        network: Network = ipaddress.ip_network((address, self._bits[address.version]), False)
        return str(network)

    def _look(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self._trusted)


def _address(text: str) -> Address | None:
    """An IPv4 address that is written as IPv6 is one of IPv4 (RFC 4291, 2.5.5.2).

    Some proxies write the port, too: ``192.0.2.1:4711``, ``[2001:db8::1]:4711``.
    """
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
