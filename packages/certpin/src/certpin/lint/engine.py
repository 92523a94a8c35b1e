"""Apply every lint rule to a parsed pin file. No I/O: the result depends only on the arguments."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from certpin.lint import (
    allow,
    ambiguity,
    expiry,
    exposure,
    live,
    lockout,
    providers,
    refused,
    roots,
    transparency,
)
from certpin.lint.allow import allowances, unused_allow
from certpin.lint.rule import Hit, LintFinding, LintRule
from certpin.support.sarif import SEVERITIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from certpin.lint.allow import Allowance
    from certpin.lint.document import LintDocument
    from certpin.support.sarif import Severity

# The order of the documentation. A new rule is one entry in the file of its family.
_FAMILIES = (
    *(refused, expiry, lockout, providers, roots, transparency, exposure, ambiguity, live, allow),
)
RULES: dict[str, LintRule] = {
    rule.id: rule
    for family in _FAMILIES
    for rule in vars(family).values()
    if isinstance(rule, LintRule)
}
_REFUSED = "refused"


@dataclass(frozen=True)
class LintReport:
    """The result of ``lint`` for one pin file, with findings in the order of their lines.

    ``findings`` are the mistakes to report. ``allowed`` are those that a comment in the pin file
    (``# certpin: allow``) allows; they are not in ``findings``.
    """

    findings: tuple[LintFinding, ...]
    allowed: tuple[LintFinding, ...]

    def at_least(self, severity: Severity) -> tuple[LintFinding, ...]:
        """Return the findings with this severity or a more serious one.

        The order is ``error``, ``warning``, ``note``; an error is the most serious.
        """
        chosen = SEVERITIES[: SEVERITIES.index(severity) + 1]
        return tuple(finding for finding in self.findings if finding.severity in chosen)


def lint(document: LintDocument, now: datetime) -> LintReport:
    """Apply every lint rule to a pin file, and return the findings.

    Rules that need the chains of servers or exported files run only if the document has them.

    Args:
        document: the pin file, as ``load_document`` read it.
        now: the current time, with a time zone.

    Returns:
        The findings. Their strings can quote the file: escape them before printing.
    """
    found = _most_specific([hit for rule in RULES.values() for hit in _run(rule, document, now)])
    allowed, unused = _apply_allowances(found, document)
    found = [finding for finding in found if finding not in allowed]
    found += [_finding(unused_allow, hit, document) for hit in unused]
    return LintReport(_ordered(found), _ordered(allowed.values()))


def _run(rule: LintRule, document: LintDocument, now: datetime) -> Iterator[LintFinding]:
    if _can_run(rule, document):
        yield from (_finding(rule, hit, document) for hit in rule.check(document, now))


def _can_run(rule: LintRule, document: LintDocument) -> bool:
    """Return True if a document has the data that a lint rule needs (``LintRule.needs``).

    Other rules are skipped: chains of servers and exported files are optional.
    """
    if rule.needs == "live":
        return document.live is not None
    return rule.needs != "exports" or document.exported is not None


def _finding(rule: LintRule, hit: Hit, document: LintDocument) -> LintFinding:
    host = document.by_key.get(hit.key.partition(".")[0])
    return LintFinding(
        rule=rule.id,
        severity=rule.severity,
        file=document.path,
        line=hit.line or document.line(hit.key),
        key=hit.key,
        host=str(host) if host else "",
        message=hit.message,
        fix=hit.fix or rule.fix,
    )


def _most_specific(found: list[LintFinding]) -> list[LintFinding]:
    """Return lint findings without those of the rule ``refused`` that another rule explains better.

    ``found`` are all findings. The rule ``refused`` reports every value because of which clients
    refuse the pin file. Its finding is dropped if another rule with ``refuses`` has a finding at
    the same TOML key, or at a key inside the table with this key.
    """
    reported = {
        parent
        for finding in found
        if RULES[finding.rule].refuses and finding.rule != _REFUSED
        for parent in _with_parents(finding.key)
    }
    return [each for each in found if each.rule != _REFUSED or each.key not in reported]


def _with_parents(key: str) -> Iterator[str]:
    """Yield a full TOML key of the pin file, and then the keys of the tables that contain it.

    For ``host[0].pin[1].pin``, also yield ``host[0].pin[1]`` and ``host[0]``. A finding at one of
    them is explained by a finding at the key.
    """
    while key:
        yield key
        key = key.rpartition(".")[0]


def _apply_allowances(
    found: list[LintFinding], document: LintDocument
) -> tuple[dict[LintFinding, LintFinding], list[Hit]]:
    """Match lint findings with the comments (``# certpin: allow``) that allow them.

    Args:
        found: the findings.
        document: the pin file, with its comments.

    Returns:
        A dictionary from each allowed finding to its copy, in which ``allowed`` is the comment's
        reason. Then a list of the mistakes in the comments themselves: one ``Hit`` for each rule
        that a comment names without effect, if ``_why_unused`` gives a reason to report it.
    """
    candidates: dict[tuple[str, int], list[LintFinding]] = defaultdict(list)
    for finding in found:
        if not RULES[finding.rule].refuses:
            candidates[finding.rule, finding.line].append(finding)
    allowed: dict[LintFinding, LintFinding] = {}
    unused: list[Hit] = []
    for allowance in allowances(document.places.comments):
        for name in allowance.rules:
            matched = candidates.get((name, allowance.line), []) if allowance.reason else []
            allowed |= {each: replace(each, allowed=allowance.reason) for each in matched}
            if not matched and (problem := _why_unused(name, allowance, document)):
                unused.append(Hit("", problem, line=allowance.comment))
    return allowed, unused


def _why_unused(name: str, allowance: Allowance, document: LintDocument) -> str:
    """Return the reason to report an ``allow`` comment that allows nothing; empty for no report.

    Three mistakes are reported: the rule doesn't exist, no comment can allow it, or it finds
    nothing at that line. But the third mistake is not reported if this run lacks the data that the
    rule needs, nor for ``live`` rules, because the comment can be about a server that was not
    contacted. It is not reported for a comment without a reason either: the rule
    ``allow-without-reason`` reports that.

    Args:
        name: the rule that the comment names.
        allowance: the comment.
        document: the pin file.
    """
    rule = RULES.get(name)
    if rule is None:
        near = get_close_matches(name[:40], RULES, n=1)
        hint = f": did you mean {near[0]}?" if near else ""
        return f"there is no rule {name[:40]!r}{hint}"
    if rule.refuses:
        return f"{name} cannot be allowed: no client loads such a file"
    if allowance.reason and rule.needs != "live" and _can_run(rule, document):
        return f"{name} finds nothing there that could be allowed"
    return ""


def _ordered(found: Iterable[LintFinding]) -> tuple[LintFinding, ...]:
    return tuple(
        sorted(found, key=lambda each: (each.line, SEVERITIES.index(each.severity), each.rule))
    )
