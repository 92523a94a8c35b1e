"""A host shows one thing here and another there."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from certpin_watch.monitor.rules.matching import accepted, leaf_pin
from certpin_watch.monitor.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.pins import Pin
    from certpin_watch.finding import Finding
    from certpin_watch.monitor.case import Case, Look

ID = "vantages-disagree"


def _look(case: Case) -> Iterator[Finding]:
    by_target: dict[tuple[str, int, str], list[Look]] = defaultdict(list)
    for look in case.looks:
        if look.outcome != "unreachable":
            by_target[look.target.key].append(look)
    for looks in by_target.values():
        yield from _compare(case, looks)


def _compare(case: Case, looks: list[Look]) -> Iterator[Finding]:
    seen: dict[str, set[Pin]] = defaultdict(set)
    good: dict[str, bool] = {}
    for look in looks:
        if look.verified or look.served:
            seen[look.vantage].add(leaf_pin(look.verified or look.served))  # type: ignore[arg-type]
        good[look.vantage] = good.get(look.vantage, True) and accepted(case, look)
    if len(seen) < 2:
        return
    bad = sorted(name for name, fine in good.items() if not fine)
    target = looks[0]
    details = {name: sorted(map(str, pins)) for name, pins in sorted(seen.items())}
    if bad and len(bad) < len(good):
        fine = sorted(good.keys() - set(bad))
        yield case.finding(
            ID,
            "critical",
            f"{target.name}: from {', '.join(bad)} it shows what clients refuse, and from "
            f"{', '.join(fine)} what they accept: one of its servers is wrong, or somebody stands "
            f"between {bad[0]} and it",
            case.check(target),
            subject=target.target.way or target.name,
            keys=details,
            refused_from=bad,
        )
    elif not set.intersection(*seen.values()):
        yield case.finding(
            ID,
            "info",
            f"{target.name}: it uses different keys, seen from {', '.join(sorted(seen))}",
            case.check(target),
            subject=target.target.way or target.name,
            keys=details,
        )


RULE = Rule(
    ID,
    "a host shows something else to one vantage than to another",
    "One edge of a CDN is wrong, or somebody stands between a network and the server. Different "
    "keys that clients all accept are told as information: a rotation may be on its way.",
    case=_look,
)
