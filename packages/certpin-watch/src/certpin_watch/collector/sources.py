"""Where a report comes from: an address, cut to a prefix before it is stored."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from certpin_watch.addresses import client_address, in_networks, network_of, parse_address

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin_watch.addresses import Network
    from certpin_watch.collector.settings import Settings

_REMEMBERED = 4096  # addresses whose prefix is not reckoned again


class Sources:
    """Addresses to prefixes. ``X-Forwarded-For`` is believed from ``trusted`` proxies alone."""

    def __init__(self, settings: Settings, trusted: tuple[Network, ...] = ()) -> None:
        self._trusted = trusted
        self._bits = {4: settings.ipv4_prefix, 6: settings.ipv6_prefix}
        self._cut: Callable[[str], str] = lru_cache(_REMEMBERED)(self._reckon)
        self._is_trusted: Callable[[str], bool] = lru_cache(_REMEMBERED)(self._look)

    def prefix(self, peer: str, forwarded: str) -> str:
        """The network of whoever sent it, as in ``192.0.2.0/24``; empty where that is not known."""
        if not self._trusted:
            return self._cut(peer)
        return self._cut(client_address(peer, forwarded, self._is_trusted))

    def _reckon(self, text: str) -> str:
        return network_of(parse_address(text), self._bits)

    def _look(self, text: str) -> bool:
        return in_networks(text, self._trusted)
