"""Whom the monitor asks: the hosts of the watched pin sets, each by the ways that lead to it.

Ports, other addresses and STARTTLS come from the servers of the pin file, unless
``[[monitor.host]]`` names other ways. Hosts that only a version in the field has are asked too:
clients that hold it still pin them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from certpin.pins import HostServer
from certpin.pins.hosts import is_address
from certpin.probe import Endpoint, default_port, endpoint_at, join_address, served_at
from certpin_watch.monitor.settings import HostSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from certpin.pins import HostPattern, HostPolicy, PinSet, TrustAnchors
    from certpin_watch.monitor.settings import Settings
    from certpin_watch.snapshot import WatchedSet


@dataclass(frozen=True)
class Target:
    """A way to a host, and where from it is asked.

    ``trust`` are the anchors that it is verified against, ``None`` for the platform's roots.
    """

    host: str
    port: int
    connect: tuple[str, int] | None = None
    starttls: str = ""
    trust: TrustAnchors | None = None
    every_address: bool = False
    vantages: tuple[str, ...] = ()

    @cached_property
    def way(self) -> str:
        """What tells the ways to one host and port apart, in words; empty for the plain one."""
        words = (
            f"at {join_address(*self.connect)}" if self.connect else "",
            f"starttls {self.starttls}" if self.starttls else "",
            f"trust {self.trust.digest.hex()[:16]}" if self.trust else "",
            "each address" if self.every_address else "",
        )
        return ", ".join(filter(None, words))

    @property
    def key(self) -> tuple[str, int, str]:
        """What tells it from other targets."""
        return self.host, self.port, self.way


@dataclass(frozen=True)
class Charge:
    """A policy that is watched over, with the pin set that holds it, and the ways to its hosts.

    ``pins`` is the pin file, or for a host that the file has no more the highest version alive.
    """

    watched: WatchedSet
    pins: PinSet
    policy: HostPolicy
    targets: tuple[Target, ...]


def charges(sets: Iterable[WatchedSet], settings: Settings, now: datetime) -> tuple[Charge, ...]:
    """Every policy of every set, with its targets. A wildcard may have none."""
    found = []
    for watched in sets:
        ways: dict[int, dict[HostPattern, list[HostSettings]]] = {}
        for pins, policy in _policies(watched, now):
            if id(pins) not in ways:
                ways[id(pins)] = _ways(pins, settings)
            named = ways[id(pins)].get(policy.pattern, [])
            targets = tuple(_targets(policy, named, settings))
            found.append(Charge(watched, pins, policy, targets))
    return tuple(found)


def targets_of(found: Iterable[Charge]) -> tuple[Target, ...]:
    """Each way once, whatever number of pin sets have it; asked from all that any wants."""
    merged: dict[tuple[str, int, str], Target] = {}
    for target in (each for charge in found for each in charge.targets):
        merged.setdefault(target.key, target)
    return tuple(merged.values())


def _policies(watched: WatchedSet, now: datetime) -> Iterator[tuple[PinSet, HostPolicy]]:
    """Those of the file, then those that only clients still have, of the highest version."""
    seen = set()
    versions = [each.pins for each in reversed(watched.alive(now))]
    for pins in (watched.pins, *versions):
        for policy in pins.policies:
            if policy.pattern not in seen:
                seen.add(policy.pattern)
                yield pins, policy


def _ways(pins: PinSet, settings: Settings) -> dict[HostPattern, list[HostSettings]]:
    """What the settings name, by the policy that covers it."""
    found: dict[HostPattern, list[HostSettings]] = defaultdict(list)
    for each in settings.hosts:
        if policy := pins.policy_for(each.name):
            found[policy.pattern].append(each)
    return found


def _targets(policy: HostPolicy, named: list[HostSettings], settings: Settings) -> Iterator[Target]:
    """The ways that the settings name for it, else the servers of the policy."""
    own = served_at(policy)
    for each in named or [HostSettings(name) for name in dict.fromkeys(name for name, _ in own)]:
        for endpoint in _endpoints(each, own):
            yield Target(
                host=endpoint.host,
                port=endpoint.port,
                connect=endpoint.connect,
                starttls=endpoint.starttls or "",
                trust=policy.trust,
                every_address=_each_address(each, endpoint, settings),
                vantages=each.vantages or settings.vantages,
            )


def _endpoints(host: HostSettings, own: Iterable[tuple[str, HostServer]]) -> list[Endpoint]:
    """The one way that the settings describe; if they only name the host, its servers."""
    if host.port or host.connect or host.starttls:
        port = host.port or default_port(host.starttls)
        return [Endpoint(host.name, port, host.connect, starttls=host.starttls or None)]
    servers = [server for name, server in own if name == host.name] or [HostServer()]
    return [endpoint_at(host.name, server) for server in servers]


def _each_address(host: HostSettings, endpoint: Endpoint, settings: Settings) -> bool:
    """Nobody looks up an address, nor what ``connect`` says instead of a name."""
    wanted = host.every_address or settings.every_address
    return wanted and not is_address(endpoint.address[0])
