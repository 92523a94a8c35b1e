"""The two ends of the WireGuard tunnel: their keys, and the configuration of the device's end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from certpin.lab.transport.addresses import PEER, PEER6, RESOLVER
from certpin.lab.transport.wireguard import wireguard

if TYPE_CHECKING:
    from collections.abc import Callable

# Octets of a packet inside, which leave room for WireGuard's own and for IPv6 outside, on paths
# of 1360 and more (mobile networks); 1280 is what IPv6 needs inside (RFC 8200 section 5).
_MTU = 1280
_KEEPALIVE = 25  # seconds; as wg(8) advises behind a NAT


@dataclass(frozen=True)
class TunnelKeys:
    """The private keys of the lab and of the device, in WireGuard's base64."""

    lab: str = field(repr=False)
    peer: str = field(repr=False)

    @classmethod
    def make(cls, secret: Callable[[str, Callable[[], str]], str]) -> Self:
        """The keys, which ``secret`` keeps by name, or has kept. Raises ``LabError``."""
        new = wireguard().genkey
        return cls(secret("wireguard-lab", new), secret("wireguard-peer", new))

    @property
    def peer_public(self) -> str:
        """Whom the lab lets in."""
        return str(wireguard().pubkey(self.peer))

    def peer_configuration(self, host: str, port: int) -> str:
        """What the device gets, as wg-quick(8) reads it. It holds the device's private key."""
        endpoint = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return (
            "[Interface]\n"
            f"PrivateKey = {self.peer}\n"
            f"Address = {PEER}/32, {PEER6}/128\n"
            f"DNS = {RESOLVER}\n"
            f"MTU = {_MTU}\n"
            "\n"
            "[Peer]\n"
            f"PublicKey = {wireguard().pubkey(self.lab)}\n"
            "AllowedIPs = 0.0.0.0/0, ::/0\n"
            f"Endpoint = {endpoint}\n"
            f"PersistentKeepalive = {_KEEPALIVE}\n"
        )
