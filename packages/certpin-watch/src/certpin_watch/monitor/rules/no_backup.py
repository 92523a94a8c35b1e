"""Every pin is in the chain that is served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.rotation.gate import backup
from certpin_watch.monitor.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin_watch.finding import Finding
    from certpin_watch.monitor.case import Case

ID = "no-backup"


def _look(case: Case) -> Iterator[Finding]:
    breach = backup(case.situation()) if case.verified else None
    if breach is not None:
        yield case.finding(
            ID,
            "warning",
            f"{case.policy.pattern}: {breach.problem}",
            f"certpin rotate status --file {case.file}",
            clients=breach.clients,
            fix=breach.fix,
        )


RULE = Rule(
    ID,
    "no pin is left outside the chain that is served",
    "If that key is lost, there is no key that clients accept.",
    case=_look,
)
