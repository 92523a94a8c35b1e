"""The types of an alert rule and of its findings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from certpin_watch.monitor.evidence import PolicyEvidence, ServerView
    from certpin_watch.rules.evidence import Evidence, EvidencePart
    from certpin_watch.settings import Severity


@dataclass(frozen=True)
class AlertFinding:
    """A problem that an alert rule detects, found again at each evaluation until it is gone.

    ``summary`` and ``details`` can contain texts from the network, as they were received. Escape
    them before you display them.

    Attributes:
        rule: the id of the rule.
        severity: how severe the problem is: "critical", "warning" or "info".
        host: the host name or host pattern with the problem; empty if the finding concerns no
            single host.
        pin_set: the name of the pin set, or empty if it concerns none.
        summary: a sentence that describes the problem.
        command: the shell command that the user should run next, or empty.
        details: further values for programs, as JSON.
        subject: distinguishes this problem from others of the same rule and host: a location, a
            digest, an address.
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
        """The identity of the problem: rule, pin set, host and subject.

        The key stays the same if the severity or the texts of the finding change.
        """
        return f"{self.rule}\n{self.pin_set}\n{self.host}\n{self.subject}"

    @property
    def clients(self) -> int | None:
        """The number of clients that the problem affects, from ``details``; None if unknown."""
        stated = self.details.get("clients")
        return stated if isinstance(stated, int) else None


@dataclass(frozen=True)
class AlertRule:
    """An alert rule: a pure function from evidence to findings, with its documentation.

    Write it as a decorated function in the module for its subject; the engine registers it:

        @partial(AlertRule, "no-backup", ("warning",), needs="probes", summary="…", why="…")
        def _no_backup(evidence: Evidence) -> Iterator[AlertFinding]: …

    Attributes:
        id: the name in findings, alerts, settings and documentation.
        severities: the severities that its findings can have, the worst first.
        check: yields a finding for each problem.
        needs: the part of the evidence that the rule reads, such as "probes" or "reports". If that
            part is missing, the rule is skipped, and its open alerts stay open.
        summary: the condition under which the rule yields a finding, as a phrase.
        why: the consequence of that condition, in sentences.
        after_start: True to skip the rule until the monitor had time for a first round of probes,
            after the process started or its clock jumped. While the rule is skipped, its open
            alerts stay open.
    """

    id: str
    severities: tuple[Severity, ...]
    check: Callable[[Evidence], Iterable[AlertFinding]]
    needs: EvidencePart
    summary: str
    why: str
    after_start: bool = False


def per_policy(
    check: Callable[[PolicyEvidence], Iterable[AlertFinding]],
) -> Callable[[Evidence], Iterator[AlertFinding]]:
    """Turn a rule's function for one monitored policy into a function for the whole evidence.

    Args:
        check: yields the findings of one policy and its servers.

    Returns:
        A function that yields the findings of all monitored policies.
    """

    def check_all(evidence: Evidence) -> Iterator[AlertFinding]:
        for policy_evidence in evidence.probes.policies:
            yield from check(policy_evidence)

    return check_all


def policy_finding(
    evidence: PolicyEvidence,
    rule: str,
    severity: Severity,
    summary: str,
    command: str,
    *,
    subject: str = "",
    **details: Any,
) -> AlertFinding:
    """Return a finding (a detected problem) about the policy of a host pattern.

    The host pattern and the pin set come from ``evidence``. The other arguments are the fields of
    ``AlertFinding``. Further keyword arguments become its ``details``.
    """
    return AlertFinding(
        rule=rule,
        severity=severity,
        host=str(evidence.policy.pattern),
        pin_set=evidence.monitored.pins.name,
        summary=summary,
        command=command,
        details=details,
        subject=subject,
    )


def view_details(view: ServerView, *, since: datetime | None = None) -> dict[str, Any]:
    """Return the ``details`` of a finding about a server: its address, and the problem's begin.

    They also name the location of the monitor that observed the problem.

    Args:
        view: the state of the server, as one location observed it.
        since: when the problem began; None for the time since which the server has its outcome.
    """
    return {
        "vantage": view.vantage,
        "address": view.edge or view.address,
        "since": int((since or view.since).timestamp()),
    }


def client_details(clients: int | None, versions: Iterable[int]) -> dict[str, Any]:
    """Return how many clients a detected problem affects, as ``details`` of its finding.

    If the number is known, the result has it as "clients". Otherwise the result has "versions", and
    the engine counts the clients that reported one of these versions (``affected_clients``).

    Args:
        clients: the number of affected clients, from the rotation's journal; None if unknown.
        versions: the numbers of the pin-set versions that the affected clients hold.
    """
    return {"versions": list(versions)} if clients is None else {"clients": clients}
