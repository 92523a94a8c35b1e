"""The pins of a host end soon, or have ended: those of the file, and those of clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.rotation.adoption import in_utc, policy_in
from certpin.rotation.gate import expiry
from certpin.support.text import in_days
from certpin_watch.monitor.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from certpin.pins import HostPolicy
    from certpin_watch.finding import Finding, Severity
    from certpin_watch.monitor.case import Case

EXPIRE, EXPIRED = "pins-expire", "pins-expired"

_THEN = {
    "fail-closed": "clients refuse every connection then",
    "fail-open": "clients do not look at pins any more then",
    "report": "clients only report what does not match then",
}


def _expire(case: Case) -> Iterator[Finding]:
    for number, policy, clients in _versions(case):
        end = policy.expires
        if end is None or policy.expired(case.now):
            continue
        severity = _severity(case, end - case.now) or _too_late(case, number)
        if severity:
            yield case.finding(
                EXPIRE,
                severity,
                f"the pins of version {number} for {policy.pattern} end in "
                f"{in_days((end - case.now).days)}, on {in_utc(end)}: {_THEN[policy.on_expiry]}",
                f"certpin rotate status --file {case.file}",
                subject=f"version {number}",
                version=number,
                expires=int(end.timestamp()),
                clients=clients,
            )


def _expired(case: Case) -> Iterator[Finding]:
    for number, policy, clients in _versions(case):
        if policy.expires is not None and policy.expired(case.now):
            closed = policy.on_expiry == "fail-closed" and policy.mode == "enforce"
            words = _THEN[policy.on_expiry].removesuffix(" then")
            yield case.finding(
                EXPIRED,
                "critical" if closed else "warning",
                f"the pins of version {number} for {policy.pattern} have ended on "
                f"{in_utc(policy.expires)}: {words}",
                f"certpin rotate status --file {case.file}",
                subject=f"version {number}",
                version=number,
                expires=int(policy.expires.timestamp()),
                clients=clients,
            )


def _versions(case: Case) -> Iterator[tuple[int, HostPolicy, int | None]]:
    """The policy in the file, and in every version that is alive: number, policy, clients."""
    clients = {each.number: each.clients for each in case.alive}
    number = case.charge.pins.version
    yield number, case.policy, clients.get(number)
    for version in case.alive:
        policy = policy_in(version.pins, case.policy.pattern)
        if policy is not None and version.number != number:
            yield version.number, policy, version.clients


def _severity(case: Case, left: timedelta) -> Severity | None:
    if left < case.settings.pins_critical:
        return "critical"
    return "warning" if left < case.settings.pins_warning else None


def _too_late(case: Case, number: int) -> Severity | None:
    """Whether clients would be past the end before they can have the next version."""
    versions = [each for each in case.alive if each.number == number]
    breach = expiry(case.situation([]), versions)
    return None if breach is None else "warning"


RULE = Rule(
    EXPIRE,
    "the pins of a version end soon, or before its clients can have the next one",
    "Then clients refuse every connection, or do not check any more: as `on_expiry` says.",
    case=_expire,
)
RULE_EXPIRED = Rule(
    EXPIRED,
    "the pins of a version have ended, and clients may still hold it",
    "Clients refuse every connection, or do not check any more: as `on_expiry` says.",
    case=_expired,
)
