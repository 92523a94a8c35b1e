"""Judge a document by every rule: pure, over (document, now)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from certpin.lint.allow import allowances
from certpin.lint.rule import SEVERITIES, Finding, Hit, Rule, Severity
from certpin.lint.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from certpin.lint.allow import Allowance
    from certpin.lint.document import Document

_REFUSED, _UNUSED = "refused", "unused-allow"


@dataclass(frozen=True)
class Report:
    """The outcome: what was found, and what was found and allowed. In the order of the lines."""

    findings: tuple[Finding, ...]
    allowed: tuple[Finding, ...]

    def at_least(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings that are as bad as this, or worse."""
        worst = SEVERITIES[: SEVERITIES.index(severity) + 1]
        return tuple(each for each in self.findings if each.severity in worst)


def lint(document: Document, now: datetime) -> Report:
    """Every finding of every rule whose facts the document holds. ``now`` has a time zone."""
    found = _without_told([each for rule in RULES.values() for each in _of(rule, document, now)])
    allowed, unused = _allow(found, document)
    found = [each for each in found if each not in allowed]
    found += [_finding(RULES[_UNUSED], hit, document) for hit in unused]
    return Report(_ordered(found), _ordered(allowed.values()))


def has_facts(rule: Rule, document: Document) -> bool:
    """Whether the document holds what a rule is about."""
    if rule.needs == "live":
        return document.live is not None
    return rule.needs != "exports" or document.exported is not None


def _of(rule: Rule, document: Document, now: datetime) -> Iterator[Finding]:
    if has_facts(rule, document):
        yield from (_finding(rule, hit, document) for hit in rule.check(document, now))


def _finding(rule: Rule, hit: Hit, document: Document) -> Finding:
    host = document.by_key.get(hit.key.partition(".")[0])
    return Finding(
        rule=rule.id,
        severity=rule.severity,
        file=document.path,
        line=hit.line or document.line(hit.key),
        key=hit.key,
        host=str(host) if host else "",
        message=hit.message,
        fix=hit.fix or rule.fix,
    )


def _without_told(found: list[Finding]) -> list[Finding]:
    """Leave out what clients refuse and a rule with a better name has told, at the same key."""
    told = {
        above
        for each in found
        if RULES[each.rule].refuses and each.rule != _REFUSED
        for above in _and_above(each.key)
    }
    return [each for each in found if each.rule != _REFUSED or each.key not in told]


def _and_above(key: str) -> Iterator[str]:
    """A key, and those that it is part of: ``host[0].pin[1].pin``, ``host[0].pin[1]``, …."""
    while key:
        yield key
        key = key.rpartition(".")[0]


def _allow(found: list[Finding], document: Document) -> tuple[dict[Finding, Finding], list[Hit]]:
    """Findings with the reason for which they are allowed, and what allows nothing."""
    meant: dict[tuple[str, int], list[Finding]] = defaultdict(list)
    for each in found:
        if not RULES[each.rule].refuses:
            meant[each.rule, each.line].append(each)
    allowed: dict[Finding, Finding] = {}
    unused: list[Hit] = []
    for allowance in allowances(document.places.comments):
        for name in allowance.rules if allowance.reason else ():
            matched = meant.get((name, allowance.line), [])
            allowed |= {each: replace(each, allowed=allowance.reason) for each in matched}
            if not matched and _should_match(name, document):
                unused.append(_idle(allowance, name))
    return allowed, unused


def _should_match(name: str, document: Document) -> bool:
    """Whether a rule was asked in full; what servers present is never all there is."""
    rule = RULES.get(name)
    return bool(rule and not rule.refuses and rule.needs != "live" and has_facts(rule, document))


def _idle(allowance: Allowance, name: str) -> Hit:
    return Hit("", f"{name} finds nothing there that could be allowed", line=allowance.comment)


def _ordered(found: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(
        sorted(found, key=lambda each: (each.line, SEVERITIES.index(each.severity), each.rule))
    )
