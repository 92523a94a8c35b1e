"""What strangers invent takes no room from what is there: pure.

Whoever sends reports chooses the hosts in them. Those that nobody watches are left out before
anything is counted (``gather``), and names below one pattern share what that pattern has.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from certpin_watch.finding import SEVERITIES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin_watch.finding import Finding
    from certpin_watch.snapshot import Patterns

MOST_FINDINGS = 20  # of a rule, for one pattern of a pin set


def bounded(findings: Iterable[Finding], patterns: Patterns) -> list[Finding]:
    """Of those of one rule, the worst for each pattern; what has no host is not invented."""
    kept: list[Finding] = []
    counts: Counter[str] = Counter()
    for each in sorted(findings, key=_worst):
        pattern = patterns.of(each.host) if each.host else ""
        counts[pattern] += 1
        if not pattern or counts[pattern] <= MOST_FINDINGS:
            kept.append(each)
    return kept


def _worst(finding: Finding) -> tuple[Any, ...]:
    told = [finding.details.get(name) for name in ("reports", "hour", "clients")]
    most = max((each for each in told if isinstance(each, int)), default=0)
    return (SEVERITIES.index(finding.severity), -most, finding.key)
