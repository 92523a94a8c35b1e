"""The real server behind a lab, where one is wanted: for ``certpin prove`` and ``certpin lab``."""

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
    """The real server behind the lab, where one is wanted: what it presents is asked now."""
    if not pin_file and not address:
        return None
    pins = PinSet.load(pin_file) if pin_file else None
    policy = pins.policy_for(host) if pins else None
    if pins and not policy:
        raise ConfigError(f"{pin_file} has no pins for {host}", fix="name its host: --host")
    own = _server(host, policy) if policy and not address else host
    connect = split_address(address or own, PROTOCOLS[protocol].port)
    roots = anchors_pem(ca_file)
    seen = observe(Endpoint(host, connect[1], connect), probe_context(roots))
    pem = roots.encode() if roots else platform_roots()
    where = (seen.address, connect[1])  # whatever a resolver says later
    return Upstream(where, seen.served, pem, pins, pin_file)


def find_upstreams(
    hosts: Sequence[str], pin_file: Path | None, given: Sequence[str], ca_file: Path | None
) -> dict[str, Upstream]:
    """Those of a lab with several hosts; none where neither pins nor addresses are given.

    ``given`` are addresses, each after ``HOST=`` where there are several hosts. Raises
    ``click.UsageError``.
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
    """The address of the first server that the pin file has for a host, or the host itself."""
    for name, server in served_at(policy):
        if name == host:
            return server.address_text(HostPattern("", host)) or host
    return host


def _by_host(hosts: Sequence[str], given: Sequence[str]) -> dict[str, str]:
    addresses: dict[str, str] = {}
    for text in given:
        name, named, address = text.partition("=")
        if not named and len(hosts) > 1:
            raise click.UsageError(f"say whose server {text} is: --upstream HOST={text}")
        host = normalise(name) if named else hosts[0]
        if host not in hosts:
            raise click.UsageError(f"--upstream {text}: {host} is not under test: --host {host}")
        if host in addresses:
            raise click.UsageError(f"--upstream names two servers of {host}")
        addresses[host] = address if named else text
    return addresses
