"""Alert rules about the chains that servers present: verification, keys, and issuers.

One of the rules compares the chains that different locations receive from one server.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from certpin.errors import CertificateParseError
from certpin.pins import pins_of
from certpin.x509 import name_of
from certpin_watch.rules.pins import chain_details, expected_pins, is_accepted, leaf_pin
from certpin_watch.rules.rule import AlertRule, per_policy, policy_finding, view_details
from certpin_watch.store.queries.sightings import HAS_EXPIRED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.pins import Pin
    from certpin.x509 import Chain
    from certpin_watch.monitor.evidence import PolicyEvidence, ServerView
    from certpin_watch.rules.rule import AlertFinding
    from certpin_watch.settings import Severity


@partial(
    AlertRule,
    "chain-unverified",
    ("critical",),
    needs="probes",
    summary="a server presents a chain that does not verify for its name",
    why=(
        "Every client refuses it, pinned or not: an intermediate is missing, the name is wrong, or "
        "an attacker is in front of that server."
    ),
)
@per_policy
def _chain_unverified(evidence: PolicyEvidence) -> Iterator[AlertFinding]:
    for view in evidence.views:
        if view.outcome == "unverified" and view.code != HAS_EXPIRED:
            yield policy_finding(
                evidence,
                "chain-unverified",
                "critical",
                f"{view.where}: its chain does not verify: {view.problem}",
                evidence.check_command(view),
                subject=view.where,
                **view_details(view),
                code=view.code,
                chain=chain_details(view.served),
            )


@partial(
    AlertRule,
    "vantages-disagree",
    ("critical", "info"),
    needs="probes",
    summary="a host presents different chains to different locations",
    why=(
        "One edge of a CDN is wrong, or an attacker is between a network and the server. If "
        "clients accept all of the keys, this is information only: a rotation may be in progress. "
        "Locations that have not probed the server since its last change are not compared."
    ),
)
@per_policy
def _vantages_disagree(evidence: PolicyEvidence) -> Iterator[AlertFinding]:
    by_target: dict[tuple[str, int, str], list[ServerView]] = defaultdict(list)
    for view in evidence.views:
        if view.sent_chain:
            by_target[view.target.key].append(view)
    for views in by_target.values():
        yield from _compare(evidence, _after_changes(views))


def _after_changes(views: list[ServerView]) -> list[ServerView]:
    """Return the states from those locations that probed the server after its last change.

    If a server gets a new key, one location notices it first. Until the other locations probe the
    server again, their states are outdated, and differ from the new state although nothing is
    wrong. So outdated states are left out.

    Args:
        views: the states of one server, from all locations.
    """
    changed: dict[tuple[str, str], datetime] = {}
    last: dict[str, datetime] = {}
    for view in views:
        place = (view.vantage, view.edge)  # with two states there, the server alternates
        changed[place] = min(view.since, changed.get(place, view.since))
        last[view.vantage] = max(view.last, last.get(view.vantage, view.last))
    newest = max(changed.values())
    return [view for view in views if last[view.vantage] >= newest]


def _compare(evidence: PolicyEvidence, views: list[ServerView]) -> Iterator[AlertFinding]:
    """Yield a finding if a server presents chains with different keys to different locations.

    A finding is a detected problem, a location a machine that probes hosts. The finding is
    "critical" if clients accept the chain at some locations, and refuse it at others. Otherwise it
    is "info", and is yielded only if no key is common to all locations.

    Args:
        evidence: the policy of the server, with its pins.
        views: the state of the server as each location observed it, for one server only.
    """
    keys: dict[str, set[Pin]] = defaultdict(set)
    certificates: dict[str, set[Pin]] = defaultdict(set)
    accepted: dict[str, bool] = {}
    for view in views:
        if chain := view.verified or view.served:
            key, certificate = pins_of(chain.leaf)
            keys[view.vantage].add(key)
            certificates[view.vantage].add(certificate)
        accepted[view.vantage] = accepted.get(view.vantage, True) and is_accepted(evidence, view)
    if len(keys) < 2:
        return  # one location, or no other was asked since the last change
    first = views[0]
    refusing = sorted(name for name, is_good in accepted.items() if not is_good)
    if refusing and len(refusing) < len(accepted):
        accepting = sorted(accepted.keys() - set(refusing))
        yield policy_finding(
            evidence,
            "vantages-disagree",
            "critical",
            f"{first.name}: it presents a chain that clients refuse to {', '.join(refusing)}, and "
            f"one that they accept to {', '.join(accepting)}: one of its servers is wrong, or an "
            f"attacker is between {refusing[0]} and it",
            evidence.check_command(first),
            subject=first.target.way or first.name,
            keys=_pin_texts(keys),
            certificates=_pin_texts(certificates),
            refused_from=refusing,
        )
    elif not set.intersection(*keys.values()):
        yield policy_finding(
            evidence,
            "vantages-disagree",
            "info",
            f"{first.name}: it presents different keys to {', '.join(sorted(keys))}",
            evidence.check_command(first),
            subject=first.target.way or first.name,
            keys=_pin_texts(keys),
            certificates=_pin_texts(certificates),
        )


def _pin_texts(pins: dict[str, set[Pin]]) -> dict[str, list[str]]:
    """Return the pins that each location received as JSON, for the details of a problem."""
    return {name: sorted(map(str, found)) for name, found in sorted(pins.items())}


@partial(
    AlertRule,
    "key-changed",
    ("warning",),
    needs="probes",
    summary=(
        "a server replaced a pinned key by one that neither the pin file nor the journal names"
    ),
    why=(
        "The certificate was renewed with a new key, or another party has a certificate for that "
        "name."
    ),
)
@per_policy
def _key_changed(evidence: PolicyEvidence) -> Iterator[AlertFinding]:
    for view, chain in evidence.verified:
        if view.before is None or evidence.now - view.changed > evidence.settings.changes:
            continue
        old, new = leaf_pin(view.before), leaf_pin(chain)
        if old == new:
            continue
        # A pin of a certificate names its key, too.
        named = evidence.situation(evidence.views).same_keys(expected_pins(evidence))
        # If only authorities are pinned, a new key with each renewal is normal.
        if new in named or named.isdisjoint(pins_of(view.before.leaf)):
            continue
        yield policy_finding(
            evidence,
            "key-changed",
            "warning",
            f"{view.where}: it uses another key ({new}), which no pin file and no journal names",
            evidence.status_command(view),
            subject=f"{view.where} {new}",
            **view_details(view, since=view.changed),
            before=str(old),
            after=str(new),
            chain=chain_details(chain),
        )


@partial(
    AlertRule,
    "issuer-changed",
    ("warning", "info"),
    needs="probes",
    summary="a server's certificate is issued by another authority than before",
    why=(
        "A pinned authority may have left the path, or another party got a certificate for that "
        "name elsewhere. Another intermediate below the same root is information only."
    ),
)
@per_policy
def _issuer_changed(evidence: PolicyEvidence) -> Iterator[AlertFinding]:
    for view, chain in evidence.verified:
        if view.before is None or evidence.now - view.changed > evidence.settings.changes:
            continue
        if (severity := _change_severity(view.before, chain)) is None:
            continue
        old, new = _issuer(view.before), _issuer(chain)
        yield policy_finding(
            evidence,
            "issuer-changed",
            severity,
            f"{view.where}: its certificate is issued by {new}, and was by {old}",
            evidence.check_command(view),
            subject=f"{view.where} {new}",
            **view_details(view, since=view.changed),
            before=chain_details(view.before),
            after=chain_details(chain),
        )


def _change_severity(before: Chain, after: Chain) -> Severity | None:
    """Return the severity of the change from one verified chain of a server to another.

    ``before`` is the earlier chain, ``after`` the current one.

    Returns:
        "warning" if the new chain ends at another root: another authority issued it. "info" if the
        root is the same, but an intermediate differs. None for an ordinary renewal.
    """
    if before.certificates[-1].spki_sha256 != after.certificates[-1].spki_sha256:
        return "warning"
    old, new = ([entry.spki_sha256 for entry in chain.authorities] for chain in (before, after))
    return "info" if old != new or _issuer(before) != _issuer(after) else None


def _issuer(chain: Chain) -> str:
    with suppress(CertificateParseError):
        return chain.leaf.issuer[:200]
    return name_of(chain.certificates[-1])
