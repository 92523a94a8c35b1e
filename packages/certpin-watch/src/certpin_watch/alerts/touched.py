"""How many clients a trouble touches: pure, from what clients told of the versions they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin_watch.alerts.evidence import Holders
    from certpin_watch.finding import Finding


def touched(finding: Finding, holders: Iterable[Holders]) -> int | None:
    """What the finding itself knows, else those who hold the versions that it names, else all.

    ``None`` where no pin set is concerned, or nobody told which one he holds.
    """
    if "clients" in finding.details or not finding.pin_set:
        return finding.clients
    named = finding.details.get("versions")
    some = named if isinstance(named, (list, tuple)) else ()
    versions = {each for each in some if isinstance(each, int)}
    found = [
        each.clients
        for each in holders
        if each.pin_set == finding.pin_set and (not versions or each.version in versions)
    ]
    return sum(found) if found else None
