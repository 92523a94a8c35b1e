"""The evidence: all data that alert rules evaluate, and the types of its rows.

Evidence is probe results (``monitor.evidence``), reports of clients, and the state of the
monitoring service. ``alerts.evidence`` reads the last two from the store.
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
    from pathlib import Path

    from certpin_watch.settings import AlertSettings
    from certpin_watch.snapshot import MonitoredPinSet
    from certpin_watch.store.queries.capacity import Queue, Sweep, Window
    from certpin_watch.store.queries.reports import HostChain

HISTORY = 7 * DAY  # the time before now from which the usual number of failures is derived

# The parts of the evidence that can be missing.
EvidencePart = Literal["probes", "reports", "service", "failures"]


class ReportedFailures(NamedTuple):
    """A group of identical failure reports of the last day.

    All fields except ``reports`` and ``first_at`` are unverified claims of clients.

    Attributes:
        host: the host to which the clients connected.
        served: the digest of the chain that the server sent; empty if none is stored.
        verified: the digest of the chain that the clients verified; empty if there is none.
        pin_set: the name of the clients' pin set; empty if unknown.
        version: the version of this pin set; 0 if unknown.
        app: the name of the app.
        app_version: the version of the app.
        network: the kind of connection that the clients reported, such as "wifi"; if they reported
            none, the IP network that sent the reports.
        decision: the decision of the clients: "refuse", "report" (accept and report) or "accept".
        reason: the reason of the failure, such as "mismatch" or "untrusted".
        reports: the number of reports in the group.
        first_at: when the first of them arrived, in Unix seconds.
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
        """True if the platform of the client (its TLS library) refused the served chain.

        Then the connection usually failed for that reason, and not because of the pins.
        """
        return self.reason in UNVERIFIED

    @property
    def chain(self) -> bytes:
        """The digest of the chain to compare with pins.

        It is the chain that the client verified; or the chain that the server sent, if the client
        verified none.
        """
        return self.verified or self.served


class VersionHolders(NamedTuple):
    """A pin-set version and an app, with the number of clients that reported both in one day.

    ``app`` and ``app_version`` are those of the clients; ``version`` is the version of the pin set.
    ``clients`` is the number of today or that of yesterday, whichever is larger.
    """

    pin_set: str
    version: int
    app: str
    app_version: str
    clients: int


class SignedRole(NamedTuple):
    """A role that signs the published pin sets of a pin file, and the expiry of its signature.

    TUF (The Update Framework) defines the roles, such as ``timestamp``.

    ``path`` is the pin file. ``expires`` is in Unix seconds. ``soon`` is True if less than a third
    of the signature's lifetime is left.
    """

    pin_set: str
    path: Path  # of the pin file
    role: str
    expires: int
    soon: bool


@dataclass(frozen=True)
class ReportEvidence:
    """The data about reports of clients that the alert rules evaluate.

    A *live version* of a pin set is the version in the pin file, or one that clients may still
    hold. A *share* is a monitored host, or all names that one pattern covers (see
    ``snapshot.Patterns``). A *network* is an address range of an internet provider's size (IPv4
    /16, IPv6 /32). A *pair* is a host and the digest of a chain that was reported for it.

    Attributes:
        sets: the monitored pin sets.
        groups: the failure reports of the last day, identical ones counted together.
        holders: the number of clients that hold each version of a pin set.
        hours: the number of failure reports by host and hour (its first second), over seven days.
        heard: the hours in which any report arrived, each as its first second. It has at least
            those of the week that ends with the last report.
        accepted: the pairs in which the chain matches the pins of a live version.
        refused: the pairs in which the chain matches no live version. Pairs that are neither here
            nor in ``accepted`` were not checked.
        issuers: the issuer of each chain's leaf, by the digest of the chain.
        sighted: the pairs in which a probe observed the chain on the host.
        issued: the pairs of ``refused`` with a chain that a trusted authority issued for the host.
        networks: the networks from which each chain was reported, by share and digest of the chain.
            The digest is empty for failures without a chain.
        spread: the number of networks from which any report came, by share.
        share_of: a function that returns the name of the share to which a host belongs.
        pattern: a function that returns the pattern that covers a host, or an empty text.
    """

    sets: tuple[MonitoredPinSet, ...] = ()
    groups: tuple[ReportedFailures, ...] = ()
    holders: tuple[VersionHolders, ...] = ()
    hours: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    heard: tuple[int, ...] = ()
    accepted: frozenset[HostChain] = frozenset()
    refused: frozenset[HostChain] = frozenset()
    issuers: Mapping[bytes, str] = field(default_factory=dict)
    sighted: frozenset[HostChain] = frozenset()
    issued: frozenset[HostChain] = frozenset()
    networks: Mapping[HostChain, frozenset[str]] = field(default_factory=dict)
    spread: Mapping[str, int] = field(default_factory=dict)
    share_of: Callable[[str], str] = field(default=str, compare=False)
    pattern: Callable[[str], str] = field(default=str, compare=False)

    def pin_set_for(self, host: str) -> MonitoredPinSet | None:
        """Return the first monitored pin set with a policy for a host.

        Returns:
            None if no pin set has one, or the host name is invalid.
        """
        return next((monitored for monitored in self.sets if _covers(monitored, host)), None)

    def is_strange(self, group: ReportedFailures) -> bool:
        """Return True if the chain in a group of reports is refused, and no probe observed it.

        The chain was compared with the pins of every version that clients may hold, and none
        accepts it. A chain that can't be read was not compared, and is not strange.
        """
        observed = {(group.host, group.served), (group.host, group.verified)} & self.sighted
        return (group.host, group.chain) in self.refused and not observed

    def count_networks(self, host: str, chains: Iterable[bytes]) -> int:
        """Return the number of internet providers' networks that reported these chains for a host.

        Reports about all hosts of the host's share (all names that one pattern covers) are counted,
        because networks are stored by share, and not by host.

        Args:
            host: the host.
            chains: the digests of the chains.
        """
        share = self.share_of(host)
        networks = (self.networks.get((share, chain), frozenset()) for chain in chains)
        return len(frozenset().union(*networks))

    def count_holders(self, pin_set: str) -> int | None:
        """Count the clients that hold any version of a pin set; None if no client reported one."""
        clients = [entry.clients for entry in self.holders if entry.pin_set == pin_set]
        return sum(clients) if clients else None


@dataclass(frozen=True)
class ServiceEvidence:
    """The data about the monitoring service itself that the alert rules evaluate.

    Attributes:
        disk: the free part of the disk that has the store, in per cent; None if unknown.
        failing: the last error of each notification service that fails, by its name.
        failures: a description of the failure of each alert rule, or source of data, that failed.
        queue: the state of the NATS stream in which reports wait to be stored; None without NATS.
        full: the names of storage limits that reports have nearly reached.
        sweeps: the result of the last deletion of expired rows, for each kind of row.
        window: for how long a repeated report is recognised; None if unknown.
        roles: when the TUF signatures on the published pin sets expire.
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
    """All data that the alert rules evaluate, read at one time.

    Attributes:
        now: the time, in Unix seconds.
        limits: the thresholds of the rules, from the settings.
        probes: the state of the probed servers.
        reports: the reports of clients.
        service: the state of the monitoring service.
        missing: the names of the parts, such as "reports", that are empty because they could not be
            read.
        starting: True while the first round of probes is possibly unfinished, after this process
            started or its clock jumped. Some rules are skipped then (``AlertRule.after_start``).
    """

    now: int
    limits: AlertSettings
    probes: ProbeEvidence = field(default_factory=ProbeEvidence)
    reports: ReportEvidence = field(default_factory=ReportEvidence)
    service: ServiceEvidence = field(default_factory=ServiceEvidence)
    missing: frozenset[EvidencePart] = frozenset()
    starting: bool = False


def _covers(monitored: MonitoredPinSet, host: str) -> bool:
    try:
        return monitored.pins.policy_for(host) is not None
    except HostError:
        return False
