"""Alert rules that compare pins with served chains, deployed versions, and lists of roots.

A list of roots has the roots of a provider's certificates; Let's Encrypt, for example, is a
provider.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from certpin.pins import Pin
from certpin.pins.verdict import advice
from certpin.providers import change_text, load_providers, policy_change
from certpin.rotation.fleet import clients_at_risk
from certpin.rotation.prospect import judge
from certpin.rotation.rules import backup, served_chain, version_list
from certpin.support.text import counted
from certpin.x509 import name_of
from certpin_watch.rules.rule import (
    AlertRule,
    client_details,
    per_policy,
    policy_finding,
    view_details,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.pins import HostPolicy, Verdict
    from certpin.rotation import Situation, Version
    from certpin.x509 import Certificate, Chain
    from certpin_watch.monitor.evidence import PolicyEvidence, ServerView
    from certpin_watch.rules.rule import AlertFinding
    from certpin_watch.settings import Severity


@partial(
    AlertRule,
    "pin-mismatch",
    ("critical", "warning"),
    needs="probes",
    summary="a server presents a chain that verifies but contains no pinned certificate",
    why=(
        "Clients that hold this version are locked out there, or an attacker is in front of that "
        "server. Only a warning if the pins are not published, or only report."
    ),
)
@per_policy
def _pin_mismatch(evidence: PolicyEvidence) -> Iterator[AlertFinding]:
    number = evidence.monitored.pins.version
    for view, chain in evidence.verified:
        verdict = match(evidence, evidence.policy, chain)
        if verdict.matched:
            continue
        severity, outcome = refusal_outcome(evidence)
        yield policy_finding(
            evidence,
            "pin-mismatch",
            severity,
            f"{view.where}: no pin of version {number} matches the chain that it serves; {outcome}",
            evidence.check_command(view),
            subject=view.where,
            **view_details(view),
            version=number,
            **holder_details(evidence, view),
            advice=advice(verdict, view.target.host, view.target.server(view.edge)),
            chain=chain_details(chain),
        )


def version_holders(evidence: PolicyEvidence) -> list[Version]:
    """Return those versions released to clients that have the same number as the pin file.

    If the pin file refuses the chain of a server, the clients that hold these versions are
    affected. Only versions that clients may still hold are included. So the list is empty if the
    version in the pin file is not released, or if no client can hold it any more.
    """
    number = evidence.monitored.pins.version
    return [version for version in evidence.live_versions if version.number == number]


def holder_details(evidence: PolicyEvidence, view: ServerView) -> dict[str, Any]:
    """Return how many clients a detected problem affects, as ``details`` of its finding.

    The affected clients are those that hold the version of the pin file. If the rotation's journal
    doesn't give their number, the details have the number of the version instead, and the engine
    counts the clients that reported this version. ``evidence`` has the versions that clients hold.
    ``view`` is the state of the server that the finding is about.
    """
    holders = version_holders(evidence)
    clients = clients_at_risk(evidence.situation([view]), holders) if holders else None
    return client_details(clients, [evidence.monitored.pins.version])


def refusal_outcome(evidence: PolicyEvidence) -> tuple[Severity, str]:
    """Return the consequence for clients if the pins of a host refuse a server's chain.

    ``evidence`` has the policy of the host, and the versions that clients may hold.

    Returns:
        The severity, and a phrase about the clients, such as "clients refuse it". The severity is
        "critical" if clients enforce the policy. It is "warning" in two cases: the policy is in
        report mode, so that clients only report mismatches; or clients hold other versions of the
        pin set, but not the one in the pin file.
    """
    if evidence.live_versions and not version_holders(evidence):
        return "warning", "clients will refuse it once they hold this version, not out yet"
    if evidence.policy.mode == "enforce":
        return "critical", "clients refuse it"
    return "warning", "clients would refuse it in mode enforce"


@partial(
    AlertRule,
    "field-mismatch",
    ("critical",),
    needs="probes",
    summary="a server presents a key that a deployed version refuses",
    why="Apps that were not updated yet are locked out there, although the newest pins match.",
)
@per_policy
def _field_mismatch(evidence: PolicyEvidence) -> Iterator[AlertFinding]:
    for view, chain in evidence.verified:
        situation = evidence.situation([view])
        refusing = [
            version
            for version in evidence.live_versions
            if not _has_policy_of_file(situation, version)
            and served_chain(situation, [version]) is not None
        ]
        if not refusing:
            continue
        numbers = [version.number for version in refusing]
        clients = clients_at_risk(situation, refusing)
        number = "clients" if clients is None else counted(clients, "client")
        verb = "is" if clients == 1 else "are"
        yield policy_finding(
            evidence,
            "field-mismatch",
            "critical",
            f"{view.where}: the deployed {version_list(refusing)} cannot accept the chain that it "
            f"serves; {number} {verb} locked out there",
            evidence.status_command(view),
            subject=view.where,
            **view_details(view),
            **{"versions": numbers} | client_details(clients, numbers),
            chain=chain_details(chain),
        )


def _has_policy_of_file(situation: Situation, version: Version) -> bool:
    """Return True if a deployed pin-set version has the same policy for the host as the pin file.

    ``situation`` has the pin file and the host. Such a version needs no separate check: the rule
    ``pin-mismatch`` checks the policy in the file.
    """
    return situation.policy in situation.policies_of(version)


@partial(
    AlertRule,
    "no-backup",
    ("warning",),
    needs="probes",
    summary="every pin is in the chain that is served",
    why="If that key is lost, no key is left that clients accept.",
)
@per_policy
def _no_backup(evidence: PolicyEvidence) -> Iterator[AlertFinding]:
    violation = backup(evidence.situation()) if evidence.verified else None
    if violation is not None:
        yield policy_finding(
            evidence,
            "no-backup",
            "warning",
            f"{evidence.policy.pattern}: {violation.problem}",
            f"certpin rotate status --file {evidence.file}",
            clients=violation.clients,
            fix=violation.fix,
        )


@partial(
    AlertRule,
    "provider-set-changed",
    ("warning",),
    needs="probes",
    summary="the roots of a provider differ from those that the pin file has of it",
    why=(
        "The provider may issue from a root that clients refuse. Clients need the new root before "
        "that. The data comes with certpin: update certpin in the service, too."
    ),
)
@per_policy
def _provider_set_changed(evidence: PolicyEvidence) -> Iterator[AlertFinding]:
    data = load_providers()
    change = policy_change(evidence.policy, data, evidence.now.date())
    if text := change_text(change, data.edition):
        yield policy_finding(
            evidence,
            "provider-set-changed",
            "warning",
            f"{evidence.policy.pattern}: {text}",
            f"certpin providers update {evidence.file}",
            providers=list(change.providers),
            added=[str(entry.pin) for entry in change.added],
            dropped=[str(entry.pin) for entry in change.dropped],
        )


def match(evidence: PolicyEvidence, policy: HostPolicy, chain: Chain) -> Verdict:
    """Return a policy's verdict on a chain, as if the policy's pins had not expired.

    Expired pins are the subject of another rule, ``pins-expired``. ``evidence`` has the time for
    which the pins are compared with the chain.
    """
    return judge(chain, replace(policy, expires=None), evidence.now)


def is_accepted(evidence: PolicyEvidence, view: ServerView) -> bool:
    """Return True if a server's chain was verified, and the policy in the pin file accepts it.

    A chain with a pinned key but too few SCTs is accepted if the policy does not enforce SCTs, but
    only reports that they are missing. The expiry of the pins is ignored, as in ``match``.

    Args:
        evidence: the policy of the server, with its pins.
        view: the state of the server, as one location observed it.
    """
    if view.verified is None:
        return False
    verdict = match(evidence, evidence.policy, view.verified)
    return verdict.matched is not None and verdict.decision != "refuse"


def leaf_pin(chain: Chain) -> Pin:
    """Return the pin of a chain's leaf, the server's own key."""
    return Pin.of_key(chain.leaf.spki_sha256)


def expected_pins(evidence: PolicyEvidence) -> frozenset[Pin]:
    """Return the pins of all keys and certificates that servers of a policy are expected to use.

    Rules compare them with the chains that servers present, and with logged certificates. These are
    the pins in the pin file, in pin-set versions that clients may hold, and in the rotation's
    journal, except those of compromised keys. A key is compromised, too, if one of its certificates
    is, and a certificate if its key is. A lost key is expected: a server may still have it.

    A pin of a whole certificate (``cert-sha256``) is only that: the pin of its key is not added,
    because clients refuse another certificate with this key.
    """
    situation = evidence.situation(evidence.views)
    compromised = situation.past.compromised | situation.pins.compromised
    return evidence.named_pins - situation.same_keys(compromised)


def certificate_details(certificate: Certificate) -> dict[str, str]:
    """Return a certificate as JSON, for the details of a problem: ``subject``, ``pin``, ``sha256``.

    These are the subject, the pin of the key, and the SHA-256 digest of the certificate as
    hexadecimal digits.
    """
    return {
        "subject": name_of(certificate),
        "pin": str(Pin.of_key(certificate.spki_sha256)),
        "sha256": certificate.sha256.hex(),
    }


def chain_details(chain: Chain | None) -> list[dict[str, str]]:
    """Return the certificates of a chain, leaf first, as JSON for the details of a problem.

    Each entry is what ``certificate_details`` returns. The list is empty if there is no chain.
    """
    return [certificate_details(entry) for entry in chain.certificates] if chain else []
