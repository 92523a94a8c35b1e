"""The real server to which a lab relays, for ``certpin prove`` and ``certpin lab serve``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from certpin.cli.options import anchors_pem
from certpin.errors import ConfigError
from certpin.lab.server.protocols import PROTOCOLS
from certpin.lab.upstream import Upstream, platform_roots
from certpin.pinfile import PinSet
from certpin.pins import HostPattern, normalise
from certpin.probe import Endpoint, observe, probe_context, served_at, split_address

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from certpin.pins import HostPolicy


def find_upstream(
    host: str, protocol: str, pin_file: Path | None, address: str | None, ca_file: Path | None
) -> Upstream | None:
    """Connect to the user's real server of a host, and return its address, chain and pins.

    Args:
        host: the host under test.
        protocol: the protocol of the lab.
        pin_file: the real pins, which also name the server.
        address: the server, if it is not that of the pin file.
        ca_file: trust only these authorities.

    Returns:
        The server; None without a pin file and an address: then the lab makes its own.

    Raises:
        ConfigError: the pin file does not cover the host.
        ProbeError: the server does not answer.
    """
    if not pin_file and not address:
        return None
    pins = PinSet.load(pin_file) if pin_file else None
    policy = pins.policy_for(host) if pins else None
    if pins and not policy:
        raise ConfigError(f"{pin_file} has no pins for {host}", fix="name its host: --host")
    default = _server(host, policy) if policy and not address else host
    connect = split_address(address or default, PROTOCOLS[protocol].port)
    roots = anchors_pem(ca_file)
    observation = observe(Endpoint(host, connect[1], connect), probe_context(roots))
    pem = roots.encode() if roots else platform_roots()
    # The observed address, because the name may resolve differently later.
    relayed = (observation.address, connect[1])
    return Upstream(relayed, observation.served, pem, pins, pin_file)


def find_upstreams(
    hosts: Sequence[str], pin_file: Path | None, given: Sequence[str], ca_file: Path | None
) -> dict[str, Upstream]:
    """Connect to the user's real server of each host under test.

    Args:
        hosts: the hosts.
        pin_file: the real pins.
        given: the values of ``--upstream``: addresses, with ``HOST=`` if there are several hosts.
        ca_file: trust only these authorities.

    Returns:
        The server of each host; empty without pins and addresses.

    Raises:
        click.UsageError: an address has no host, or a host that is not under test.
    """
    addresses = _by_host(hosts, given)
    if not (pin_file or addresses):
        return {}
    found = {
        host: find_upstream(
            host, "http", pin_file, addresses.get(host, None if pin_file else host), ca_file
        )
        for host in hosts
    }
    return {host: upstream for host, upstream in found.items() if upstream}


def _server(host: str, policy: HostPolicy) -> str:
    """Return the address of the host's first server in the pin file, or else the host's name."""
    for name, server in served_at(policy):
        if name == host:
            return server.address_text(HostPattern("", host)) or host
    return host


def _by_host(hosts: Sequence[str], given: Sequence[str]) -> dict[str, str]:
    addresses: dict[str, str] = {}
    for text in given:
        name, named, address = text.partition("=")
        if not named and len(hosts) > 1:
            raise click.UsageError(f"name the host of the server {text}: --upstream HOST={text}")
        host = normalise(name) if named else hosts[0]
        if host not in hosts:
            raise click.UsageError(f"--upstream {text}: {host} is not under test: --host {host}")
        if host in addresses:
            raise click.UsageError(f"--upstream names two servers of {host}")
        addresses[host] = address if named else text
    return addresses
