"""Alert rules about Certificate Transparency: logged certificates, and missing SCTs."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from certpin.errors import CertificateParseError, HostError
from certpin.pins import HostPattern, Pin, pins_of
from certpin.pins.verdict import advice, missing_scts
from certpin.x509.sct import precertificate_tbs
from certpin_watch.rules.pins import (
    chain_details,
    expected_pins,
    holder_details,
    match,
    refusal_outcome,
)
from certpin_watch.rules.rule import (
    AlertFinding,
    AlertRule,
    per_policy,
    policy_finding,
    view_details,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from certpin.x509 import Certificate
    from certpin_watch.monitor.evidence import LoggedCertificate, PolicyEvidence, ProbeEvidence
    from certpin_watch.rules.evidence import Evidence


@partial(
    AlertRule,
    "logged-key",
    ("warning",),
    needs="probes",
    summary=(
        "a certificate for a monitored host was logged, and neither it, nor its key, nor an "
        "authority above it is pinned"
    ),
    why=(
        "The certificate was renewed with a new key, or the certificate before it is pinned as a "
        "whole (`cert-sha256`): clients will refuse it. Or another party got a certificate for "
        "that name."
    ),
)
def _logged_key(evidence: Evidence) -> Iterator[AlertFinding]:
    for policy_evidence, entry in _concerned(evidence.probes):
        keys = [Pin.of_key(digest) for digest in (entry.key, *entry.authorities)]
        expected = expected_pins(policy_evidence)
        if not expected.isdisjoint(keys):
            continue
        situation = policy_evidence.situation(policy_evidence.views)
        known = evidence.probes.pinned | situation.certificates
        pinned = frozenset(each for each in known if pins_of(each)[1] in expected)
        if not any(_is_allowed_by(certificate, entry) for certificate in pinned):
            summary = _logged_text(entry, expected, pinned)
            yield _finding(policy_evidence, entry, "logged-key", summary)


def _is_allowed_by(pinned: Certificate, entry: LoggedCertificate) -> bool:
    """Return True if a logged certificate is the pinned certificate, or is issued by its key.

    A log usually has the precertificate, which has another digest than the certificate. So the
    parts that both have in common are compared (``precertificate_tbs``).
    """
    if pinned.spki_sha256 in entry.authorities:
        return True
    if pinned.spki_sha256 != entry.key:
        return False
    with suppress(CertificateParseError):
        return hashlib.sha256(precertificate_tbs(pinned)).digest() == entry.tbs
    return False


def _logged_text(
    entry: LoggedCertificate, expected: AbstractSet[Pin], pinned: AbstractSet[Certificate]
) -> str:
    """Return the summary for a logged certificate that no pin allows, as far as that is known.

    Args:
        entry: the logged certificate.
        expected: the pins of the policy, from ``expected_pins``.
        pinned: the known certificates that are pinned as a whole.
    """
    key = Pin.of_key(entry.key)
    text = f"a certificate for {entry.names[0]} was logged with another key: {key}"
    if any(certificate.spki_sha256 == entry.key for certificate in pinned):
        text = (
            f"a certificate for {entry.names[0]} was logged with the key of a pinned certificate, "
            f"but is another certificate: {key}"
        )
    whole = {pin for pin in expected if pin.kind == "cert-sha256"}
    if whole.difference(*map(pins_of, pinned)):
        text += "; it may be a pinned certificate of which only the digest is known"
    return text


@partial(
    AlertRule,
    "logged-issuer",
    ("warning",),
    needs="probes",
    summary="a certificate for a monitored host was logged that another authority issued",
    why="Another party may have got a certificate for that name elsewhere.",
)
def _logged_issuer(evidence: Evidence) -> Iterator[AlertFinding]:
    for policy_evidence, entry in _concerned(evidence.probes):
        known = _observed_issuers(policy_evidence)
        if known and entry.issuer and entry.issuer not in known:
            summary = (
                f"a certificate for {entry.names[0]} was logged that {entry.issuer} issued, which "
                "issued none that a probe observed"
            )
            yield _finding(policy_evidence, entry, "logged-issuer", summary)


@partial(
    AlertRule,
    "logged-malformed",
    ("info",),
    needs="probes",
    summary="a log has an entry that cannot be decoded, and may be for a monitored host",
    why="The names in it are unknown.",
)
def _logged_malformed(evidence: Evidence) -> Iterator[AlertFinding]:
    probes = evidence.probes
    for entry in probes.logged:
        if entry.kind == "malformed" and probes.now - entry.first <= probes.settings.logged:
            yield AlertFinding(
                rule="logged-malformed",
                severity="info",
                host="",
                pin_set="",
                summary=f"a log has an entry that cannot be decoded: {entry.summary}",
                subject=entry.tbs.hex(),
                details={"log": entry.log, "next": "inspect the entry in that log"},
            )


def _concerned(probes: ProbeEvidence) -> Iterator[tuple[PolicyEvidence, LoggedCertificate]]:
    """Yield each pair of a policy and a logged certificate for one of the policy's hosts.

    ``probes`` has the policies and the logged certificates. Two kinds of certificates are left out:
    those that have expired, and those that were first recorded longer ago than the setting
    ``logged``.
    """
    for entry in probes.logged:
        if entry.kind != "certificate" or entry.not_after <= probes.now or not entry.names:
            continue
        if probes.now - entry.first > probes.settings.logged:
            continue
        for evidence in probes.policies:
            if any(_is_for(name, evidence) for name in entry.names):
                yield evidence, entry


def _is_for(name: str, evidence: PolicyEvidence) -> bool:
    """Return True if a certificate's DNS name matches a host of the policy.

    The rules then check the logged certificate against this policy. If the name or the policy's
    host pattern is a wildcard (RFC 9525 section 6.3), the result is True if at least one host name
    matches both. ``evidence`` has the policy (the pins of a host pattern).
    """
    try:
        pattern = HostPattern.parse(name)
    except HostError:
        return False
    return evidence.policy in evidence.monitored.pins.policies_at(pattern)


def _observed_issuers(evidence: PolicyEvidence) -> set[str]:
    """Return the issuers of leaf certificates that probes verified at the servers of a policy.

    A logged certificate with a different issuer is reported. Two leaf certificates of each server
    count: that of its current verified chain, and that of the chain before it. The issuers are
    names. ``evidence`` has the states of the servers.
    """
    issuers = set()
    for view in evidence.views:
        for chain in filter(None, (view.verified, view.before)):
            try:
                issuers.add(chain.leaf.issuer)
            except CertificateParseError:
                continue
    return issuers


@partial(
    AlertRule,
    "too-few-scts",
    ("critical", "warning"),
    needs="probes",
    summary="a server presents a certificate with fewer SCTs than `require_ct` demands",
    why=(
        "Its key is pinned, but clients refuse it, or an attacker is in front of that server. Only "
        "a warning if the pins are not published or only report, or if the log list is 70 days old."
    ),
)
@per_policy
def _too_few_scts(evidence: PolicyEvidence) -> Iterator[AlertFinding]:
    for view, chain in evidence.verified:
        verdict = match(evidence, evidence.policy, chain)
        if verdict.reason != "too-few-scts":
            continue
        severity, outcome = refusal_outcome(evidence)
        if verdict.decision == "report" and evidence.policy.mode == "enforce":
            severity, outcome = "warning", "clients only report it, because the log list is too old"
        yield policy_finding(
            evidence,
            "too-few-scts",
            severity,
            f"{view.where}: its certificate has too few SCTs for require_ct: "
            f"{missing_scts(verdict)}; {outcome}",
            evidence.check_command(view),
            subject=view.where,
            **view_details(view),
            version=evidence.monitored.pins.version,
            **holder_details(evidence, view),
            advice=advice(verdict, view.target.host, view.target.server(view.edge)),
            chain=chain_details(chain),
        )


def _finding(
    evidence: PolicyEvidence, entry: LoggedCertificate, rule: str, summary: str
) -> AlertFinding:
    return policy_finding(
        evidence,
        rule,
        "warning",
        summary,
        f"certpin rotate status --file {evidence.file}",
        subject=entry.tbs.hex(),
        names=list(entry.names),
        issuer=entry.issuer,
        pin=str(Pin.of_key(entry.key)),
        log=entry.log,
        since=int(entry.first.timestamp()),
        not_after=int(entry.not_after.timestamp()),
    )
