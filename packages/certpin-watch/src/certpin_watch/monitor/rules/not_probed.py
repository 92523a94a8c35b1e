"""Something is pinned, or named in the settings, and nobody looks at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin_watch.finding import Finding
from certpin_watch.monitor.results import MAX_BYTES, encoded_size
from certpin_watch.monitor.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin_watch.monitor.case import Case, Scene

ID = "not-probed"
_ROOM = 64 * 1024  # bytes of a job for everything but its anchors


def _look(scene: Scene) -> Iterator[Finding]:
    for case in scene.cases:
        if not case.charge.targets:
            yield case.finding(
                ID,
                "info",
                f"nobody looks at {case.policy.pattern}: a wildcard has no host of its own",
                "write its servers into the pin file: [[host.server]]",
            )
        yield from _too_large(case)
    named = {target.host for case in scene.cases for target in case.charge.targets}
    for each in scene.settings.hosts:
        if each.name not in named and not scene.problems:
            yield Finding(
                ID,
                "warning",
                each.name,
                "",
                f"{each.name} stands in [[monitor.host]], and no watched pin set covers it",
                "name its pin file under `pins`, or take it out of watch.toml",
            )


def _too_large(case: Case) -> Iterator[Finding]:
    trust = case.policy.trust
    others = {name for each in case.charge.targets for name in each.vantages}
    others.discard(case.settings.vantage)
    if trust and others and encoded_size(trust.der) > MAX_BYTES - _ROOM:
        yield case.finding(
            ID,
            "warning",
            f"{case.policy.pattern} has more trust anchors than a worker can be sent",
            f"certpin lint {case.file}",
            subject="anchors",
        )


RULE = Rule(
    ID,
    "a pattern is pinned, or a host named in the settings, and nobody looks at it",
    "What is wrong there is not seen.",
    scene=_look,
)
