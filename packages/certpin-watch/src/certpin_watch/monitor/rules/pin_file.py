"""A watched pin file, or its journal, cannot be read."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from certpin_watch.finding import Finding
from certpin_watch.monitor.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin_watch.monitor.case import Scene

ID = "pin-file-unreadable"


def _look(scene: Scene) -> Iterator[Finding]:
    for problem in scene.problems:
        path = problem.partition(":")[0]
        yield Finding(
            rule=ID,
            severity="critical",
            host="",
            pin_set="",
            summary=f"a watched file cannot be used: {problem}",
            command=f"certpin lint {shlex.quote(path)}",
            subject=path,
            details={"problem": problem},
        )


RULE = Rule(
    ID,
    "a watched pin file, or the journal beside it, cannot be read",
    "Hosts are judged by what it said last; after a restart nobody looks at them.",
    scene=_look,
)
