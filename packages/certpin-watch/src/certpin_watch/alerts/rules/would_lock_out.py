"""``would-lock-out``: clients only report what they would refuse, were the pins enforced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin_watch.alerts.rules._counting import by_host, clients, command, shares, total
from certpin_watch.alerts.rules.strange_chain import is_strange
from certpin_watch.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin_watch.alerts.evidence import Evidence


def find(evidence: Evidence) -> Iterator[Finding]:
    """Reports of clients that let the connection pass; those of strange chains have their rule."""
    passed = [
        each
        for each in evidence.groups
        if each.decision == "report" and not is_strange(evidence, each)
    ]
    for host, groups in by_host(passed).items():
        watched = evidence.watched(host)
        if watched is None or total(groups) < evidence.settings.few:
            continue
        where = shares(groups, {"app_version": "with the app version"})
        yield Finding(
            "would-lock-out",
            "warning",
            host,
            watched.pins.name,
            f"{total(groups)} connections in a day would have been refused, were the pins "
            "enforced" + (f"; {where}" if where else ""),
            command("check", host, pins=watched.path),
            {
                "clients": clients(evidence, groups, watched.pins.name),
                "reports": total(groups),
                "versions": sorted({each.version for each in groups if each.version})[:20],
            },
        )
