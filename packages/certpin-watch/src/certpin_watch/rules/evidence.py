"""The data that rules evaluate: probe results, reports of clients, and the service's own state.

Pure data. ``certpin_watch.alerts.evidence`` gathers it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from certpin.errors import HostError
from certpin.reports.model import UNVERIFIED
from certpin_watch.monitor.evidence import ProbeEvidence
from certpin_watch.store.identities import DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import timedelta

    from certpin_watch.snapshot import MonitoredPinSet
    from certpin_watch.store.queries.capacity import Queue, Sweep, Window
    from certpin_watch.store.report_evidence import HostChain

HISTORY = 7 * DAY  # the time before now from which the usual number of failures is derived


class RuleLimits(NamedTuple):
    """The limits of the rules over reports and the service, from ``[alerts]``.

    Attributes:
        few: reports below this number are ignored.
        networks: the number of networks that an unconfirmed claim needs to be critical.
        surge: the multiple of the usual number of failures that is a surge.
        silent: how long reports may be absent.
        disk: the smallest free share of the disk, in per cent.
    """

    few: int
    networks: int
    surge: int
    silent: timedelta
    disk: int


class ReportedFailures(NamedTuple):
    """Identical reports of the last day, counted. All of it is claims.

    ``first_at`` is when the first of them arrived by this machine's clock, in Unix seconds.
    """

    host: str
    served: bytes
    verified: bytes
    pin_set: str
    version: int
    app: str
    app_version: str
    network: str
    decision: str
    reason: str
    reports: int
    first_at: int = 0

    @property
    def unverified(self) -> bool:
        """Whether the client's platform refused the chain, so that pins had no part in it."""
        return self.reason in UNVERIFIED

    @property
    def chain(self) -> bytes:
        """The digest of the chain to check: the verified one, else the served one."""
        return self.verified or self.served


class VersionHolders(NamedTuple):
    """The number of clients that reported in a day that they hold a version, in an app."""

    pin_set: str
    version: int
    app: str
    app_version: str
    clients: int


class SignedRole(NamedTuple):
    """The expiry of a role's signature in the folder of signed sets beside a pin file."""

    pin_set: str
    role: str
    expires: int
    soon: bool


# The parts of the evidence that can be missing.
Source = Literal["probes", "reports", "service", "failures"]


@dataclass(frozen=True)
class ReportEvidence:
    """The reports of clients.

    Attributes:
        sets: the monitored pin sets.
        groups: the reports of the last day.
        holders: the clients of each version.
        hours: the failures of each host by hour (its first second), over ``HISTORY``.
        heard: the hours in which any report arrived.
        accepted: chains, with the host, that some live version accepts.
        strange: chains that no live version accepts. Chains in neither were not checked.
        issuers: the issuer of each chain's leaf.
        sighted: chains that a location observed.
        vouched: strange chains that a trusted authority issued for the host.
        networks: the providers' networks that reported a chain, or a failure without one (an empty
            digest), by the host's share and the chain.
        spread: the number of networks that reported anything, by share.
        share: the share of a host; see ``Patterns.share``.
        pattern: the pattern that covers a host, or an empty text.
    """

    sets: tuple[MonitoredPinSet, ...] = ()
    groups: tuple[ReportedFailures, ...] = ()
    holders: tuple[VersionHolders, ...] = ()
    hours: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    heard: tuple[int, ...] = ()
    accepted: frozenset[HostChain] = frozenset()
    strange: frozenset[HostChain] = frozenset()
    issuers: Mapping[bytes, str] = field(default_factory=dict)
    sighted: frozenset[HostChain] = frozenset()
    vouched: frozenset[HostChain] = frozenset()
    networks: Mapping[HostChain, frozenset[str]] = field(default_factory=dict)
    spread: Mapping[str, int] = field(default_factory=dict)
    share: Callable[[str], str] = field(default=str, compare=False)
    pattern: Callable[[str], str] = field(default=str, compare=False)

    def pin_set_for(self, host: str) -> MonitoredPinSet | None:
        """Return the first pin set that covers a host. An invalid host is in none."""
        return next((watched for watched in self.sets if _covers(watched, host)), None)

    def is_strange(self, group: ReportedFailures) -> bool:
        """Return True if only clients have seen the chain. An unreadable chain is not strange."""
        observed = {(group.host, group.served), (group.host, group.verified)} & self.sighted
        return (group.host, group.chain) in self.strange and not observed

    def count_networks(self, host: str, chains: Iterable[bytes]) -> int:
        """Count the networks that reported any of these chains for the share of a host."""
        share = self.share(host)
        networks = (self.networks.get((share, chain), frozenset()) for chain in chains)
        return len(frozenset().union(*networks))

    def count_holders(self, pin_set: str) -> int | None:
        """Count the clients that hold a pin set, or return None if no client reported it."""
        clients = [entry.clients for entry in self.holders if entry.pin_set == pin_set]
        return sum(clients) if clients else None


@dataclass(frozen=True)
class ServiceEvidence:
    """The state of the monitoring service itself.

    Attributes:
        disk: the free share of the store's disk in per cent, if known.
        failing: notification services that failed, with the last problem of each.
        failures: the parts that could not be evaluated, with the reason.
        queue: the stream in which reports wait to be counted.
        full: the limits that reports have nearly reached.
        sweeps: the last result of retention for each kind of row.
        window: the time for which repeated reports are recognised.
        roles: the signatures beside the pin files.
    """

    disk: float | None = None
    failing: Mapping[str, str] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    queue: Queue | None = None
    full: tuple[str, ...] = ()
    sweeps: tuple[Sweep, ...] = ()
    window: Window | None = None
    roles: tuple[SignedRole, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """Everything that the rules evaluate, at the Unix time ``now``.

    ``missing`` names the parts that could not be gathered; their fields are empty.
    """

    now: int
    limits: RuleLimits
    probes: ProbeEvidence = field(default_factory=ProbeEvidence)
    reports: ReportEvidence = field(default_factory=ReportEvidence)
    service: ServiceEvidence = field(default_factory=ServiceEvidence)
    missing: frozenset[Source] = frozenset()


def _covers(watched: MonitoredPinSet, host: str) -> bool:
    try:
        return watched.pins.policy_for(host) is not None
    except HostError:
        return False
