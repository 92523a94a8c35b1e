"""The servers that ``certpin check`` dials: those of the pin file, or ways that the user names."""

from __future__ import annotations

from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.hosts import host_option, select_policies

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from certpin.pins import HostPolicy, HostServer, PinSet
    from certpin.probe import ContextCache, Endpoint

    # Without an endpoint there is nobody to ask: a wildcard, and no host was named for it.
    Target = tuple[HostPolicy, Endpoint | None]

_OPTIONS: tuple[Any, ...] = (
    host_option,
    click.option(
        "--connect",
        "connects",
        multiple=True,
        metavar="[HOST=]ADDRESS[:PORT]",
        help="Call this address for that host, or for all, instead of the servers of the pin "
        "file. May be repeated.",
    ),
    click.option(
        "--starttls",
        multiple=True,
        metavar="[HOST=]PROTOCOL",
        help="Speak this protocol first with that host, or with all. May be repeated.",
    ),
)
_ALL = ""  # an option without HOST= is for every host


class Ways:
    """How hosts are reached: by the servers of the pin file, unless the user names other ways.

    Raises ``HostError`` and ``click.UsageError``.
    """

    def __init__(
        self, hosts: tuple[str, ...], connects: tuple[str, ...], starttls: tuple[str, ...]
    ) -> None:
        self._hosts = hosts
        self._addresses = dict(map(assigned, connects))
        self._protocols = {host: _protocol(name) for host, name in map(assigned, starttls)}

    @property
    def named(self) -> bool:
        """Whether the user named any."""
        return bool(self._hosts or self._addresses or self._protocols)

    def targets(self, pins: PinSet) -> list[Target]:
        """Whom to dial, in the order of the pin file."""
        chosen = select_policies(pins, self._hosts)
        targets = [target for policy in chosen for target in self._of(policy, chosen[policy])]
        self._refuse_unused(pins, chosen, {endpoint.host for _, endpoint in targets if endpoint})
        return targets

    def _of(self, policy: HostPolicy, named: list[tuple[str, int]]) -> list[Target]:
        """Each server of the hosts that were named for a policy; else each that it has."""
        from certpin.probe import served_at

        own = served_at(policy)
        wanted = named or list(dict.fromkeys((host, 0) for host, _ in own))
        endpoints = {
            self._endpoint(host, server): None
            for host, port in wanted
            for server in _servers(host, port, own)
        }
        return [(policy, endpoint) for endpoint in endpoints] or [(policy, None)]

    def _endpoint(self, host: str, server: HostServer) -> Endpoint:
        from certpin.probe import endpoint_at, split_address

        starttls = self._protocols.get(host, self._protocols.get(_ALL))
        if starttls:
            server = replace(server, starttls=starttls)
        endpoint = endpoint_at(host, server)
        address = self._addresses.get(host, self._addresses.get(_ALL))
        if address is None:
            return endpoint
        return replace(endpoint, connect=split_address(address, endpoint.port), region="")

    def _refuse_unused(
        self, pins: PinSet, chosen: Collection[HostPolicy], dialled: set[str]
    ) -> None:
        """A way to a host that is not dialled is a mistake, unless --host leaves that host out."""
        for host in (*self._addresses, *self._protocols):
            if host in dialled or host == _ALL:
                continue
            policy = pins.policy_for(host)
            if policy is None or policy in chosen:
                raise click.UsageError(f"{host}= names a host that is not dialled")


def _servers(host: str, port: int, own: Iterable[tuple[str, HostServer]]) -> list[HostServer]:
    """The servers of a host; with a port, those at it, or its own name there."""
    from certpin.pins import HostServer
    from certpin.probe import default_port

    servers = [server for name, server in own if name == host] or [HostServer()]
    if not port:
        return servers
    at_port = [each for each in servers if (each.port or default_port(each.starttls)) == port]
    return at_port or [HostServer(port=port)]


def ways_options(command: Any) -> Any:
    """Give a command the options of ``Ways``, and one argument, ``ways``, with them all."""

    @wraps(command)
    def with_ways(
        hosts: tuple[str, ...], connects: tuple[str, ...], starttls: tuple[str, ...], **others: Any
    ) -> Any:
        return command(ways=Ways(hosts, connects, starttls), **others)

    wrapped: Any = with_ways
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def contexts_for(targets: Sequence[Target]) -> ContextCache:
    """Make the contexts of all targets before the first of them is dialled."""
    from certpin.probe import ContextCache

    contexts = ContextCache()
    for policy, _ in targets:
        contexts.get(policy.trust)
    return contexts


def assigned(text: str) -> tuple[str, str]:
    """Read ``HOST=VALUE``, or ``VALUE`` for all hosts."""
    from certpin.pins import normalise

    host, equals, value = text.rpartition("=")
    return (normalise(host) if equals else _ALL), value


def _protocol(name: str) -> str:
    from certpin.probe import PROTOCOLS

    if name not in PROTOCOLS:
        raise click.UsageError(f"{name!r} is not one of {', '.join(sorted(PROTOCOLS))}")
    return name
