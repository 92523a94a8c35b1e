"""The WireGuard tunnel of an interactive lab: its keys, and the server inside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from certpin.lab.device.connection import DeviceConnection, ObservedConnection, routed_connection
from certpin.lab.device.page import HOST
from certpin.lab.server.dns import PEER, PEER6, RESOLVER, Addresses, LabResolver
from certpin.lab.server.wireguard import WireGuard, wireguard

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab.device.page import Page
    from certpin.lab.device.schedule import Schedule
    from certpin.lab.server.conversation import Conversation
    from certpin.lab.server.proxy import Destination

# Bytes of an inner packet. With the headers of WireGuard and IPv6 it fits paths with an MTU of
# 1360 (mobile networks), and inner IPv6 needs at least 1280 (RFC 8200 section 5).
_MTU = 1280
_KEEPALIVE = 25  # seconds; as wg(8) advises behind a NAT


@dataclass(frozen=True)
class TunnelKeys:
    """The private keys of the lab and of the device, as WireGuard's base64."""

    lab: str = field(repr=False)
    peer: str = field(repr=False)

    @classmethod
    def make(cls, secret: Callable[[str, Callable[[], str]], str]) -> Self:
        """Load the keys, or create them.

        Args:
            secret: returns the secret stored under a name, and stores a new one if there is none.

        Raises:
            LabError: the package mitmproxy_rs is missing.
        """
        new = wireguard().genkey
        return cls(secret("wireguard-lab", new), secret("wireguard-peer", new))

    @property
    def peer_public(self) -> str:
        """The public key of the device, the only peer that the lab accepts."""
        return str(wireguard().pubkey(self.peer))

    def peer_configuration(self, host: str, port: int) -> str:
        """Return the device's configuration for wg-quick(8), with its private key."""
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


def arrival(
    schedule: Schedule, page: Page, destination: Destination
) -> ObservedConnection | DeviceConnection:
    """Return the conversation that serves a connection to this destination inside the tunnel."""
    if destination.host == HOST:
        return DeviceConnection(schedule, page)
    return routed_connection(schedule, destination)


def tunnel(schedule: Schedule, page: Page) -> WireGuard:
    """Return the WireGuard server of the lab, not started yet.

    Raises:
        LabError: a package is missing.
    """
    addresses = Addresses()

    def find(host: str) -> str | None:
        return addresses.allot(host) if host == HOST or schedule.tests(host) else None

    def make(destination: Destination) -> Conversation:
        return arrival(schedule, page, destination)

    return WireGuard(make, LabResolver(find), addresses, _report_end)


def _report_end(conversation: Conversation) -> None:
    if isinstance(conversation, (ObservedConnection, DeviceConnection)):
        conversation.ended()
