"""Group the findings of a lab run by cause: one mistake of a client makes it fail many cases.

For example, ``curl -k`` fails most attacks of the lab, because it accepts any certificate. Most
causes are faults in the list of ``certpin.lab.report.faults``, each of which is recognised by a
pattern of verdicts. Findings that fit no pattern are grouped by their fix.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from certpin.lab.report.faults import FAULTS, VerdictPattern, locked_out
from certpin.lab.verdict import Outcome
from certpin.support.text import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from certpin.lab.case import Family
    from certpin.lab.runner import Result

_PROOF = 3  # cases


@dataclass(frozen=True)
class Cause:
    """One mistake of a client, and the findings that it explains, in the order of the run.

    Attributes:
        title: the mistake, as a sentence without a full stop.
        fix: the change to make.
        results: the findings: the cases with a wrong result.
        proof: the two or three results of the run that show the mistake best; only one if the run
            has few cases. It can include a right result, because a similar case that the client
            passed shows that the mistake is limited.
        fixes: the fix in each programming language, by the language's name; empty if the findings
            fit no pattern.
    """

    title: str
    fix: str
    results: tuple[Result, ...]
    proof: tuple[Result, ...]
    fixes: Mapping[str, str] = field(default_factory=dict)

    @property
    def cases(self) -> tuple[str, ...]:
        """The names of the cases that the client failed because of this mistake."""
        return tuple(result.case.name for result in self.results)


def find_causes(results: Sequence[Result]) -> list[Cause]:
    """Return the causes of the wrong results of a run. The cause of most results is first.

    The causes depend only on the verdicts. Each wrong result belongs to exactly one cause.

    Args:
        results: all results of the run. Right results are needed too, because they exclude causes.
            For example, a client that refuses a certificate for another name does not have the
            mistake of accepting every certificate.
    """
    left = [result for result in results if result.outcome is Outcome.WRONG]
    seen = VerdictPattern(results)
    causes = []
    for fault in FAULTS:
        explained = [result for result in left if fault.explains(result)]
        if explained and fault.shown_by(seen):
            proof = _proof(fault.proof, results, explained)
            languages = fault.remedy.by_language
            causes.append(Cause(fault.title, fault.fix, tuple(explained), proof, languages))
            left = [result for result in left if result not in explained]
    by_fix: dict[tuple[Family, str], list[Result]] = {}
    for result in left:
        by_fix.setdefault((result.case.family, result.case.fix), []).append(result)
    for (_, fix), same in by_fix.items():
        causes.append(Cause(_title(same), fix, tuple(same), tuple(same[:_PROOF])))
    return sorted(causes, key=lambda cause: -len(cause.results))


def _proof(
    names: Sequence[str], results: Sequence[Result], explained: Sequence[Result]
) -> tuple[Result, ...]:
    """Return the results that prove a fault: at most three, and at least one of them wrong.

    The wrong results come first. They are those of the cases in ``names`` that the fault explains;
    if there are none, the first of all results that it explains. Right results follow, because they
    show the limit of the fault. They are those of the cases in ``names`` that the client passed; if
    there are none, that of one other passed case with the same expected reaction. If there is a
    right result, one of the three places is kept for it.

    Args:
        names: the cases that show the fault best, in order.
        results: all results of the run.
        explained: the findings (wrong results) that the fault explains.
    """
    decided = {Outcome.WRONG, Outcome.RIGHT}
    by_name = {result.case.matrix_name: result for result in results if result.outcome in decided}
    best = [by_name[name] for name in names if name in by_name]
    wrong = [result for result in best if result in explained] or list(explained)
    right = [result for result in best if result.outcome is Outcome.RIGHT] or [
        result
        for result in results
        if result.outcome is Outcome.RIGHT and result.expect is wrong[0].expect
    ][:1]
    return (*wrong[: _PROOF - bool(right)], *right)[:_PROOF]


def _title(same: Sequence[Result]) -> str:
    """Return the title for a group of findings that fit no pattern.

    The first finding of the group decides. If the client refused an honest server, the title says
    so. Otherwise it names the rule that the case checks; or the case, if the text of its rule does
    not fit into the title.

    Args:
        same: the findings of the group, which have the same fix.
    """
    first = same[0]
    if locked_out(first):
        return f"The client refuses an honest server ({first.case.name})"
    rule = re.split(r"[.:;] ", first.case.guards)[0]
    if rule.startswith("that "):
        return f"The client does not ensure {rule}"
    return f"The client fails the case {first.case.name}"


def cause_lines(causes: Sequence[Cause]) -> list[str]:
    """Return the causes as numbered lines of text, with their fixes and the failed cases."""
    lines = []
    for number, cause in enumerate(causes, 1):
        lines.append(f"{number}. {cause.title}: {_count(cause)}")
        lines.append(f"   fix: {cause.fix}")
        lines.append(f"   proof: {proof_line(cause)}")
        lines.append(f"   cases: {', '.join(cause.cases)}")
    return lines


def proof_line(cause: Cause) -> str:
    """Return the cases that prove a cause in one line, each with the client's verdict.

    For example: ``rogue-ca-in-store (ACCEPT), expired (REJECT)``.
    """
    return ", ".join(f"{result.case.name} ({result.verdict})" for result in cause.proof)


def _count(cause: Cause) -> str:
    number = len(cause.results)
    if all(map(locked_out, cause.results)):
        return "1 honest server was refused" if number == 1 else f"{number} honest servers refused"
    return f"{counted(number, 'attack')} got through"
