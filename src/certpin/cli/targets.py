"""Whom ``certpin check`` dials: the hosts of a pin file, by the ways that the user names.

A pin file holds names. Ports, other addresses and STARTTLS come from the command line.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.pins import HostPolicy, PinSet
    from certpin.probe import Endpoint
    from certpin.probe.contexts import Contexts

    # Without an endpoint there is nobody to ask: a wildcard, and no host was named for it.
    Target = tuple[HostPolicy, Endpoint | None]

_OPTIONS: tuple[Any, ...] = (
    click.option(
        "--host",
        "hosts",
        multiple=True,
        metavar="HOST[:PORT]",
        help="Dial this host: one that a wildcard of the file covers, or one on a port of its own. "
        "May be repeated.",
    ),
    click.option(
        "--connect",
        "connects",
        multiple=True,
        metavar="[HOST=]ADDRESS[:PORT]",
        help="Call this address for that host, or for all. May be repeated.",
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
    """How hosts are reached. Raises ``HostError`` and ``click.UsageError``."""

    def __init__(
        self, hosts: tuple[str, ...], connects: tuple[str, ...], starttls: tuple[str, ...]
    ) -> None:
        from certpin.probe import split_address

        self._named = [split_address(text, 0) for text in hosts]
        self._addresses = dict(map(assigned, connects))
        self._protocols = {host: _protocol(name) for host, name in map(assigned, starttls)}

    def policies(self, pins: PinSet) -> list[HostPolicy]:
        """The policies of the hosts that were named."""
        return list(self._by_policy(pins))

    @property
    def named(self) -> bool:
        """Whether the user named any."""
        return bool(self._named or self._addresses or self._protocols)

    def targets(self, pins: PinSet) -> list[Target]:
        """Whom to dial, in the order of the pin file."""
        named = self._by_policy(pins)
        targets = [
            target for policy in pins.policies for target in self._of(policy, named.get(policy, []))
        ]
        self._refuse_unused({endpoint.host for _, endpoint in targets if endpoint})
        return targets

    def _by_policy(self, pins: PinSet) -> dict[HostPolicy, list[tuple[str, int]]]:
        named: dict[HostPolicy, list[tuple[str, int]]] = {}
        for host, port in self._named:
            policy = pins.policy_for(host)
            if policy is None:
                raise click.UsageError(f"no policy of the pin file covers {host}")
            named.setdefault(policy, []).append((host, port))
        return named

    def _of(self, policy: HostPolicy, named: list[tuple[str, int]]) -> list[Target]:
        """The hosts that were named for a policy; else its own, which ``*.`` does not have."""
        if not named and policy.pattern.wildcard == "*.":
            return [(policy, None)]
        hosts = named or [(policy.pattern.name, 0)]
        return [(policy, self._endpoint(host, port)) for host, port in hosts]

    def _endpoint(self, host: str, port: int) -> Endpoint:
        from certpin.probe import HTTPS, PROTOCOLS, Endpoint, split_address

        starttls = self._protocols.get(host, self._protocols.get(_ALL))
        port = port or (PROTOCOLS[starttls].port if starttls else HTTPS)
        address = self._addresses.get(host, self._addresses.get(_ALL))
        connect = None if address is None else split_address(address, port)
        return Endpoint(host, port, connect, starttls=starttls)

    def _refuse_unused(self, dialled: set[str]) -> None:
        for host in (*self._addresses, *self._protocols):
            if host not in dialled and host != _ALL:
                raise click.UsageError(f"{host}= names a host that is not dialled")


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


def contexts_for(targets: Sequence[Target]) -> Contexts:
    """Make the contexts of all targets before the first of them is dialled."""
    from certpin.probe.contexts import Contexts

    contexts = Contexts()
    for policy, _ in targets:
        contexts.of(policy.trust)
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
