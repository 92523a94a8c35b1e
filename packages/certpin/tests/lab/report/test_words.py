"""The sentences about a run that all report formats share."""

from __future__ import annotations

from dataclasses import replace

import pytest

from certpin.lab.attacks import CONTROL
from certpin.lab.case import ALL_ACCEPT, Expect, Family
from certpin.lab.pki import Style
from certpin.lab.report.words import (
    advice,
    ending,
    exit_code,
    explain,
    family_of,
    headline,
    summary,
    tally,
    verdict_line,
    ways,
)
from certpin.lab.runner import Run
from certpin.lab.verdict import Ending, Outcome, Verdict
from tests.lab._clients import MADE_CASES
from tests.lab.own._own import REFUSE, case
from tests.lab.report import _runs

UNTRUSTED, ROGUE = _runs.BY_NAME["untrusted-ca"], _runs.BY_NAME["rogue-ca-in-store"]
CHANGES = [case for case in MADE_CASES if case.family is Family.ROTATION]
HONEST = replace(ROGUE, name="rot-something", expected=ALL_ACCEPT, scenario=CONTROL.scenario)


def test_a_run_that_stops_every_attack_says_so() -> None:
    run = _runs.run((_runs.met(UNTRUSTED, gives=False), _runs.met(ROGUE, gives=False)))
    assert summary(run)[0] == "None of the 2 attacks got through."
    assert exit_code(run) == 0


def test_a_run_without_a_finding_says_what_its_refusals_exclude() -> None:
    refused = _runs.met(ROGUE, gives=False)
    twice = replace(refused, attempts=refused.attempts * 2)
    run = _runs.run((twice, _runs.met(UNTRUSTED, gives=False), _runs.met(HONEST, gives=True)))
    assert (
        "It refused an attacker in 3 runs, and accepted none: with 95 % confidence, it skips its "
        "checks on fewer than 63.2 % of its connections (--bound lowers that)."
    ) in summary(run)


REPORTED = _runs.judged(ROGUE, Outcome.TOLD, Verdict.ACCEPT)


def test_a_run_of_reported_cases_says_that_none_has_an_expected_verdict() -> None:
    one = _runs.run((REPORTED, _runs.not_run(ROGUE)))
    assert headline(one) == "1 case was only reported: it has no expected verdict"
    assert headline(_runs.run((REPORTED, REPORTED))).startswith("2 cases were only reported: none")
    assert advice(one).endswith("no reaction fails this run. Run other cases for a verdict.")
    assert exit_code(one) == 0


def test_a_run_with_a_judged_case_is_not_only_reported() -> None:
    """A judged chain that could not be run is one too: the exit code says that."""
    assert headline(_runs.run((REPORTED, _runs.met(HONEST, gives=True)))) == "No attack was run"
    assert "The one attack" in headline(_runs.run((REPORTED, _runs.met(ROGUE, gives=False))))
    unproven = _runs.run((REPORTED, _runs.not_run(case(REFUSE))))
    assert headline(unproven) == "No attack was run"
    assert exit_code(unproven) == 3


@pytest.mark.parametrize(("bound", "code"), [(None, 0), (0.95, 0), (0.94, 3)])
def test_a_run_that_misses_its_bound_is_inconclusive(bound: float | None, code: int) -> None:
    run = _runs.run((_runs.met(ROGUE, gives=False),), bound=bound)
    assert exit_code(run) == code
    missed = "The --bound was not reached: no further attack was refused."
    assert (missed in summary(run)) is bool(code)


def test_a_run_without_attacks_misses_every_bound() -> None:
    run = _runs.run((_runs.met(HONEST, gives=True),), bound=0.5)
    assert exit_code(run) == 3


def test_no_bound_follows_from_a_run_with_a_finding() -> None:
    run = _runs.run((_runs.met(UNTRUSTED, gives=False), _runs.met(ROGUE, gives=True)))
    assert "confidence" not in " ".join(summary(run))


def test_the_ways_that_were_not_tried_are_listed() -> None:
    def by(*vias: str) -> Run:
        connections = [_runs.seen(_runs.pki().honest, via=via) for via in vias]
        made = _runs.attempt(CONTROL.scenario(_runs.pki()), *connections)
        return Run(_runs.HOST, Style.LEAF, (_runs.result(CONTROL, made),) * 2, _runs.about())

    assert ways(by("connect", "port")) == ("connect", "port")
    missing = "It connected through an HTTP proxy; not tried: a SOCKS5 proxy, no proxy (--via)."
    assert missing in summary(by("connect"))
    assert "not tried" not in " ".join(summary(by("port", "socks5", "connect")))
    assert "not tried" not in " ".join(summary(by()))


def test_a_way_that_the_client_was_given_and_did_not_use_is_no_untried_one() -> None:
    def directly(*given: str) -> Run:
        connection = _runs.seen(_runs.pki().honest, via="port")
        scenario = CONTROL.scenario(_runs.pki())
        made = [
            replace(_runs.attempt(scenario, connection), ending=Ending(0, via=via)) for via in given
        ]
        return Run(_runs.HOST, Style.LEAF, (_runs.result(CONTROL, *made),), _runs.about())

    both = "It connected through no proxy; given, but not used: an HTTP proxy, a SOCKS5 proxy."
    assert both in summary(directly("connect", "socks5"))
    one = "no proxy; given, but not used: an HTTP proxy; not tried: a SOCKS5 proxy (--via)."
    assert f"It connected through {one}" in summary(directly("connect"))


def test_an_attack_that_got_through_is_the_headline() -> None:
    run = _runs.run((_runs.met(UNTRUSTED, gives=False), _runs.met(ROGUE, gives=True)))
    assert headline(run) == "1 of 2 attacks got through"
    assert exit_code(run) == 1


def test_refused_honest_server_is_the_headline_if_no_attack_got_through() -> None:
    run = _runs.run((_runs.met(UNTRUSTED, gives=False), _runs.met(HONEST, gives=False)))
    assert headline(run) == "1 of 1 honest server was refused"
    assert "lock the client out" in " ".join(summary(run))
    assert exit_code(run) == 1


def test_the_controls_are_in_no_number() -> None:
    counted = tally(_runs.run((_runs.met(HONEST, gives=True),)))
    assert (counted.attacks, counted.honest, counted.refused) == (0, 1, 0)


def test_nothing_is_proven_if_the_control_failed() -> None:
    failed = replace(_runs.met(CONTROL, gives=False), outcome=Outcome.UNDECIDED)
    run = Run(_runs.HOST, Style.LEAF, (failed,), _runs.about())
    assert headline(run).startswith("Nothing is proven")
    assert exit_code(run) == 3


def test_control_that_cannot_be_served_is_not_blamed_on_the_client() -> None:
    why = "curl cannot have these pins"
    left = replace(_runs.met(CONTROL, gives=False), outcome=Outcome.NOT_RUN, verdict=None, why=why)
    run = Run(_runs.HOST, Style.LEAF, (left,), _runs.about())
    assert summary(run)[:2] == [
        "Nothing is proven: the client cannot be served.",
        "curl cannot have these pins.",
    ]
    assert exit_code(run) == 3


def test_the_advice_follows_the_worst_result() -> None:
    stopped, through = _runs.met(UNTRUSTED, gives=False), _runs.met(ROGUE, gives=True)
    warned = _runs.judged(UNTRUSTED, Outcome.WARNING, Verdict.LEAK)
    locked_out = _runs.met(HONEST, gives=False)
    unproven = Run(_runs.HOST, Style.LEAF, (_runs.undecided(CONTROL),), _runs.about())
    said = [
        advice(unproven),
        advice(_runs.run((stopped, through, locked_out))),
        advice(_runs.run((stopped, locked_out))),
        advice(_runs.run((stopped, _runs.undecided(ROGUE)))),
        advice(_runs.run(())),
        advice(_runs.run((stopped, warned))),
        advice(_runs.run((stopped,))),
    ]
    begins = (
        *("Check that", "Do not ship", "Fix the causes below before", "Decide", "Run more"),
        *("Nothing must be fixed; read the warnings", "Nothing to fix. Run this again"),
    )
    assert [text.startswith(begin) for text, begin in zip(said, begins, strict=True)] == [True] * 7


def test_a_run_of_nothing_proves_nothing() -> None:
    assert exit_code(Run(_runs.HOST, Style.LEAF, ())) == 3


def test_leaks_are_reported_although_the_control_failed() -> None:
    failed = replace(_runs.met(CONTROL, gives=False), outcome=Outcome.UNDECIDED)
    run = Run(_runs.HOST, Style.LEAF, (failed, _runs.met(ROGUE, gives=True)), _runs.about())
    assert "1 of 1 attack got through" in " ".join(summary(run))
    assert exit_code(run) == 1


def test_a_case_without_a_verdict_is_no_success() -> None:
    run = _runs.run((_runs.undecided(UNTRUSTED),))
    assert headline(run) == "1 case could not be decided"
    assert exit_code(run) == 3


def test_attacks_that_only_pins_stop_are_reported_without_pins() -> None:
    run = _runs.run((_runs.met(ROGUE, gives=True, style=Style.NONE),), Style.NONE)
    assert exit_code(run) == 0
    assert "1 attack more would get through" in " ".join(summary(run))
    assert tally(run).honest == 0  # not an honest server, although it must be accepted
    assert "a client with pins on the server's key" in verdict_line(run.results[1])


@pytest.mark.parametrize("style", [Style.NONE, Style.CA])
def test_a_renewal_is_no_attack_although_other_pins_refuse_it(style: Style) -> None:
    renewed = _runs.BY_NAME["rot-new-key-pinned-ca"]
    accepted, refused = (
        _runs.run((_runs.met(renewed, gives=gives, style=style),), style) for gives in (True, False)
    )
    assert (tally(accepted).honest, tally(accepted).beyond) == (1, 0)
    assert verdict_line(accepted.results[1]) == "the client accepted, as it must"
    assert verdict_line(refused.results[1]) == "the client refused a server that it must accept"


@pytest.mark.parametrize("style", Style)
def test_no_attack_is_among_the_legitimate_changes(style: Style) -> None:
    results = [_runs.met(case, gives=True, style=style) for case in CHANGES]
    attacks = [result for result in results if result.expect is Expect.REJECT]
    assert tally(_runs.run(tuple(results), style)).attacks == len(attacks)
    for result in results:
        expected = Family.AUTHORITY if result in attacks else Family.ROTATION
        assert family_of(result) is expected
    found = [result.case.name for result in attacks]
    assert found == (["rot-new-key-pinned-ca"] if style is Style.LEAF else [])


def test_an_attack_that_a_style_accepts_is_no_honest_server() -> None:
    run = _runs.run((_runs.met(ROGUE, gives=False, style=Style.NONE),), Style.NONE)
    assert "a server that its style accepts" in verdict_line(run.results[1])


def test_every_outcome_has_its_own_line() -> None:
    lines = [verdict_line(result) for result in _runs.every_outcome().results[1:-1]]
    assert lines == [
        "the client refused, as it should",
        "the attack got through: the client accepted it",
        (
            "the client reported an error after it had sent its data; "
            "it should refuse before it sends anything"
        ),
        "the client accepted; your policy decides whether that is right",
        "undecided: the client did not end within 20 s",
        "not run: it needs a missing key",
    ]


def test_a_leak_is_an_attack_that_got_through() -> None:
    leak = replace(_runs.met(ROGUE, gives=True), verdict=Verdict.LEAK)
    assert "after it had sent its data" in verdict_line(leak)


def test_a_finding_is_explained_with_evidence_and_advice() -> None:
    text = "\n".join(explain(_runs.met(ROGUE, gives=True)))
    for part in ("the canary arrived", ROGUE.guards, ROGUE.fix, ROGUE.reference):
        assert part in text


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (Ending(0), "exit status 0: it reports success"),
        (Ending(35), "exit status 35: it reports an error"),
        (Ending(-11), "killed by signal 11"),
        (Ending(None), "it was stopped"),
        (Ending(None, problem="it did not start"), "it did not start"),
    ],
)
def test_how_a_client_ended(end: Ending, words: str) -> None:
    assert ending(end) == words
