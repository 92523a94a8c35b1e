"""Where to dial: the name that is meant, and the address that is called."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from certpin.pins.servers import HostServer, join_address, split_address
from certpin.probe.starttls import PROTOCOLS

if TYPE_CHECKING:
    from certpin.pins import HostPolicy

__all__ = [
    "HTTPS",
    "Endpoint",
    "default_port",
    "endpoint_at",
    "join_address",
    "served_at",
    "split_address",
]

HTTPS = 443


@dataclass(frozen=True)
class Endpoint:
    """A server to ask. ``host`` is normalised, and is the name that its certificate must carry.

    ``connect`` is another address and port to call, as curl's ``--connect-to``; ``server_name``
    another name to ask for and to verify; ``starttls`` a protocol of ``PROTOCOLS``. ``region`` is
    the label of the server in the pin file.
    """

    host: str
    port: int = HTTPS
    connect: tuple[str, int] | None = None
    server_name: str | None = None
    starttls: str | None = None
    region: str = field(default="", compare=False)

    @property
    def address(self) -> tuple[str, int]:
        """What is called."""
        return self.connect or (self.host, self.port)

    @property
    def name(self) -> str:
        """What is asked for in the handshake, and verified."""
        return self.server_name or self.host

    def __str__(self) -> str:
        return join_address(self.host, self.port)


def default_port(starttls: str | None) -> int:
    """The port of a server that names none: 443, or that of the STARTTLS protocol."""
    return PROTOCOLS[starttls].port if starttls else HTTPS


def endpoint_at(host: str, server: HostServer) -> Endpoint:
    """How to ask a server for a normalised host."""
    port = server.port or default_port(server.starttls)
    connect = (server.address, port) if server.address not in {"", host} else None
    return Endpoint(host, port, connect, starttls=server.starttls, region=server.region)


def served_at(policy: HostPolicy) -> tuple[tuple[str, HostServer], ...]:
    """Each server of a policy, after the name to ask it for.

    A policy without servers is served at its own name; a ``*.`` wildcard has none.
    """
    servers = policy.servers or (HostServer(),)
    named = ((server.name_for(policy.pattern), server) for server in servers)
    return tuple((name, server) for name, server in named if name is not None)
