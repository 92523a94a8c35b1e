"""How many refused attacks bound the share of connections on which a client skips its check.

The lab repeats attacks until a requested bound is reached.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import pytest

from certpin.lab.case import Expect
from certpin.lab.client import Call, Command
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.report.json import run_facts
from certpin.lab.report.words import exit_code, summary
from certpin.lab.runner import hostile_refusals, prove, repeat_attacks, skip_bound
from certpin.lab.verdict import NOT_OFFERED, Outcome, Verdict
from tests.lab._clients import BY_NAME, pinned, request, right_client, trusting
from tests.lab.attacks._calls import connected
from tests.lab.report import _runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.lab.case import Case
    from certpin.lab.runner import Result
    from certpin.lab.target import Target

UNTRUSTED, ROGUE = BY_NAME["untrusted-ca"], BY_NAME["rogue-ca-in-store"]
EXPIRED = BY_NAME["self-signed"]


@pytest.mark.parametrize(("refused", "bound"), [(1, 0.95), (59, 0.05), (149, 0.02), (299, 0.01)])
def test_so_many_refusals_exclude_this_share_of_skipped_checks(refused: int, bound: float) -> None:
    """``skip_bound(n)`` is the share of skipped checks that makes n refusals 5 % likely."""
    assert (1 - skip_bound(refused)) ** refused == pytest.approx(0.05)
    assert skip_bound(refused) <= bound + 1e-9
    assert refused == 1 or skip_bound(refused - 1) > bound


def test_refused_connections_of_attackers_are_counted_in_all_attempts() -> None:
    refused = _runs.met(ROGUE, gives=False)
    twice = replace(refused, attempts=refused.attempts * 2)
    assert hostile_refusals([twice, _runs.met(UNTRUSTED, gives=False)]) == 3


def test_connections_of_one_attempt_count_as_one_refusal() -> None:
    """A client can open connections on which it decides nothing."""
    refused = _runs.met(ROGUE, gives=False)
    [attempt] = refused.attempts
    many = replace(attempt, connections=attempt.connections * 20)
    assert hostile_refusals([replace(refused, attempts=(many, attempt))]) == 2


@pytest.mark.parametrize(
    "outcome", [outcome for outcome in Outcome if outcome is not Outcome.RIGHT]
)
def test_only_right_results_have_refusals(outcome: Outcome) -> None:
    """A client that died, was stopped, or never met the attack has refused nothing."""
    assert hostile_refusals([replace(_runs.met(ROGUE, gives=False), outcome=outcome)]) == 0


def test_connections_that_gave_data_or_may_be_accepted_are_not_counted() -> None:
    assert hostile_refusals([_runs.met(ROGUE, gives=True)]) == 0
    allowed = replace(_runs.met(ROGUE, gives=False), expect=Expect.EITHER)
    assert hostile_refusals([allowed]) == 0


def test_a_request_that_may_reach_the_attacker_is_no_refusal() -> None:
    """In the case ``pool-reuse``, the right client sends only its lax request to the attacker."""
    case = BY_NAME["pool-reuse"]
    scenario = case.scenario(_runs.pki())
    lax, strict = (
        _runs.seen(step, f"GET /{path} HTTP/1.1\r\n\r\n".encode())
        for step, path in zip(scenario.first, ("lax", _runs.CANARY), strict=True)
    )
    result = _runs.result(case, _runs.attempt(scenario, lax, strict))
    assert (result.outcome, hostile_refusals([result])) == (Outcome.RIGHT, 0)


@pytest.mark.parametrize("problem", ["no shared cipher", f"{NOT_OFFERED} 3DES"])
def test_a_connection_without_a_certificate_is_not_counted(problem: str) -> None:
    refused = _runs.met(ROGUE, gives=False)
    [attempt] = refused.attempts
    seen = replace(attempt.connections[0], problem=problem)
    unmet = replace(refused, attempts=(replace(attempt, connections=(seen,)),))
    assert (hostile_refusals([refused]), hostile_refusals([unmet])) == (1, 0)


def _met(*cases: Case, gives: bool = False) -> list[Result]:
    return [_runs.met(case, gives=gives) for case in cases]


def test_attacks_are_repeated_until_the_bound_is_reached() -> None:
    results = _met(UNTRUSTED, ROGUE, EXPIRED)
    rounds: list[int] = []

    def refuse(attacks: Sequence[Case]) -> list[Result]:
        rounds.append(len(attacks))
        return _met(*attacks)

    repeat_attacks(results, 0.35, refuse)  # 7 refusals: 1 - 0.05 ** (1 / 7) = 0.348
    assert rounds == [3, 1]
    assert hostile_refusals(results) == 7
    assert [result.outcome for result in results] == [Outcome.RIGHT] * 3
    assert [len(result.attempts) for result in results] == [3, 2, 2]


def test_an_attack_that_gets_through_later_is_a_finding_and_ends_the_rounds() -> None:
    results = _met(UNTRUSTED, ROGUE)
    rounds = count(1)

    def accept_in_the_second_round(attacks: Sequence[Case]) -> list[Result]:
        through = next(rounds) == 2
        return [_runs.met(case, gives=through and case is ROGUE) for case in attacks]

    repeat_attacks(results, 0.01, accept_in_the_second_round)
    assert next(rounds) == 3
    untrusted, rogue = results
    assert (untrusted.outcome, len(untrusted.attempts)) == (Outcome.RIGHT, 3)
    assert (rogue.verdict, rogue.outcome) == (Verdict.FLAKY, Outcome.WRONG)
    assert rogue.why.endswith(", after 2 refusals")
    assert len(rogue.attempts) == 3


def test_no_attack_is_repeated_after_a_finding() -> None:
    results = [*_met(UNTRUSTED), *_met(ROGUE, gives=True)]
    repeat_attacks(results, 0.5, _must_not_run)


def test_rounds_end_if_no_further_attack_is_refused() -> None:
    results = _met(UNTRUSTED)
    repeat_attacks(results, 0.05, lambda attacks: [_runs.undecided(case) for case in attacks])
    assert results[0].outcome is Outcome.UNDECIDED
    repeat_attacks([], 0.05, _must_not_run)


def _must_not_run(_: Sequence[Case]) -> list[Result]:
    raise AssertionError("an attack was repeated")


@pytest.mark.medium
def test_connections_without_a_request_do_not_lower_the_bound() -> None:
    def with_probes(target: Target) -> str:
        for _ in range(5):
            with connected(target, trusting(target)):
                pass
        return request(target, pinned(target))

    with Lab() as lab:
        run = prove(lab, Call(with_probes), [ROGUE])
    assert [len(result.attempts[0].connections) for result in run.results] == [6, 6, 6]
    assert hostile_refusals(run.results) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "end", ["os.kill(os.getpid(), signal.SIGSEGV)", "sys.stdin.close(); signal.pause()"]
)
def test_a_client_that_dies_or_hangs_has_no_bound(end: str) -> None:
    """It met the attacker and sent nothing, but that is no decision of the client."""
    code = (
        "import os, signal, sys, urllib.request\n"
        f"try: print(urllib.request.urlopen(sys.argv[1]).read())\nexcept OSError: {end}\n"
    )
    client = Command((sys.executable, "-c", code, "{url}"), "connect", 2)
    with Lab(style=Style.NONE) as lab:
        run = prove(lab, client, [UNTRUSTED], bound=0.95)
    assert run.results[1].outcome is Outcome.UNDECIDED
    assert any(seen.hostile for seen in run.results[1].attempts[0].connections)
    assert run_facts(run)["skip_bound"] is None
    assert not [line for line in summary(run) if "95 %" in line]
    assert exit_code(run) == 3


@pytest.mark.medium
def test_a_client_that_checks_most_connections_is_found_by_repeated_attacks() -> None:
    """A client that skips its pins on the 10th attack passes one round, but not repeated rounds."""
    attacked = count(1)

    def forgetful(target: Target) -> str:
        skips = target.case == ROGUE.name and next(attacked) == 10
        return request(target, (trusting if skips else pinned)(target))

    with Lab() as lab:
        assert not prove(lab, Call(forgetful), [UNTRUSTED, ROGUE]).count(Outcome.WRONG)
        run = prove(lab, Call(forgetful), [UNTRUSTED, ROGUE], bound=0.05)
        careful = prove(lab, right_client(Style.LEAF), [UNTRUSTED, ROGUE], bound=0.2)
    found = run.results[2]
    assert (found.case, found.outcome) == (ROGUE, Outcome.WRONG)
    assert sum(bool(attempt.connections[0].said) for attempt in found.attempts) == 1
    assert run.controlled
    assert skip_bound(hostile_refusals(careful.results)) <= 0.2
    assert careful.about.bound == 0.2
