"""The targets of probes: hosts, ports and addresses, from pin files and settings.

Ports, other addresses and STARTTLS come from the servers in the pin file, unless
``[[monitor.host]]`` of the settings has others. Hosts that occur only in a deployed version of a
pin set are probed too, because the clients that hold this version still pin them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from certpin.pins import HostServer
from certpin.pins.hosts import is_address
from certpin.probe import Endpoint, default_port, endpoint_at, join_address, served_at
from certpin_watch.settings import HostSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from certpin.pins import HostPattern, HostPolicy, PinSet, TrustAnchors
    from certpin_watch.settings import MonitorSettings
    from certpin_watch.snapshot import MonitoredPinSet


@dataclass(frozen=True)
class Target:
    """A server to probe, how to connect to it, and the locations that probe it.

    Attributes:
        host: the host name to connect to and to verify.
        port: the port.
        connect: a different address and port to connect to; None for those of the host.
        starttls: the STARTTLS protocol; empty for plain TLS.
        trust: the trust anchors to verify the chain with; None for the platform's roots.
        every_address: True to probe each IP address of the host separately.
        locations: the locations that probe the target.
    """

    host: str
    port: int
    connect: tuple[str, int] | None = None
    starttls: str = ""
    trust: TrustAnchors | None = None
    every_address: bool = False
    locations: tuple[str, ...] = ()

    @cached_property
    def way(self) -> str:
        """A text that describes how to connect and verify, and is part of the target's key.

        The text is empty for the usual case: plain TLS to one address of the host, verified with
        the platform's roots.
        """
        words = (
            f"at {join_address(*self.connect)}" if self.connect else "",
            f"starttls {self.starttls}" if self.starttls else "",
            f"trust {self.trust.digest.hex()[:16]}" if self.trust else "",
            "each address" if self.every_address else "",
        )
        return ", ".join(filter(None, words))

    def server(self, edge: str = "") -> HostServer:
        """Return the server that a probe connects to, as an entry of a pin file.

        ``edge`` is the probed IP address, if each address of the host is probed separately; else
        empty.
        """
        address, port = self.connect or (self.host, self.port)
        return HostServer(edge or address, port, self.starttls or None)

    def connect_options(self, edge: str = "") -> list[str]:
        """Return the options that make a command, such as ``certpin pin``, connect to the server.

        ``edge`` is the IP address to connect to, if each address of the host is probed separately;
        else empty.
        """
        words = []
        if edge or self.connect:
            address, port = self.connect or (edge, self.port)
            words += ["--connect", join_address(edge or address, port)]
        if self.starttls:
            words += ["--starttls", self.starttls]
        return words

    @property
    def key(self) -> tuple[str, int, str]:
        """The unique key of the target: host, port and ``way`` (how to connect and verify)."""
        return self.host, self.port, self.way


@dataclass(frozen=True)
class MonitoredPolicy:
    """A host policy (the pins of a host pattern), its pin set, and the targets to probe for it.

    Attributes:
        pin_set: the pin file, with the journal of its rotation.
        pins: the content of the pin file. If the file no longer has the policy, the content of the
            newest deployed version that has it.
        policy: the policy of a host pattern.
        targets: the servers to probe.
    """

    pin_set: MonitoredPinSet
    pins: PinSet
    policy: HostPolicy
    targets: tuple[Target, ...]


def monitored_policies(
    sets: Iterable[MonitoredPinSet], settings: MonitorSettings, now: datetime
) -> tuple[MonitoredPolicy, ...]:
    """Return every host policy (the pins of a host pattern), with the targets to probe for it.

    The policies are those of the pin files, and those that only an older version has, if clients
    may still hold that version. A policy for a wildcard has no targets if neither the pin file nor
    the settings name a host that the wildcard covers.

    Args:
        sets: the monitored pin sets.
        settings: the monitor's settings, with the hosts in ``[[monitor.host]]``.
        now: the current time, which decides which versions clients may still hold.
    """
    found = []
    for monitored in sets:
        by_pins: dict[int, dict[HostPattern, list[HostSettings]]] = {}
        for pins, policy in _policies(monitored, now):
            if id(pins) not in by_pins:
                by_pins[id(pins)] = _host_settings(pins, settings)
            named = by_pins[id(pins)].get(policy.pattern, [])
            targets = tuple(_targets(policy, named, settings))
            found.append(MonitoredPolicy(monitored, pins, policy, targets))
    return tuple(found)


def distinct_targets(policies: Iterable[MonitoredPolicy]) -> tuple[Target, ...]:
    """Return the servers to probe for all policies; targets with the same key are merged.

    There are several targets with the same key if several pin sets, or several tables
    ``[[monitor.host]]``, name one host. The merged target has the locations of all of them.
    """
    by_key: dict[tuple[str, int, str], Target] = {}
    for target in (target for policy in policies for target in policy.targets):
        known = by_key.setdefault(target.key, target)
        locations = tuple(dict.fromkeys((*known.locations, *target.locations)))
        if locations != known.locations:
            by_key[target.key] = replace(known, locations=locations)
    return tuple(by_key.values())


def server_words(targets: Iterable[Target], host: str) -> list[str]:
    """Return arguments that make a command, such as ``certpin check``, connect to a host's server.

    The arguments are the host, with its port if that isn't the default, and options. They are those
    of the first item of ``targets`` with this host. If there is none, the result is only the host.
    """
    target = next((target for target in targets if target.host == host), None)
    if target is None:
        return [host]
    address = host if target.port == default_port("") else join_address(host, target.port)
    return [address, *target.connect_options()]


def _policies(monitored: MonitoredPinSet, now: datetime) -> Iterator[tuple[PinSet, HostPolicy]]:
    """Yield the host policies of a monitored pin set, each with the version that contains it.

    First come the policies of the pin file, then those that only older versions have, if clients
    may still hold these versions.
    """
    seen = set()
    versions = [version.pins for version in reversed(monitored.alive(now))]
    for pins in (monitored.pins, *versions):
        for policy in pins.policies:
            if policy.pattern not in seen:
                seen.add(policy.pattern)
                yield pins, policy


def _host_settings(
    pins: PinSet, settings: MonitorSettings
) -> dict[HostPattern, list[HostSettings]]:
    """Return the tables ``[[monitor.host]]`` of the settings, grouped by host pattern.

    Each table is in the list of the pattern that covers its host. The patterns are those of the
    policies in ``pins``.
    """
    found: dict[HostPattern, list[HostSettings]] = defaultdict(list)
    for host in settings.hosts:
        if policy := pins.policy_for(host.name):
            found[policy.pattern].append(host)
    return found


def _targets(
    policy: HostPolicy, named: list[HostSettings], settings: MonitorSettings
) -> Iterator[Target]:
    """Yield the targets to probe for a policy.

    Args:
        policy: the policy of a host pattern.
        named: the tables ``[[monitor.host]]`` for its hosts. If there are none, the servers of the
            policy in the pin file are the targets.
        settings: the monitor's settings.
    """
    own = served_at(policy)
    for host in named or [HostSettings(name) for name in dict.fromkeys(name for name, _ in own)]:
        for endpoint in _endpoints(host, own):
            yield Target(
                host=endpoint.host,
                port=endpoint.port,
                connect=endpoint.connect,
                starttls=endpoint.starttls or "",
                trust=policy.trust,
                every_address=_every_address(host, endpoint, settings),
                locations=host.locations or settings.locations,
            )


def _endpoints(host: HostSettings, own: Iterable[tuple[str, HostServer]]) -> list[Endpoint]:
    """Return the endpoints to connect to for a host in ``[[monitor.host]]``.

    Args:
        host: the table of the host. If it has no port, address or STARTTLS, those of the servers in
            the pin file are used.
        own: the servers of the policy in the pin file, as pairs of host name and server.
    """
    if host.port or host.connect or host.starttls:
        port = host.port or default_port(host.starttls)
        return [Endpoint(host.name, port, host.connect, starttls=host.starttls or None)]
    servers = [server for name, server in own if name == host.name] or [HostServer()]
    return [endpoint_at(host.name, server) for server in servers]


def _every_address(host: HostSettings, endpoint: Endpoint, settings: MonitorSettings) -> bool:
    wanted = host.every_address or settings.every_address
    return wanted and not is_address(endpoint.address[0])  # an address is not resolved
