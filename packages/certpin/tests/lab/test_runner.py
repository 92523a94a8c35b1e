"""A run begins and ends with control cases, omits no case, and repeats unexpected verdicts."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from certpin.lab.attacks import CASES, CONTROL
from certpin.lab.case import ALL_ACCEPT, CannotServeError, Expect, Expected
from certpin.lab.client import Call
from certpin.lab.lab import Lab
from certpin.lab.pki import Authorities, Style
from certpin.lab.runner import ATTEMPTS, about, prove
from certpin.lab.trial import Trial
from certpin.lab.verdict import Outcome, Verdict
from certpin.pins import utc_now
from tests.lab._clients import BY_NAME, pinned, request, right_client, trusting
from tests.lab.attacks._calls import connected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab.pki import TestPKI
    from certpin.lab.scenario import Scenario
    from certpin.lab.target import Target
    from certpin.lab.verdict import Ending

UNTRUSTED, ROGUE = BY_NAME["untrusted-ca"], BY_NAME["rogue-ca-in-store"]


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as running:
        yield running


class Recorded:
    """A client that records the cases it was run against, and whether it was stopped."""

    def __init__(self, client: Call) -> None:
        self.cases: list[str] = []
        self.stopped = False
        self._client = client

    def run(self, target: Target) -> Ending:
        self.cases.append(target.case)
        return self._client.run(target)

    def stop(self) -> None:
        self.stopped = True


def test_the_good_control_runs_first_and_last(lab: Lab) -> None:
    client = Recorded(right_client(Style.LEAF))
    run = prove(lab, client, [UNTRUSTED, ROGUE])
    assert client.cases == ["control-good", "untrusted-ca", "rogue-ca-in-store", "control-good"]
    assert [result.case.name for result in run.results] == client.cases
    assert run.controlled


def probe_and_request(target: Target) -> str:
    """Open a connection, send nothing on it, and send the request on another one."""
    with connected(target, trusting(target)):
        pass
    return request(target, pinned(target))


@pytest.mark.medium
def test_a_probe_in_the_good_control_is_remembered(lab: Lab) -> None:
    """The attack meets the client's only probe, so that this run shows no other one."""
    case = BY_NAME["bad-then-good"]
    control, result, _ = prove(lab, Call(probe_and_request), [case]).results
    assert control.outcome is Outcome.RIGHT
    assert (result.verdict, result.outcome) == (Verdict.INCONCLUSIVE, Outcome.UNDECIDED)
    assert "on which it sends nothing" in result.why
    trial = Trial(lab)
    assert trial.attack(Call(probe_and_request), case).verdict is Verdict.INCONCLUSIVE


@pytest.mark.medium
def test_results_come_in_order_however_many_run_at_once(lab: Lab) -> None:
    seen: list[str] = []
    run = prove(
        lab,
        right_client(Style.LEAF),
        [UNTRUSTED, ROGUE] * 5,
        jobs=4,
        progress=lambda result: seen.append(result.case.name),
    )
    assert seen == ["control-good", *["untrusted-ca", "rogue-ca-in-store"] * 5, "control-good"]
    assert run.count(Outcome.RIGHT) == 12


def test_an_incomplete_certificate_among_the_roots_is_left_out_of_the_facts(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A truncated PEM certificate is left out of the run's list of roots, and raises no error."""
    roots = lab.authorities.trusted_pem
    cut = b"-----BEGIN CERTIFICATE-----\nMII\n"
    monkeypatch.setattr(Authorities, "trusted_pem", cut + roots)
    facts = about(lab, Call(lambda _: None), utc_now(), utc_now())
    assert len(facts.trusted) == roots.count(b"BEGIN CERTIFICATE")


def test_without_a_good_control_nothing_else_is_run(lab: Lab) -> None:
    client = Recorded(Call(lambda _: None))
    run = prove(lab, client, CASES)
    assert set(client.cases) == {"control-good"}
    assert not run.controlled
    assert [result.outcome for result in run.results] == [Outcome.UNDECIDED]


def test_a_client_that_refuses_everything_proves_nothing(lab: Lab) -> None:
    def refuse(target: Target) -> None:
        trust_nobody = trusting(replace(target, folder=lab.folder / "nobody"))
        request(target, trust_nobody)

    (lab.folder / "nobody").mkdir()
    (lab.folder / "nobody" / "trusted.pem").write_bytes(lab.authorities.untrusted.pem)
    run = prove(lab, Call(refuse), CASES)
    assert [(result.verdict, result.outcome) for result in run.results] == [
        (Verdict.REJECT, Outcome.UNDECIDED)
    ]


def test_failed_last_control_invalidates_refusals_but_not_findings(
    lab: Lab,
) -> None:
    unpinned = right_client(Style.NONE)
    left = threading.Semaphore(4)

    def until_it_breaks(target: Target) -> None:
        if not left.acquire(blocking=False):
            raise OSError("the network is gone")
        ending = unpinned.run(target)
        if not ending.content:
            raise OSError(ending.output)

    run = prove(lab, Call(until_it_breaks), [UNTRUSTED, ROGUE])
    assert not run.controlled
    found = {result.case.name: (result.verdict, result.outcome) for result in run.results[1:3]}
    assert found == {
        "untrusted-ca": (Verdict.INCONCLUSIVE, Outcome.UNDECIDED),
        "rogue-ca-in-store": (Verdict.ACCEPT, Outcome.WRONG),
    }


def test_wrong_verdict_is_repeated_before_it_is_reported(lab: Lab) -> None:
    client = Recorded(right_client(Style.NONE))
    run = prove(lab, client, [ROGUE])
    assert client.cases.count("rogue-ca-in-store") == 2
    assert run.results[1].outcome is Outcome.WRONG
    assert len(run.results[1].attempts) == 2


def test_client_with_different_results_is_flaky(lab: Lab) -> None:
    calls = iter(range(100))
    careless, careful = right_client(Style.NONE), right_client(Style.LEAF)

    def sometimes(target: Target) -> None:
        odd = target.case == "rogue-ca-in-store" and next(calls) % 2 == 0
        ending = (careless if odd else careful).run(target)
        if not ending.content:
            raise OSError(ending.output)

    result = prove(lab, Call(sometimes), [ROGUE]).results[1]
    assert (result.verdict, result.outcome) == (Verdict.FLAKY, Outcome.WRONG)
    assert len(result.attempts) <= ATTEMPTS


@pytest.mark.medium
def test_each_case_is_run_as_often_as_the_user_asks(lab: Lab) -> None:
    client = Recorded(right_client(Style.LEAF))
    run = prove(lab, client, [UNTRUSTED, ROGUE], repeat=4)
    names = ("control-good", "untrusted-ca", "rogue-ca-in-store", "control-good")
    assert client.cases == [name for name in names for _ in range(4)]
    assert [len(result.attempts) for result in run.results] == [4, 4, 4, 4]
    assert run.about.repeat == 4
    assert {result.outcome for result in run.results} == {Outcome.RIGHT}


@pytest.mark.medium
def test_one_bad_run_of_several_is_a_finding(lab: Lab) -> None:
    calls = iter(range(100))
    careless, careful = right_client(Style.NONE), right_client(Style.LEAF)

    def once(target: Target) -> None:
        odd = target.case == "rogue-ca-in-store" and next(calls) == 3
        ending = (careless if odd else careful).run(target)
        if not ending.content:
            raise OSError(ending.output)

    assert prove(lab, Call(once), [ROGUE]).results[1].outcome is Outcome.RIGHT
    result = prove(lab, Call(once), [ROGUE], repeat=5).results[1]
    assert (result.verdict, result.outcome) == (Verdict.FLAKY, Outcome.WRONG)
    assert result.why == "the client did not do the same in 5 runs: ACCEPT once, REJECT 4 times"


def _cannot(_: TestPKI) -> Scenario:
    raise CannotServeError("this machine has no such thing", fix="apt install thing")


def test_a_case_that_cannot_be_served_is_reported_with_the_reason(lab: Lab) -> None:
    case = replace(UNTRUSTED, name="cannot", scenario=_cannot)
    result = prove(lab, right_client(Style.LEAF), [case]).results[1]
    assert (result.verdict, result.outcome) == (None, Outcome.NOT_RUN)
    assert result.why == "this machine has no such thing (apt install thing)"


def test_case_that_does_not_apply_is_reported(lab: Lab) -> None:
    nothing = Expected(Expect.ACCEPT, Expect.UNDEFINED, Expect.ACCEPT)
    client = Recorded(right_client(Style.LEAF))
    result = prove(lab, client, [replace(UNTRUSTED, expected=nothing)]).results[1]
    assert result.outcome is Outcome.NOT_RUN
    assert "leaf" in result.why
    assert "untrusted-ca" not in client.cases


def test_an_interrupted_run_stops_the_client(lab: Lab) -> None:
    client = Recorded(right_client(Style.LEAF))

    def interrupt(_: object) -> None:
        if len(client.cases) > 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prove(lab, client, [UNTRUSTED] * 50, progress=interrupt)
    assert client.stopped
    assert len(client.cases) < 50


@pytest.mark.medium
def test_a_legitimate_server_that_is_refused_is_a_finding(lab: Lab) -> None:
    legitimate = replace(UNTRUSTED, name="renewed", expected=ALL_ACCEPT)
    result = prove(lab, right_client(Style.LEAF), [legitimate]).results[1]
    assert (result.verdict, result.outcome) == (Verdict.REJECT, Outcome.WRONG)


def test_the_control_has_a_name_that_no_other_case_has() -> None:
    names = [case.name for case in (CONTROL, *CASES)]
    assert len(set(names)) == len(names)


def test_leak_before_a_serving_error_remains_a_finding(lab: Lab) -> None:
    tries = iter(range(10))

    def case_run(pki: TestPKI) -> Scenario:
        if next(tries):
            raise CannotServeError("no more")
        return ROGUE.scenario(pki)

    result = prove(lab, right_client(Style.NONE), [replace(ROGUE, scenario=case_run)]).results[1]
    assert (result.verdict, result.outcome) == (Verdict.ACCEPT, Outcome.WRONG)
    assert len(result.attempts) == 1


def test_attempt_without_a_connection_is_undecided(lab: Lab) -> None:
    calls = iter(range(100))
    careful = right_client(Style.LEAF)

    def dead_at_first(target: Target) -> None:
        if target.case == "rogue-ca-in-store" and next(calls) == 0:
            return
        ending = careful.run(target)
        if not ending.content:
            raise OSError(ending.output)

    result = prove(lab, Call(dead_at_first), [ROGUE]).results[1]
    assert (result.verdict, result.outcome) == (Verdict.FLAKY, Outcome.UNDECIDED)


@pytest.mark.medium
@pytest.mark.parametrize("host", ["cdn.bank.example", "www.partner.example"])
def test_host_name_used_by_the_lab_can_be_tested(host: str) -> None:
    with Lab(host) as lab:
        run = prove(lab, right_client(Style.LEAF), [UNTRUSTED, ROGUE])
    assert run.count(Outcome.RIGHT) == 4
