"""The real server behind a lab, where one is wanted: for ``certpin prove`` and ``certpin lab``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from certpin.cli.options import anchors_pem
from certpin.errors import ConfigError
from certpin.lab.session.protocols import PROTOCOLS
from certpin.lab.upstream import Upstream, platform_roots
from certpin.pinfile import PinSet
from certpin.pins import normalise
from certpin.probe import Endpoint, observe, probe_context, split_address

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def find_upstream(
    host: str, protocol: str, pin_file: Path | None, address: str | None, ca_file: Path | None
) -> Upstream | None:
    """The real server behind the lab, where one is wanted: what it presents is asked now."""
    if not pin_file and not address:
        return None
    connect = split_address(address or host, PROTOCOLS[protocol].port)
    roots = anchors_pem(ca_file)
    seen = observe(Endpoint(host, connect[1], connect), probe_context(roots))
    pins = PinSet.load(pin_file) if pin_file else None
    if pins and not pins.policy_for(host):
        raise ConfigError(f"{pin_file} has no pins for {host}", fix="name its host: --host")
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
        host: find_upstream(host, "http", pin_file, addresses.get(host, host), ca_file)
        for host in hosts
    }
    return {host: upstream for host, upstream in found.items() if upstream}


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
