"""Count the results of a run. The good controls are counted separately."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin.lab.attacks import CONTROL
from certpin.lab.case import Expect, Family
from certpin.lab.pki import Style
from certpin.lab.verdict import Outcome, Verdict

if TYPE_CHECKING:
    from certpin.lab.case import Case
    from certpin.lab.runner import Result, Run

_DECIDED = {Outcome.RIGHT, Outcome.WRONG}


@dataclass(frozen=True)
class Tally:
    """The numbers of attacks and honest servers, and of their failures.

    ``beyond`` are attacks that a client of this style cannot see, and did not: they are no fault
    of it, and whoever reads a report must know of them all the same.
    """

    attacks: int
    got_through: int
    honest: int
    refused: int
    beyond: int
    warnings: int
    told: int
    undecided: int
    not_run: int


def tally(run: Run) -> Tally:
    """Count the cases of a run."""
    cases = [each for each in run.results if each.case is not CONTROL]
    decided = [each for each in cases if each.outcome in _DECIDED]
    attacks = [each for each in decided if each.expect is Expect.REJECT]
    honest = [each for each in decided if is_honest(each)]
    return Tally(
        attacks=len(attacks),
        got_through=_count(attacks, Outcome.WRONG),
        honest=len(honest),
        refused=_count(honest, Outcome.WRONG),
        beyond=sum(map(is_beyond, cases)),
        warnings=_count(cases, Outcome.WARNING),
        told=_count(cases, Outcome.TOLD),
        undecided=_count(cases, Outcome.UNDECIDED),
        not_run=_count(cases, Outcome.NOT_RUN),
    )


def is_honest(result: Result) -> bool:
    """Return True if the server of a case was honest, and the client must accept it.

    A legitimate change stays one for this client, even if a client with other pins refuses it.
    """
    legitimate = result.case.family is Family.ROTATION or not refused_by(result.case)
    return result.expect is Expect.ACCEPT and legitimate


def is_beyond(result: Result) -> bool:
    """Return True if the client accepted an attack that only a client with other pins refuses."""
    allowed = result.expect in {Expect.ACCEPT, Expect.EITHER} and not is_honest(result)
    return allowed and result.verdict is Verdict.ACCEPT and bool(refused_by(result.case))


def refused_by(case: Case) -> tuple[Style, ...]:
    """Return the styles whose clients must refuse a case."""
    return tuple(style for style in Style if case.expected.of(style) is Expect.REJECT)


def exit_code(run: Run) -> int:
    """Return the exit code: 0 success, 1 a finding, 3 inconclusive or nothing was tried."""
    if run.count(Outcome.WRONG):
        return 1
    cases = [each for each in run.results if each.case is not CONTROL]
    tried = any(each.outcome is not Outcome.NOT_RUN for each in cases)
    return 0 if tried and run.controlled and not run.count(Outcome.UNDECIDED) else 3


def _count(results: list[Result], outcome: Outcome) -> int:
    return sum(each.outcome is outcome for each in results)
