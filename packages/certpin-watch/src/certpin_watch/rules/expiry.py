"""Alert rules about certificates, pins and signatures that expire soon or have expired.

``store.queries.sightings.warning_period`` defines when a certificate expires soon.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from certpin.errors import CertificateParseError
from certpin.pins.policy import expiry_effect
from certpin.rotation.fleet import clients_at_risk
from certpin.rotation.rules import expiry
from certpin.support.text import in_days, in_utc
from certpin.x509 import name_of
from certpin_watch.rules.pins import certificate_details
from certpin_watch.rules.rule import (
    AlertFinding,
    AlertRule,
    client_details,
    per_policy,
    policy_finding,
)
from certpin_watch.store.queries.sightings import HAS_EXPIRED, warning_period

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.pins import HostPolicy
    from certpin.x509 import Certificate
    from certpin_watch.monitor.evidence import PolicyEvidence, ServerView
    from certpin_watch.rules.evidence import Evidence
    from certpin_watch.settings import Severity

_CRITICAL_PART = 10  # critical when less than a tenth of a certificate's life is left


@dataclass
class _SeenCertificate:
    """A certificate that servers present, and the states of those servers.

    Attributes:
        certificate: the certificate.
        is_authority: True if the certificate is not the leaf of the chains.
        views: the states of the servers that have the certificate in their chain.
    """

    certificate: Certificate
    is_authority: bool
    views: list[ServerView] = field(default_factory=list)

    @property
    def label(self) -> str:
        names = sorted({view.name for view in self.views})
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        kind = "an authority above" if self.is_authority else "the certificate of"
        return f"{kind} {names[0]}{more} ({name_of(self.certificate)})"


@partial(
    AlertRule,
    "certificate-expired",
    ("critical",),
    needs="probes",
    summary="a certificate of a chain has expired",
    why="Every client refuses the server, pinned or not.",
)
@per_policy
def _certificate_expired(evidence: PolicyEvidence) -> Iterator[AlertFinding]:
    for seen in _certificates(evidence):
        end = seen.certificate.not_after
        if end <= evidence.now:
            text = f"{seen.label} expired on {in_utc(end)}: every client refuses it"
            yield _certificate_finding(evidence, seen, "certificate-expired", "critical", text)


@partial(
    AlertRule,
    "certificate-expires",
    ("critical", "warning"),
    needs="probes",
    summary="a certificate of a verified path expires soon, relative to its lifetime",
    why=(
        "Its renewal is overdue; when it has expired, every client refuses the server. For a "
        "pinned authority the alert fires early enough to get its successor adopted."
    ),
)
@per_policy
def _certificate_expires(evidence: PolicyEvidence) -> Iterator[AlertFinding]:
    for seen in _certificates(evidence):
        left = seen.certificate.not_after - evidence.now
        severity = _certificate_severity(evidence, seen, left)
        if severity is None or left <= timedelta(0):
            continue
        end = in_utc(seen.certificate.not_after)
        text = f"{seen.label} expires in {in_days(left.days)}, on {end}"
        yield _certificate_finding(evidence, seen, "certificate-expires", severity, text)


def _certificates(evidence: PolicyEvidence) -> list[_SeenCertificate]:
    """Return each certificate in the chains of a policy's servers once, with its servers.

    ``evidence`` has the states of these servers. The chains are those that verified, and those that
    were refused only because they have expired. Certificates with unreadable dates are left out.
    """
    found: dict[bytes, _SeenCertificate] = {}
    for view in evidence.views:
        chain = view.verified or (view.served if view.code == HAS_EXPIRED else None)
        for at, certificate in enumerate(chain.certificates if chain else ()):
            if _has_valid_dates(certificate):
                new = _SeenCertificate(certificate, is_authority=at > 0)
                found.setdefault(certificate.sha256, new).views.append(view)
    return list(found.values())


def _has_valid_dates(certificate: Certificate) -> bool:
    try:
        _ = certificate.not_before, certificate.not_after
    except CertificateParseError:
        return False
    return True


def _certificate_severity(
    evidence: PolicyEvidence, seen: _SeenCertificate, left: timedelta
) -> Severity | None:
    certificate, settings = seen.certificate, evidence.settings
    life = certificate.not_after - certificate.not_before
    if left < min(settings.certificate_critical, life / _CRITICAL_PART):
        return "critical"
    covers = [(evidence.policy, evidence.monitored.pin_set.timing.adopt)]
    warning = settings.certificate_warning
    soon = warning_period(certificate, warning, authority=seen.is_authority, covers=covers)
    return "warning" if left < soon else None


def _certificate_finding(
    evidence: PolicyEvidence, seen: _SeenCertificate, rule: str, severity: Severity, text: str
) -> AlertFinding:
    return policy_finding(
        evidence,
        rule,
        severity,
        text,
        evidence.check_command(seen.views[0]),
        subject=seen.certificate.sha256.hex(),
        not_after=int(seen.certificate.not_after.timestamp()),
        not_before=int(seen.certificate.not_before.timestamp()),
        places=sorted({view.where for view in seen.views}),
        certificate=certificate_details(seen.certificate),
    )


@partial(
    AlertRule,
    "pins-expired",
    ("critical", "warning"),
    needs="probes",
    summary="the pins of a version have expired, and clients may still hold it",
    why=(
        "Clients refuse every connection, which is critical, or only report, or check no pins: see "
        "`on_expiry`."
    ),
)
@per_policy
def _pins_expired(evidence: PolicyEvidence) -> Iterator[AlertFinding]:
    for number, policy, clients in _policy_versions(evidence):
        if policy.expires is None or not policy.expired(evidence.now):
            continue
        refused = policy.refuses_from is not None
        yield policy_finding(
            evidence,
            "pins-expired",
            "critical" if refused else "warning",
            f"the pins of version {number} for {policy.pattern} expired on "
            f"{in_utc(policy.expires)}: clients {expiry_effect(policy.mode, policy.on_expiry)}",
            f"certpin rotate status --file {evidence.file}",
            subject=f"version {number}",
            version=number,
            expires=int(policy.expires.timestamp()),
            **client_details(clients, [number]),
        )


@partial(
    AlertRule,
    "pins-expire",
    ("critical", "warning"),
    needs="probes",
    summary="the pins of a version expire soon, or before its clients can have the next version",
    why="Then clients refuse every connection, or only report, or check no pins: see `on_expiry`.",
)
@per_policy
def _pins_expire(evidence: PolicyEvidence) -> Iterator[AlertFinding]:
    for number, policy, clients in _policy_versions(evidence):
        end = policy.expires
        if end is None or policy.expired(evidence.now):
            continue
        left = end - evidence.now
        severity = _pins_severity(evidence, left) or _adoption_severity(evidence, number)
        if severity:
            yield policy_finding(
                evidence,
                "pins-expire",
                severity,
                f"the pins of version {number} for {policy.pattern} expire in "
                f"{in_days(left.days)}, on {in_utc(end)}: then clients "
                f"{expiry_effect(policy.mode, policy.on_expiry)}",
                f"certpin rotate status --file {evidence.file}",
                subject=f"version {number}",
                version=number,
                expires=int(end.timestamp()),
                **client_details(clients, [number]),
            )


def _policy_versions(
    evidence: PolicyEvidence,
) -> Iterator[tuple[int, HostPolicy, int | None]]:
    """Yield the policy of a host pattern, as it is in the pin file and in other live versions.

    A live version is one that clients may still hold. Each item is the number of the version, the
    policy in that version, and the number of clients that hold the version (None if unknown). The
    version in the pin file comes first, even if no client holds it. Policies for other host
    patterns are left out, because each pattern has evidence of its own.
    """
    situation = evidence.situation([])
    number = evidence.monitored.pins.version
    same = [version for version in evidence.live_versions if version.number == number]
    yield number, evidence.policy, clients_at_risk(situation, same) if same else None
    for version in evidence.live_versions:
        for policy in version.pins.policies:
            if policy.pattern == evidence.policy.pattern and version.number != number:
                yield version.number, policy, clients_at_risk(situation, [version])


def _pins_severity(evidence: PolicyEvidence, left: timedelta) -> Severity | None:
    if left < evidence.settings.pins_critical:
        return "critical"
    return "warning" if left < evidence.settings.pins_warning else None


def _adoption_severity(evidence: PolicyEvidence, number: int) -> Severity | None:
    """Return "warning" if the pins of a version expire before its clients have adopted a newer one.

    Return None if there is time enough for that, by the delays in the rotation's journal.
    ``number`` is the number of the pin-set version; ``evidence`` has the versions that clients may
    hold.
    """
    versions = [version for version in evidence.live_versions if version.number == number]
    violation = expiry(evidence.situation([]), versions)
    return None if violation is None else "warning"


@partial(
    AlertRule,
    "signatures-end",
    ("critical", "warning"),
    needs="service",
    summary="a signature on the published pin sets expires soon, or has expired",
    why=(
        "Clients keep the pins that they have, but get no updates, not even in an emergency. Less "
        "than a third of its life is left; critical if it has expired."
    ),
)
def _signatures_end(evidence: Evidence) -> Iterator[AlertFinding]:
    for role in evidence.service.roles:
        is_over = role.expires <= evidence.now
        if not is_over and not role.soon:
            continue
        date = datetime.fromtimestamp(role.expires, UTC)
        yield AlertFinding(
            "signatures-end",
            "critical" if is_over else "warning",
            "",
            role.pin_set,
            f"the signature of the {role.role} of {role.pin_set} "
            + ("expired" if is_over else "expires")
            + f" on {date:%Y-%m-%d %H:%M} UTC",
            shlex.join(["certpin", "publish", "status", "--file", str(role.path)]),
            {"role": role.role, "expires": role.expires},
            subject=role.role,
        )
