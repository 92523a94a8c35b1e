"""A rule about changes of authorities, root stores and log lists that clients depend on.

``certpin.calendar`` lists these changes. Rules about the expiry of certificates and pins are in
``rules.expiry``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from certpin.calendar import policy_events
from certpin.roots import load_data
from certpin_watch.rules.rule import AlertRule, per_policy, policy_finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin_watch.monitor.evidence import PolicyEvidence
    from certpin_watch.rules.rule import AlertFinding
    from certpin_watch.settings import Severity

_SEVERITIES: dict[str, Severity] = {
    "root": "warning",
    "log-list": "warning",
    "announcement": "info",
}
_LOG_LIST_AHEAD = 30  # days; a list that is replaced each month always has more left


@partial(
    AlertRule,
    "change-ahead",
    ("warning", "info"),
    needs="probes",
    summary=(
        "a root leaves a root store or expires, an authority has announced a change, or the log "
        "list of `require_ct` becomes too old (at most 30 days ahead), within `pins_warning` or "
        "already"
    ),
    why=(
        "The authority moves its customers to another root, or clients with a newer store refuse "
        "the chain: pins that match now may then match nothing, and new ones take time to ship. "
        "The facts are those of the installed release of certpin. With a log list of 70 days, "
        "clients no longer refuse a certificate with too few SCTs."
    ),
)
@per_policy
def _change_ahead(evidence: PolicyEvidence) -> Iterator[AlertFinding]:
    chains = tuple(dict.fromkeys(chain for _, chain in evidence.verified))
    today, ahead = evidence.now.date(), evidence.settings.pins_warning.days
    for event in policy_events(evidence.policy, chains, load_data(), evidence.now):
        days = min(ahead, _LOG_LIST_AHEAD) if event.kind == "log-list" else ahead
        if event.kind not in _SEVERITIES or not event.is_due(today, days):
            continue
        yield policy_finding(
            evidence,
            "change-ahead",
            _SEVERITIES[event.kind],
            f"{event.host}, {event.day}: {event.text}",
            f"certpin calendar {evidence.file}",
            subject=f"{event.kind} {event.subject}",
            day=f"{event.day}",
            fix=event.fix,
            source=event.source,
        )
