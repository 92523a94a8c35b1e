"""All rules over all that is watched. Pure: the same scene has the same findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin_watch.finding import SEVERITIES
from certpin_watch.monitor.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin_watch.finding import Finding
    from certpin_watch.monitor.case import Scene


def judge(scene: Scene) -> list[Finding]:
    """The findings, the worst first; each once, as the worst that is said of it."""
    found: dict[str, Finding] = {}
    for finding in sorted(_all(scene), key=lambda each: SEVERITIES.index(each.severity)):
        found.setdefault(finding.key, finding)
    return list(found.values())


def _all(scene: Scene) -> Iterator[Finding]:
    for rule in RULES:
        if rule.scene:
            yield from rule.scene(scene)
        for case in scene.cases if rule.case else ():
            yield from rule.case(case) if rule.case else ()
