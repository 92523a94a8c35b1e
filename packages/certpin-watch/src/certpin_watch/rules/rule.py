"""The types of an alert rule and of a finding, a problem that a rule detects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from certpin_watch.monitor.evidence import PolicyEvidence
    from certpin_watch.rules.evidence import Evidence, Source
    from certpin_watch.settings import Severity


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
