"""The sentences that every report shares: terminal, HTML, JUnit and SARIF say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.attacks import CONTROL
from certpin.lab.case import Expect
from certpin.lab.pki import Style
from certpin.lab.report.tally import is_beyond, is_honest, refused_by, tally
from certpin.lab.verdict import Outcome, Verdict

if TYPE_CHECKING:
    from certpin.lab.evidence import Connection, Ending
    from certpin.lab.report.tally import Tally
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
    Expect.UNDEFINED: "means nothing for this client",
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
    Verdict.LEAK: "reported an error, after its data was gone",
}


def headline(run: Run) -> str:
    """Return the result of the run in one sentence."""
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
    """Return the sentences below the headline."""
    counted = tally(run)
    lines = []
    if untried := _untried(run):
        lines.append(f"{untried}.")
    elif not run.controlled:
        lines.append(
            "A client that does not reach a good server refuses every attack too, so the "
            "refusals below prove nothing. Mend that first."
        )
        if counted.got_through:
            lines.append(f"What it gave away is real all the same: {_through(counted)}.")
    elif counted.honest:
        lines.append(_honest(counted))
    return lines + _beside(counted)


def _untried(run: Run) -> str:
    """Return why the good control could not be run; empty if it was."""
    first = next(iter(run.results), None)
    if first is None or first.case is not CONTROL or first.outcome is not Outcome.NOT_RUN:
        return ""
    return first.why


def verdict_line(result: Result) -> str:
    """Describe the client's behaviour in one case, and its outcome."""
    if result.outcome in {Outcome.NOT_RUN, Outcome.UNDECIDED} or result.verdict is None:
        return f"{OUTCOMES[result.outcome]}: {result.why}"
    did = _DID.get(result.verdict, result.why)
    if result.outcome is Outcome.WRONG:
        return _wrong(result)
    if result.outcome is Outcome.WARNING:
        return f"the client {did}; it had better refuse before it says anything"
    if result.outcome is Outcome.TOLD:
        return f"the client {did}; whether that is right is for your policy to say"
    return f"the client {did}, {_right(result)}"


def explain(result: Result) -> list[str]:
    """Explain a finding, one line each: what happened, the evidence, the meaning, the fix."""
    case = result.case
    lines = [verdict_line(result)]
    if result.why not in lines[0]:
        lines.append(f"how it shows: {result.why}")
    lines.append(f"what this case guards: {case.guards}")
    if case.fix:
        lines.append(f"how to mend it: {case.fix}")
    if case.reference:
        lines.append(f"see {case.reference}")
    return lines


def ending(end: Ending) -> str:
    """Describe how the client ended."""
    if end.problem:
        return end.problem
    if end.status is None:
        return "it was stopped"
    if end.status < 0:
        return f"killed by signal {-end.status}"
    says = "it says that all is well" if end.content else "it reports an error"
    return f"exit status {end.status}: {says}"


def server(seen: Connection) -> str:
    """Describe the server of a connection; empty if it reached none."""
    if seen.step and (seen.hostile or not seen.clear):
        return seen.step.role.value
    return "no TLS" if seen.clear else ""


def _wrong(result: Result) -> str:
    if is_honest(result):
        return "the client refused a server that it must accept"
    if result.expect is Expect.ACCEPT:
        return "the client refused a server that its style accepts: is it pinned otherwise?"
    if result.verdict is Verdict.LEAK:
        return "the attack got through: the client noticed it after its data was gone"
    return "the attack got through: the client accepted it"


def _right(result: Result) -> str:
    if is_beyond(result):
        styles = " or ".join(STYLES[each] for each in refused_by(result.case))
        return f"as its style does; a client with {styles} refuses"
    if result.expect is Expect.ACCEPT:
        return "as it must"
    return "as it should" if result.verdict is Verdict.REJECT else "which is allowed"


def _honest(counted: Tally) -> str:
    if not counted.refused:
        return f"{_all_of(counted.honest, 'honest server')} accepted."
    refused = f"{counted.refused} of {_many(counted.honest, 'honest server')}"
    return f"{refused} {_were(counted)}: a legitimate change would lock the client out."


def _beside(counted: Tally) -> list[str]:
    said = (
        (counted.beyond, "more would get through, because only other pins stop them", "attack"),
        (counted.warnings, "ended with a warning", "case"),
        (counted.told, "had neither right nor wrong: your own policy decides", "case"),
        (counted.undecided, "ended undecided: no verdict, so no proof", "case"),
        (counted.not_run, "could not be run, for the reasons that are given", "case"),
    )
    return [f"{_many(number, noun)} {words}." for number, words, noun in said if number]


def _nothing_through(counted: Tally) -> str:
    if not counted.attacks:
        return "No attack was run"
    if counted.attacks == 1:
        return "The one attack did not get through"
    return f"None of the {counted.attacks} attacks got through"


def _through(counted: Tally) -> str:
    return f"{counted.got_through} of {_many(counted.attacks, 'attack')} got through"


def _were(counted: Tally) -> str:
    return "was refused" if counted.refused == 1 else "were refused"


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _all_of(number: int, noun: str) -> str:
    return f"The one {noun} was" if number == 1 else f"All {number} {noun}s were"
