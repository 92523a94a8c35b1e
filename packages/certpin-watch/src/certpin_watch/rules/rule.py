"""Alert rules, their findings, and the evidence that they evaluate.

The evidence is pure data: probe results, reports of clients, and the service's own state.
``certpin_watch.alerts.evidence`` gathers it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from certpin.errors import HostError
from certpin.reports.model import UNVERIFIED
from certpin_watch.monitor.evidence import ProbeEvidence
from certpin_watch.store.identities import DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from certpin_watch.monitor.evidence import PolicyEvidence
    from certpin_watch.settings import AlertSettings, Severity
    from certpin_watch.snapshot import MonitoredPinSet
    from certpin_watch.store.queries.capacity import Queue, Sweep, Window
    from certpin_watch.store.queries.reports import HostChain

HISTORY = 7 * DAY  # the time before now from which the usual number of failures is derived

# The parts of the evidence that can be missing.
Source = Literal["probes", "reports", "service", "failures"]


@dataclass(frozen=True)
class AlertFinding:
    """A problem that an alert rule detects. It exists as long as the rule yields it.

    Texts from the network are in ``summary`` and ``details`` as they were received: escape them
    before you display them.

    Attributes:
        rule: the id of the rule.
        severity: how severe the problem is.
        host: a pattern or name of the pin set, or empty if the finding concerns no single host.
        pin_set: the name of the pin set, or empty if it concerns none.
        summary: a sentence.
        command: the shell command that the user should run next, or empty.
        details: further values for programs, as JSON.
        subject: distinguishes this problem from others of the same rule: a location, a digest, an
            address.
    """

    rule: str
    severity: Severity
    host: str
    pin_set: str
    summary: str
    command: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    subject: str = ""

    @property
    def key(self) -> str:
        """The identity of the problem: it doesn't change with severity and texts."""
        return f"{self.rule}\n{self.pin_set}\n{self.host}\n{self.subject}"

    @property
    def clients(self) -> int | None:
        """The number of affected clients, from ``details``; None if they don't contain it."""
        stated = self.details.get("clients")
        return stated if isinstance(stated, int) else None


@dataclass(frozen=True)
class AlertRule:
    """An alert rule: a pure function from evidence to findings, with its documentation.

    Write it as a decorated function in the file of its family; the engine collects it:

        @partial(AlertRule, "no-backup", ("warning",), needs="probes", summary="…", why="…")
        def _no_backup(evidence: Evidence) -> Iterator[AlertFinding]: …

    Attributes:
        id: the name in findings, alerts, settings and documentation.
        severities: the severities that its findings can have, the worst first.
        check: yields a finding for each problem.
        needs: the part of the evidence that it reads. If that part is missing, the rule is not
            evaluated, and its alerts keep their state.
        summary: the condition, as a phrase.
        why: the consequence, in sentences.
    """

    id: str
    severities: tuple[Severity, ...]
    check: Callable[[Evidence], Iterable[AlertFinding]]
    needs: Source
    summary: str
    why: str


def per_policy(
    check: Callable[[PolicyEvidence], Iterable[AlertFinding]],
) -> Callable[[Evidence], Iterator[AlertFinding]]:
    """Turn a function that checks one monitored policy into one that checks all of them."""

    def check_all(evidence: Evidence) -> Iterator[AlertFinding]:
        for monitored in evidence.probes.policies:
            yield from check(monitored)

    return check_all


def policy_finding(
    monitored: PolicyEvidence,
    rule: str,
    severity: Severity,
    summary: str,
    command: str,
    *,
    subject: str = "",
    **details: Any,
) -> AlertFinding:
    """Return a finding about a monitored policy, with its host pattern and pin set."""
    return AlertFinding(
        rule=rule,
        severity=severity,
        host=str(monitored.policy.pattern),
        pin_set=monitored.charge.pins.name,
        summary=summary,
        command=command,
        details=details,
        subject=subject,
    )


class ReportedFailures(NamedTuple):
    """A group of identical failure reports of the last day; ``reports`` is their number.

    All fields are unverified claims of clients, except ``first_at``: when the first of the reports
    arrived, in Unix seconds.
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
        """True if the client's platform refused the chain, so that pins are not the reason."""
        return self.reason in UNVERIFIED

    @property
    def chain(self) -> bytes:
        """The digest of the chain to check: the verified chain, or else the served one."""
        return self.verified or self.served


class VersionHolders(NamedTuple):
    """How many clients reported in a day that they hold a pin-set version, by app version."""

    pin_set: str
    version: int
    app: str
    app_version: str
    clients: int


class SignedRole(NamedTuple):
    """When the signature of a TUF role expires, in the signed sets beside a pin file.

    ``expires`` is in Unix seconds; ``soon`` is True if less than a third of its lifetime is left.
    """

    pin_set: str
    path: Path  # of the pin file
    role: str
    expires: int
    soon: bool


@dataclass(frozen=True)
class ReportEvidence:
    """What the alert rules need to know about the reports of clients.

    A *live version* of a pin set is one that clients may still hold. A *quota* is shared by all
    hosts that one pattern covers (``Patterns.share``).

    Attributes:
        sets: the monitored pin sets.
        groups: the failure reports of the last day, identical ones counted together.
        holders: the number of clients that hold each version of a pin set.
        hours: the number of failure reports by host and hour (its first second), over ``HISTORY``.
        heard: the hours (their first second) in which any report arrived.
        accepted: pairs of host and chain digest: the chain matches the pins of a live version.
        strange: pairs whose chain matches no live version. Pairs in neither were not checked.
        issuers: the issuer of each chain's leaf, by the digest of the chain.
        sighted: pairs of host and chain digest that a probe observed.
        vouched: strange pairs whose chain a trusted authority issued for the host.
        networks: the providers' networks that reported a chain, or a failure without a chain (empty
            digest), by quota and chain digest.
        spread: the number of networks that reported anything, by quota.
        share: returns the quota of a host.
        pattern: returns the pattern that covers a host, or an empty text.
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
        """Return the first pin set that covers a host. None for an invalid host."""
        return next((watched for watched in self.sets if _covers(watched, host)), None)

    def is_strange(self, group: ReportedFailures) -> bool:
        """Return True if the chain in these reports matches no pins, and no probe observed it.

        The pins are those of every version that clients may hold. A chain that can't be read is not
        strange.
        """
        observed = {(group.host, group.served), (group.host, group.verified)} & self.sighted
        return (group.host, group.chain) in self.strange and not observed

    def count_networks(self, host: str, chains: Iterable[bytes]) -> int:
        """Count the networks that reported these chains for hosts with the quota of ``host``."""
        share = self.share(host)
        networks = (self.networks.get((share, chain), frozenset()) for chain in chains)
        return len(frozenset().union(*networks))

    def count_holders(self, pin_set: str) -> int | None:
        """Count the clients that hold any version of a pin set; None if no client reported that."""
        clients = [entry.clients for entry in self.holders if entry.pin_set == pin_set]
        return sum(clients) if clients else None


@dataclass(frozen=True)
class ServiceEvidence:
    """What the alert rules need to know about the monitoring service itself.

    Attributes:
        disk: the free share of the store's disk in per cent, if known.
        failing: maps each notification service that fails to its last error.
        failures: maps each rule, or source of data, that failed to the reason.
        queue: the state of the NATS stream in which reports wait to be stored; None without one.
        full: the names of storage limits that reports have nearly reached.
        sweeps: the result of the last deletion of expired rows, for each kind of row.
        window: the time for which repeated reports are recognised.
        roles: when the TUF signatures beside the pin files expire.
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
    """All data that the alert rules evaluate, as it was at the Unix time ``now``.

    ``missing`` names the fields that are empty because their data could not be read.
    """

    now: int
    limits: AlertSettings
    probes: ProbeEvidence = field(default_factory=ProbeEvidence)
    reports: ReportEvidence = field(default_factory=ReportEvidence)
    service: ServiceEvidence = field(default_factory=ServiceEvidence)
    missing: frozenset[Source] = frozenset()


def _covers(watched: MonitoredPinSet, host: str) -> bool:
    try:
        return watched.pins.policy_for(host) is not None
    except HostError:
        return False
