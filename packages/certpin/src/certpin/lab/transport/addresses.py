"""The addresses inside the tunnel: one for each host under test, none of which exists elsewhere.

A separate address identifies the requested host, even if a client sends no name in its
ClientHello. All are of 198.18.0.0/15, which is routed nowhere (RFC 2544, RFC 6890): so they are
neither those of a real server, nor those of a home's or a company's network.
"""

from __future__ import annotations

import ipaddress

PEER = "198.18.0.2"  # the device's own
PEER6 = "fd63:6572:7470:696e::2"  # and in IPv6, so that none goes around (a ULA, RFC 4193)
RESOLVER = "198.18.0.53"

_FIRST = int(ipaddress.IPv4Address("198.19.0.1"))
# A device that asks for ever new names of a pattern fills no memory.
_MOST = 4096


class Addresses:
    """Assigns addresses to hosts, and finds the host of an address."""

    def __init__(self) -> None:
        self._addresses: dict[str, str] = {}
        self._hosts: dict[str, str] = {}

    def allot(self, host: str) -> str:
        """Return the address of a host. Beyond the limit, hosts share the last one."""
        if host not in self._addresses and len(self._addresses) < _MOST:
            address = str(ipaddress.IPv4Address(_FIRST + len(self._addresses)))
            self._addresses[host] = address
            self._hosts[address] = host
        return self._addresses.get(host, str(ipaddress.IPv4Address(_FIRST + _MOST - 1)))

    def host(self, address: str) -> str:
        """Return the host of an address; the address itself if it was not allotted."""
        return self._hosts.get(address, address)
