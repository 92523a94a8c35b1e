"""Counting what groups of reports say, and naming the command that looks closer."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import TYPE_CHECKING

from certpin.x509 import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from certpin_watch.alerts.evidence import Evidence, Group
    from certpin_watch.finding import Severity

_MOST = 5
_LONGEST = 60


def by_host(groups: Iterable[Group]) -> dict[str, list[Group]]:
    """Groups by their host, in the order of names."""
    found: dict[str, list[Group]] = {}
    for each in groups:
        found.setdefault(each.host, []).append(each)
    return dict(sorted(found.items()))


def total(groups: Iterable[Group]) -> int:
    """How many reports they are."""
    return sum(each.reports for each in groups)


def top(groups: Sequence[Group], name: str) -> list[tuple[str, int]]:
    """What most of them say of ``name``, with its count; what says nothing is left out."""
    counts: Counter[str] = Counter()
    for each in groups:
        if value := str(getattr(each, name)):
            counts[value[:_LONGEST]] += each.reports
    return counts.most_common(_MOST)


def shares(groups: Sequence[Group], names: dict[str, str]) -> str:
    """Where they come from: ``93 % of them in the network wifi``; empty where nothing is said."""
    whole = total(groups) or 1
    words = [
        f"{round(100 * count / whole)} % of them {before} {printable(value)}"
        for name, before in names.items()
        for value, count in top(groups, name)[:1]
    ]
    return ", ".join(words)


def networks(evidence: Evidence, host: str, groups: Iterable[Group]) -> int:
    """From how many networks of different providers these were told."""
    return evidence.told_from(host, {each.chain for each in groups})


def by_word(evidence: Evidence, told_from: int) -> Severity:
    """How bad that is which only clients say, and which would be critical were it known to be so.

    Everybody may say it as often as he likes, but from his own networks. So from few of them it is
    a warning: nobody is woken by whoever can reach the collector (docs/decisions/0032).
    """
    return "critical" if told_from >= evidence.settings.networks else "warning"


def clients(evidence: Evidence, groups: Sequence[Group], pin_set: str) -> int | None:
    """How many clients they are at most, where it is known how many there are at all."""
    holding = evidence.holding(pin_set)
    return None if holding is None else min(holding, total(groups))


def command(*words: str, pins: Path | None = None) -> str:
    """A command of certpin, as a shell takes it."""
    some = ["--file", str(pins)] if pins else []
    return shlex.join(["certpin", *words, *some])
