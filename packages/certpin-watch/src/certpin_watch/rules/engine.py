"""Evaluate all alert rules: a pure function from evidence (data read beforehand) to findings."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from certpin.errors import InputError
from certpin.support.text import printable
from certpin_watch.rules import (
    availability,
    chains,
    expiry,
    pins,
    reports,
    roots,
    service,
    transparency,
)
from certpin_watch.rules.rule import AlertFinding, AlertRule
from certpin_watch.settings import SEVERITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from certpin.pins import HostPattern
    from certpin_watch.rules.evidence import Evidence, VersionHolders

log = logging.getLogger("certpin.watch.alerts")

# A new rule is one decorated function in the file of its family.
_FAMILIES = (pins, chains, expiry, roots, availability, transparency, reports, service)
RULES: dict[str, AlertRule] = {
    rule.id: rule
    for family in _FAMILIES
    for rule in vars(family).values()
    if isinstance(rule, AlertRule)
}
MAX_FINDINGS = 20  # of a rule over reports, for one pattern of a pin set
_UNREADABLE = "pin-file-unreadable"  # is about one file, and needs no other
_MAX_NAME = 80  # characters of an unknown name in an error


@dataclass(frozen=True)
class Evaluation:
    """The result of evaluating all alert rules once.

    Attributes:
        findings: the problems that the rules detected, the worst first.
        skipped: the ids of the rules that could not be evaluated. Their open alerts stay open.
        clients: the number of clients that each finding affects, by ``AlertFinding.key``. A number
            is None if it is unknown.
        failures: a text about the exception for each rule that raised one. The keys are texts such
            as ``the rule no-backup``.
        readable: None if the content of every pin file is known. Otherwise, the pin set and host
            pattern of each policy in the files with known content. Open alerts about all other pin
            sets and hosts stay open.
        of_locations: the ids of the rules that evaluate probe results. If an alert of such a rule
            names neither a host nor a pin set, it is about a location, and depends on all hosts
            that the location probes. So it stays open while the content of a pin file is unknown.
    """

    findings: tuple[AlertFinding, ...] = ()
    skipped: frozenset[str] = frozenset()
    clients: Mapping[str, int | None] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    readable: frozenset[tuple[str, HostPattern]] | None = None
    of_locations: frozenset[str] = frozenset()

    def covers(self, rule: str, pin_set: str, host: str) -> bool:
        """Return True if this evaluation would have found a problem if it still existed.

        If the result is True, and there is no finding, the problem is gone. The result is False if
        the rule was skipped. While a pin file was never readable since the process started, it is
        also False for problems that are possibly about its hosts: if the file possibly has the pins
        of the host, or if the problem is that of a location (``of_locations``).

        Args:
            rule: the id of the rule that found the problem before.
            pin_set: the name of the pin set; empty if the problem concerns none.
            host: the host or host pattern; empty if the problem concerns none.
        """
        if rule in self.skipped:
            return False
        if self.readable is None:
            return True
        if not host and not pin_set:
            return rule not in self.of_locations
        return any(
            (not pin_set or name == pin_set)
            and (not host or str(pattern) == host or pattern.matches(host))
            for name, pattern in self.readable
        )


def evaluate(evidence: Evidence, rules: Mapping[str, AlertRule] = RULES) -> Evaluation:
    """Evaluate every alert rule. If a rule raises, the others are still evaluated.

    Args:
        evidence: all data that the rules read. A rule is skipped if the part of the data that it
            needs is missing.
        rules: the rules by id; by default, all.

    Returns:
        The findings, without duplicates, and the rules that were skipped or failed.
    """
    found: list[AlertFinding] = []
    skipped: set[str] = set()
    failures: dict[str, str] = {}
    for rule in rules.values():
        if rule.needs in evidence.missing or (rule.after_start and evidence.starting):
            skipped.add(rule.id)
            continue
        try:
            findings = list(rule.check(evidence))
        except Exception as exc:  # noqa: BLE001  # one defect must not disable the other rules
            failures[f"the rule {rule.id}"] = describe_failure(exc)
            skipped.add(rule.id)
            continue
        if rule.needs == "reports":
            findings = limit_findings(findings, evidence.reports.pattern)
        found += findings
    unique: dict[str, AlertFinding] = {}
    for finding in sorted(found, key=lambda entry: SEVERITIES.index(entry.severity)):
        unique.setdefault(finding.key, finding)
    holders = evidence.reports.holders
    clients = {key: affected_clients(finding, holders) for key, finding in unique.items()}
    return Evaluation(
        tuple(unique.values()),
        frozenset(skipped),
        clients,
        failures,
        _readable(evidence),
        frozenset(rule.id for rule in rules.values() if rule.needs == "probes") - {_UNREADABLE},
    )


def _readable(evidence: Evidence) -> frozenset[tuple[str, HostPattern]] | None:
    """Return the policies with known pins, for ``Evaluation.readable``; None if all pins are known.

    If a pin file could never be read since the process started, its policies are unknown. The
    result then has the pairs of pin set and host pattern of all other policies. ``evidence`` has
    the policies.
    """
    probes = evidence.probes
    if probes.is_complete:
        return None
    return frozenset((entry.monitored.pins.name, entry.policy.pattern) for entry in probes.policies)


def describe_failure(exc: Exception) -> str:
    """Log an exception, and return a short text with only the name of its type.

    The exception's own text can come from an attacker, so it must not get into alerts.
    """
    log.error("an evaluation failed", exc_info=exc)
    return f"a defect of certpin ({type(exc).__name__})"


def limit_findings(
    findings: Iterable[AlertFinding], pattern_of: Callable[[str], str]
) -> list[AlertFinding]:
    """Return the worst findings of one rule, at most ``MAX_FINDINGS`` for each host pattern.

    A client can name any host below a wildcard in its reports, so the limit is not for each host.
    Findings without a host are not limited, because no client can cause them.

    Args:
        findings: the findings of one alert rule that evaluates reports of clients.
        pattern_of: returns the pattern, such as a wildcard, of the pin-set policy that covers a
            host.
    """
    kept: list[AlertFinding] = []
    counts: Counter[str] = Counter()
    for finding in sorted(findings, key=_rank):
        pattern = pattern_of(finding.host) if finding.host else ""
        counts[pattern] += 1
        if not pattern or counts[pattern] <= MAX_FINDINGS:
            kept.append(finding)
    return kept


def affected_clients(finding: AlertFinding, holders: Iterable[VersionHolders]) -> int | None:
    """Return how many clients a finding affects, or None if that is unknown.

    If the details of the finding have the number, it is returned. Otherwise, the result is the sum
    of the clients that hold the versions in the details, or any version of the pin set if the
    details have no versions. It is unknown if the finding has no pin set, or no client reported one
    of these versions.

    Args:
        finding: the problem that a rule detected.
        holders: how many clients hold each version of each pin set.
    """
    if "clients" in finding.details or not finding.pin_set:
        return finding.clients
    named = finding.details.get("versions")
    listed = named if isinstance(named, (list, tuple)) else ()
    versions = {version for version in listed if isinstance(version, int)}
    clients = [
        entry.clients
        for entry in holders
        if entry.pin_set == finding.pin_set and (not versions or entry.version in versions)
    ]
    return sum(clients) if clients else None


def check_rule(name: str) -> None:
    """Check that an alert rule with this id exists.

    Raises:
        InputError: no rule has this id. The error suggests the most similar id, and lists all.
    """
    if name in RULES:
        return
    names = sorted(RULES)
    near = get_close_matches(name[:_MAX_NAME], names, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise InputError(
        f"there is no rule {printable(name[:_MAX_NAME])}",
        fix=f"{hint}There are {', '.join(names)}",
    )


def _rank(finding: AlertFinding) -> tuple[Any, ...]:
    stated = [finding.details.get(name) for name in ("reports", "hour", "clients")]
    largest = max((number for number in stated if isinstance(number, int)), default=0)
    return (SEVERITIES.index(finding.severity), -largest, finding.key)
