"""Whom the monitor asks: the hosts of the watched pin sets, each by the ways that lead to it.

A pin file holds names. Ports, other addresses and STARTTLS come from ``[[monitor.host]]``. Hosts
that stand in a version in the field alone are asked too: clients that hold it still pin them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from certpin.pins.hosts import is_address
from certpin.probe import HTTPS, join_address
from certpin.watch.monitor.settings import HostSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from certpin.pins import HostPattern, HostPolicy, PinSet, TrustAnchors
    from certpin.watch.monitor.settings import Settings
    from certpin.watch.watched import WatchedSet


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
    """Those that the settings name for it, else the name of the pattern itself."""
    if not named and policy.pattern.wildcard != "*.":
        named = [HostSettings(policy.pattern.name)]
    for each in named:
        yield Target(
            host=each.name,
            port=each.port or HTTPS,
            connect=each.connect,
            starttls=each.starttls,
            trust=policy.trust,
            every_address=_each_address(each, settings),
            vantages=each.vantages or settings.vantages,
        )


def _each_address(host: HostSettings, settings: Settings) -> bool:
    """Nobody looks up an address, nor what ``connect`` says instead of a name."""
    wanted = host.every_address or settings.every_address
    called = host.connect[0] if host.connect else host.name
    return wanted and not is_address(called)
