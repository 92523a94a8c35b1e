"""The sentences and the counts that all reports share: terminal, HTML, JUnit and SARIF.

The client's command may contain secrets, and reports are shared. So only arguments that are known
to be harmless are shown, and all others are replaced.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin.lab.attacks import CONTROL
from certpin.lab.case import Expect, Family
from certpin.lab.client import SUBSTITUTIONS
from certpin.lab.pki import Style
from certpin.lab.verdict import Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from certpin.lab.case import Case
    from certpin.lab.evidence import Connection, Ending
    from certpin.lab.runner import Result, Run


STYLES = {
    Style.NONE: "no pins",
    Style.LEAF: "pins on the server's key",
    Style.CA: "pins on the authority",
}
EXPECTED = {
    Expect.ACCEPT: "must accept",
    Expect.REJECT: "must refuse",
    Expect.EITHER: "either is right",
    Expect.WARN: "should refuse",
    Expect.POLICY: "your policy decides",
    Expect.UNDEFINED: "does not apply to this client",
}
OUTCOMES = {
    Outcome.RIGHT: "right",
    Outcome.WRONG: "wrong",
    Outcome.WARNING: "warning",
    Outcome.TOLD: "for you to decide",
    Outcome.UNDECIDED: "undecided",
    Outcome.NOT_RUN: "not run",
}
_DID = {
    Verdict.ACCEPT: "accepted",
    Verdict.REJECT: "refused",
    Verdict.LEAK: "reported an error after it had sent its data",
}


def headline(run: Run) -> str:
    """Return the result of the run in one sentence, as the title of reports."""
    if _untried(run):
        return "Nothing is proven: the client cannot be served"
    if not run.controlled:
        return "Nothing is proven: the client did not accept the honest server"
    counted = tally(run)
    if counted.got_through:
        return _through(counted)
    if counted.refused:
        return f"{counted.refused} of {_many(counted.honest, 'honest server')} {_were(counted)}"
    if counted.undecided:
        return f"{_many(counted.undecided, 'case')} could not be decided"
    return _nothing_through(counted)


def summary(run: Run) -> list[str]:
    """Return the headline and the sentences below it."""
    return [f"{headline(run)}.", *details(run)]


def details(run: Run) -> list[str]:
    """Return the sentences below the headline: honest servers, warnings and undecided cases."""
    counted = tally(run)
    lines = []
    if untried := _untried(run):
        lines.append(f"{untried}.")
    elif not run.controlled:
        lines.append(
            "A client that does not reach an honest server refuses every attack too, so the "
            "refusals below prove nothing. Fix that first."
        )
        if counted.got_through:
            lines.append(f"The leaks are real nevertheless: {_through(counted)}.")
    elif counted.honest:
        lines.append(_honest(counted))
    return lines + _beside(counted)


def _untried(run: Run) -> str:
    """Return the reason why the good control could not be run; empty if it was run."""
    first = next(iter(run.results), None)
    if first is None or first.case is not CONTROL or first.outcome is not Outcome.NOT_RUN:
        return ""
    return first.why


def verdict_line(result: Result) -> str:
    """Return what the client did in a case and whether that is right, as one line."""
    if result.outcome in {Outcome.NOT_RUN, Outcome.UNDECIDED} or result.verdict is None:
        return f"{OUTCOMES[result.outcome]}: {result.why}"
    did = _DID.get(result.verdict, result.why)
    if result.outcome is Outcome.WRONG:
        return _wrong(result)
    if result.outcome is Outcome.WARNING:
        return f"the client {did}; it should refuse before it sends anything"
    if result.outcome is Outcome.TOLD:
        return f"the client {did}; your policy decides whether that is right"
    return f"the client {did}, {_right(result)}"


def explain(result: Result) -> list[str]:
    """Return the explanation of a finding as lines: what happened, evidence, meaning, fix."""
    case = result.case
    lines = [verdict_line(result)]
    if result.why not in lines[0]:
        lines.append(f"evidence: {result.why}")
    lines.append(f"this case checks: {case.guards}")
    if case.fix:
        lines.append(f"fix: {case.fix}")
    if case.reference:
        lines.append(f"see {case.reference}")
    return lines


def ending(end: Ending) -> str:
    """Return how the client ended, in words."""
    if end.problem:
        return end.problem
    if end.status is None:
        return "it was stopped"
    if end.status < 0:
        return f"killed by signal {-end.status}"
    says = "it reports success" if end.content else "it reports an error"
    return f"exit status {end.status}: {says}"


def server(seen: Connection) -> str:
    """Return the name of the server that a connection reached; empty if it reached none."""
    if seen.step and (seen.hostile or not seen.clear):
        return seen.step.role.value
    return "no TLS" if seen.clear else ""


def _wrong(result: Result) -> str:
    if is_honest(result):
        return "the client refused a server that it must accept"
    if result.expect is Expect.ACCEPT:
        return "the client refused a server that its style accepts: does it have other pins?"
    if result.verdict is Verdict.LEAK:
        return "the attack got through: the client noticed it after it had sent its data"
    return "the attack got through: the client accepted it"


def _right(result: Result) -> str:
    if is_beyond(result):
        styles = " or ".join(STYLES[style] for style in refused_by(result.case))
        return f"as expected for its style; a client with {styles} refuses"
    if result.expect is Expect.ACCEPT:
        return "as it must"
    return "as it should" if result.verdict is Verdict.REJECT else "which is allowed"


def _honest(counted: CaseCounts) -> str:
    if not counted.refused:
        return f"{_all_of(counted.honest, 'honest server')} accepted."
    refused = f"{counted.refused} of {_many(counted.honest, 'honest server')}"
    return f"{refused} {_were(counted)}: a legitimate change would lock the client out."


def _beside(counted: CaseCounts) -> list[str]:
    said = (
        (counted.beyond, "more would get through, because only other pins stop them", "attack"),
        (counted.warnings, "ended with a warning", "case"),
        (counted.for_policy, "had no right or wrong result: your policy decides", "case"),
        (counted.undecided, "ended undecided: without a verdict, nothing is proven", "case"),
        (counted.not_run, "could not be run, for the reasons shown", "case"),
    )
    return [f"{_many(number, noun)} {words}." for number, words, noun in said if number]


def _nothing_through(counted: CaseCounts) -> str:
    if not counted.attacks:
        return "No attack was run"
    if counted.attacks == 1:
        return "The one attack did not get through"
    return f"None of the {counted.attacks} attacks got through"


def _through(counted: CaseCounts) -> str:
    return f"{counted.got_through} of {_many(counted.attacks, 'attack')} got through"


def _were(counted: CaseCounts) -> str:
    return "was refused" if counted.refused == 1 else "were refused"


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _all_of(number: int, noun: str) -> str:
    return f"The one {noun} was" if number == 1 else f"All {number} {noun}s were"


_DECIDED = {Outcome.RIGHT, Outcome.WRONG}


@dataclass(frozen=True)
class CaseCounts:
    """The numbers of attacks and honest servers, and of their failures.

    ``beyond`` are accepted attacks that a client of this style can't detect. They are not findings,
    but reports mention them.
    """

    attacks: int
    got_through: int
    honest: int
    refused: int
    beyond: int
    warnings: int
    for_policy: int
    undecided: int
    not_run: int


def tally(run: Run) -> CaseCounts:
    """Count the attacks and honest servers in a run, and their failures."""
    cases = [result for result in run.results if result.case is not CONTROL]
    decided = [result for result in cases if result.outcome in _DECIDED]
    attacks = [result for result in decided if result.expect is Expect.REJECT]
    honest = [result for result in decided if is_honest(result)]
    return CaseCounts(
        attacks=len(attacks),
        got_through=_count(attacks, Outcome.WRONG),
        honest=len(honest),
        refused=_count(honest, Outcome.WRONG),
        beyond=sum(map(is_beyond, cases)),
        warnings=_count(cases, Outcome.WARNING),
        for_policy=_count(cases, Outcome.TOLD),
        undecided=_count(cases, Outcome.UNDECIDED),
        not_run=_count(cases, Outcome.NOT_RUN),
    )


def is_honest(result: Result) -> bool:
    """Return True if the server of a case was honest, and the client must accept it.

    A case of the family of legitimate changes counts even if clients with other pins refuse it.
    """
    legitimate = result.case.family is Family.ROTATION or not refused_by(result.case)
    return result.expect is Expect.ACCEPT and legitimate


def is_beyond(result: Result) -> bool:
    """Return True if the client accepted an attack that a client of its style can't detect."""
    allowed = result.expect in {Expect.ACCEPT, Expect.EITHER} and not is_honest(result)
    return allowed and result.verdict is Verdict.ACCEPT and bool(refused_by(result.case))


def refused_by(case: Case) -> tuple[Style, ...]:
    """Return the styles of pins with which a client must refuse this case."""
    return tuple(style for style in Style if case.expected.of(style) is Expect.REJECT)


def exit_code(run: Run) -> int:
    """Return the exit code for a run: 0 success, 1 a finding, 3 inconclusive or not tried."""
    if run.count(Outcome.WRONG):
        return 1
    cases = [result for result in run.results if result.case is not CONTROL]
    tried = any(result.outcome is not Outcome.NOT_RUN for result in cases)
    return 0 if tried and run.controlled and not run.count(Outcome.UNDECIDED) else 3


def _count(results: list[Result], outcome: Outcome) -> int:
    return sum(result.outcome is outcome for result in results)


HIDDEN = "…"

_NAMES = "|".join(map(re.escape, SUBSTITUTIONS))
_PLACEHOLDER = re.compile(rf"(\{{(?:{_NAMES})\}})")
_HARMLESS_AROUND = re.compile(r"(?:--?[A-Za-z-]{1,32}=?)?|[:/;,]{1,3}|https://|http://")
_LONG_OPTION = re.compile(r"--[A-Za-z][A-Za-z-]{0,40}")
_SHORT_OPTION = re.compile(r"-[A-Za-z]{1,4}")  # -sSfL; a longer one may include a value
_JAVA_OPTION = re.compile(r"-(?:jar|cp|classpath|Xmx\d+m)")
_PROGRAM = re.compile(
    r"(?:[\w.-]{1,64}/)*[\w-]{1,64}\.(?:py|js|mjs|ts|rb|pl|php|sh|jar|go|dart|exe)"
)


def safe_arguments(words: Sequence[str]) -> list[str]:
    """Return the client's command without arguments that may be secret.

    The program, its options, placeholders and program files are kept; ``…`` replaces the rest.
    """
    return list(_safe_arguments(words))


def _safe_arguments(words: Sequence[str]) -> Iterator[str]:
    for number, word in enumerate(words):
        if number == 0:
            yield word.rpartition("/")[2]
        elif _PLACEHOLDER.search(word):
            yield _safe_around_placeholders(word)
        else:
            yield _safe_argument(word)


def _safe_argument(word: str) -> str:
    for harmless in (_LONG_OPTION, _SHORT_OPTION, _JAVA_OPTION, _PROGRAM):
        if harmless.fullmatch(word):
            return word
    option, equals, _ = word.partition("=")
    return f"{option}={HIDDEN}" if equals and _LONG_OPTION.fullmatch(option) else HIDDEN


def _safe_around_placeholders(word: str) -> str:
    """Return a word with its placeholders; replace other parts that may be secret."""
    pieces = _PLACEHOLDER.split(word)
    return "".join(
        piece if number % 2 or _HARMLESS_AROUND.fullmatch(piece) else HIDDEN
        for number, piece in enumerate(pieces)
    )
