"""The verdict from the evidence: each rule, and evidence that must not count as a pass."""

from __future__ import annotations

import pytest

from certpin.lab import Authority
from certpin.lab.authority import new_rsa_key
from certpin.lab.case import Expect
from certpin.lab.scenario import Role, Scenario, ServerStep
from certpin.lab.server.records import ClientHello
from certpin.lab.verdict import (
    Attempt,
    Connection,
    Ending,
    Judgement,
    Outcome,
    Verdict,
    agree,
    judge,
    opens_probes,
    outcome,
    settle,
)

HOSTILE = ServerStep((), b"")
HONEST = HOSTILE.but(role=Role.HONEST)
HELLO = ClientHello("api.bank.example")
CONTENT, REFUSED = Ending(0), Ending(1, "refused")
CANARY = "canary-1"


def met(step: ServerStep = HOSTILE, **seen: object) -> Connection:
    """Return a recorded connection on which a client sent a ClientHello to this server.

    ``seen`` sets further attributes, such as the client's data or alert.
    """
    connection = Connection(step=step, hello=HELLO)
    for name, value in seen.items():
        setattr(connection, name, value)
    return connection


def verdict(
    ending: Ending, *connections: Connection, scenario: Scenario | None = None, canary: str = CANARY
) -> Verdict | None:
    scenario = scenario or Scenario.of(HOSTILE)
    return judge(Attempt(ending, scenario, connections, canary, "token-1")).verdict


def test_data_and_a_client_that_is_content_is_acceptance() -> None:
    assert verdict(CONTENT, met(data=b"GET /canary-1")) is Verdict.ACCEPT


def test_any_data_is_acceptance_with_or_without_the_canary() -> None:
    assert verdict(CONTENT, met(data=b"x")) is Verdict.ACCEPT
    assert verdict(CONTENT, met(data=b"x"), canary="") is Verdict.ACCEPT


def test_data_and_then_an_error_is_a_leak() -> None:
    assert verdict(REFUSED, met(data=b"GET /canary-1")) is Verdict.LEAK


def test_data_to_the_real_server_counts_and_its_answer_does_not() -> None:
    scenario = Scenario.of(HONEST)
    assert verdict(CONTENT, met(HONEST, passed=1, answered=9), scenario=scenario) is Verdict.ACCEPT
    assert verdict(REFUSED, met(HONEST, passed=1, answered=9), scenario=scenario) is Verdict.REJECT
    assert verdict(CONTENT, met(HONEST, answered=9), scenario=scenario) is Verdict.REJECT


def test_successful_client_with_unclear_records_has_accepted() -> None:
    scenario = Scenario.of(HONEST)
    unclear = met(HONEST, unclear=True, answered=9)
    assert verdict(CONTENT, unclear, scenario=scenario) is Verdict.ACCEPT
    assert verdict(REFUSED, unclear, scenario=scenario) is Verdict.REJECT
    assert verdict(CONTENT, met(HONEST, unclear=True), scenario=scenario) is Verdict.REJECT


def test_data_in_clear_text_counts_as_much_and_needs_no_hello() -> None:
    assert verdict(CONTENT, Connection(clear=b"GET /")) is Verdict.ACCEPT
    assert verdict(REFUSED, Connection(clear=b"GET /")) is Verdict.LEAK


def test_a_hello_and_nothing_more_is_a_refusal() -> None:
    assert verdict(REFUSED, met()) is Verdict.REJECT


def test_finished_handshake_is_no_acceptance() -> None:
    assert verdict(REFUSED, met(secured=True)) is Verdict.REJECT
    assert verdict(CONTENT, met(secured=True)) is Verdict.REJECT


def test_a_client_that_printed_the_answer_took_it() -> None:
    printed = Ending(0, "it said token-1")
    assert verdict(printed, met()) is Verdict.ACCEPT


def test_an_answer_from_an_honest_connection_is_no_acceptance_of_a_hostile_one() -> None:
    scenario = Scenario.of(HONEST, HOSTILE)
    printed = Ending(0, "it said token-1")
    assert verdict(printed, met(HONEST, data=b"x"), met(), scenario=scenario) is Verdict.REJECT


@pytest.mark.parametrize(
    "ending",
    [
        Ending(1),
        Ending(0),
        Ending(-9),
        Ending(None, problem="the client did not end within 20 s"),
        Ending(None, problem="no-such-program did not start"),
    ],
)
def test_a_client_that_never_came_is_inconclusive(ending: Ending) -> None:
    assert verdict(ending) is Verdict.INCONCLUSIVE
    assert verdict(ending, Connection(via="connect", target="x")) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("signal", [-6, -9, -11])
def test_a_client_that_died_did_not_refuse(signal: int) -> None:
    assert verdict(Ending(signal), met()) is Verdict.INCONCLUSIVE


def test_a_client_that_had_to_be_stopped_did_not_refuse() -> None:
    stopped = Ending(None, problem="the client did not end within 20 s")
    assert verdict(stopped, met()) is Verdict.INCONCLUSIVE
    assert verdict(stopped, met(data=b"x")) is Verdict.ACCEPT


@pytest.mark.parametrize("status", [124, 129, 137, 139])
def test_signal_reported_by_a_shell_is_no_refusal(status: int) -> None:
    assert verdict(Ending(status), met()) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("status", [1, 2, 127, 128, 193, 255])
def test_other_statuses_are_a_clients_own(status: int) -> None:
    assert verdict(Ending(status), met()) is Verdict.REJECT


def test_an_honest_server_is_not_accepted_by_a_client_that_had_to_be_stopped() -> None:
    stopped = Ending(None, problem="the client did not end within 20 s")
    scenario, connection = Scenario.of(HONEST), met(HONEST, data=b"GET /canary-1")
    assert verdict(stopped, connection, scenario=scenario) is Verdict.INCONCLUSIVE
    assert verdict(Ending(-11), connection, scenario=scenario) is Verdict.INCONCLUSIVE


def test_nothing_leaks_to_an_honest_server() -> None:
    """A client that sends data to an honest server and then reports an error rejects it.

    The verdict is not a leak.
    """
    scenario, connection = Scenario.of(HONEST), met(HONEST, data=b"GET /canary-1")
    found = judge(Attempt(REFUSED, scenario, (connection,), CANARY, "token-1"))
    assert found.verdict is Verdict.REJECT
    assert found.why == "the canary arrived, and then the client reported an error"
    shown = met(HONEST, client_certificate=b"der")
    refused = judge(Attempt(REFUSED, scenario, (shown,), CANARY, "token-1"))
    assert (refused.verdict, refused.caution) == (Verdict.REJECT, False)


def test_honest_second_host_is_no_evidence_about_the_first() -> None:
    second = HONEST.but(key_pem=b"second")
    scenario = Scenario.of(HONEST, second=(second,))
    elsewhere = met(second, data=b"GET /canary-1")
    assert verdict(CONTENT, met(HONEST), elsewhere, scenario=scenario) is Verdict.REJECT
    assert verdict(CONTENT, met(HONEST, data=b"x"), elsewhere, scenario=scenario) is Verdict.ACCEPT
    printed = Ending(0, "it said token-1")
    assert verdict(printed, met(HONEST), scenario=scenario) is Verdict.ACCEPT
    assert verdict(printed, met(HONEST), elsewhere, scenario=scenario) is Verdict.REJECT
    found = judge(Attempt(CONTENT, scenario, (elsewhere,), CANARY, "token-1"))
    assert (found.verdict, found.why) == (None, "the client never called the host of this case")


def test_data_counts_at_a_host_without_pins_though_it_is_honest() -> None:
    unpinned = HONEST.but(role=Role.UNPINNED)
    scenario = Scenario((HONEST,), unpinned=(unpinned,), lures=True)
    asked, followed = met(HONEST, data=b"GET /canary-1"), met(unpinned, data=b"x")
    assert verdict(CONTENT, asked, followed, scenario=scenario) is Verdict.ACCEPT
    assert verdict(Ending(-9), asked, followed, scenario=scenario) is Verdict.LEAK
    assert not followed.hostile


def test_only_hostile_connections_count_in_an_attack() -> None:
    scenario = Scenario.of(HONEST, HOSTILE)
    good, bad = met(HONEST, data=b"GET /canary-1"), met()
    assert verdict(CONTENT, good, bad, scenario=scenario) is Verdict.REJECT
    assert verdict(CONTENT, good, met(data=b"x"), scenario=scenario) is Verdict.ACCEPT


def unused(
    *connections: Connection,
    ending: Ending = CONTENT,
    first: tuple[ServerStep, ...] = (HOSTILE, HONEST),
    opens_probes: bool = True,
) -> Verdict | None:
    """Return the verdict on a client that opened connections without use in the good control."""
    attempt = Attempt(ending, Scenario(first), connections, opens_probes=opens_probes)
    return judge(attempt).verdict


def test_an_attack_that_may_have_met_a_probe_is_inconclusive() -> None:
    later = met(HONEST, data=b"GET /")
    assert unused(met(), later) is Verdict.INCONCLUSIVE
    assert unused(met(), met(HONEST, passed=1)) is Verdict.INCONCLUSIVE
    assert unused(met(alert="bad_certificate"), met(), later) is Verdict.INCONCLUSIVE
    # The run itself may show probes too.
    assert unused(met(), met(HONEST), later, opens_probes=False) is Verdict.INCONCLUSIVE


def test_a_client_that_opens_no_probes_has_refused() -> None:
    assert unused(met(), met(HONEST, data=b"GET /"), opens_probes=False) is Verdict.REJECT


def test_a_refusal_that_a_probe_would_not_show_counts() -> None:
    later = met(HONEST, data=b"GET /")
    assert unused(met(alert="bad_certificate"), later) is Verdict.REJECT
    assert unused(met(problem="no shared cipher"), later) is Verdict.REJECT
    assert unused(met(), later, ending=REFUSED) is Verdict.REJECT
    assert unused(met()) is Verdict.REJECT, "no request needed the connection"
    assert unused(met(), met(HONEST)) is Verdict.REJECT
    assert unused(met(data=b"GET /"), later) is Verdict.ACCEPT
    assert unused(met(), met(), first=(HOSTILE,)) is Verdict.REJECT, "every connection is attacked"


def test_an_attack_after_the_last_request_may_have_met_a_spare_connection() -> None:
    swapped, asked = (HONEST, HOSTILE, HOSTILE), met(HONEST, data=b"GET /")
    assert unused(asked, met(), first=swapped) is Verdict.INCONCLUSIVE
    assert unused(met(HONEST, passed=1), met(), met(), first=swapped) is Verdict.INCONCLUSIVE
    # The run itself may show probes too.
    probed = (asked, met(HONEST), met())
    steps = (HONEST, HONEST, HOSTILE)
    assert unused(*probed, first=steps, opens_probes=False) is Verdict.INCONCLUSIVE
    assert unused(asked, met(), first=swapped, opens_probes=False) is Verdict.REJECT
    assert unused(asked, met(), ending=REFUSED, first=swapped) is Verdict.REJECT
    # One visible refusal is enough if no request follows.
    refused = met(alert="bad_certificate")
    assert unused(asked, refused, met(), first=swapped) is Verdict.REJECT
    assert unused(asked, met(), refused, first=swapped) is Verdict.REJECT
    assert unused(asked, met(), asked, first=(HONEST, HOSTILE, HONEST)) is Verdict.INCONCLUSIVE


def test_an_attack_on_a_later_connection_needs_a_request_on_an_earlier_one() -> None:
    swapped = (HONEST, HOSTILE)
    assert unused(met(HONEST), met(), ending=REFUSED, first=swapped) is None
    assert unused(met(HONEST, data=b"x"), met(), ending=REFUSED, first=swapped) is Verdict.REJECT
    assert unused(met(HONEST), met(data=b"x"), first=swapped) is Verdict.ACCEPT


def test_probes_are_found_in_the_good_control() -> None:
    def probing(*connections: Connection) -> bool:
        return opens_probes([Attempt(CONTENT, Scenario.of(HONEST), connections)])

    assert not probing(met(HONEST, data=b"x"), met(HONEST, passed=1))
    assert not probing(met(HONEST, unclear=True, answered=9), Connection(via="connect"))
    assert probing(met(HONEST), met(HONEST, data=b"x"))


def test_an_attack_that_the_client_never_met_has_no_verdict() -> None:
    scenario = Scenario.of(HONEST, HOSTILE)
    assert verdict(CONTENT, met(HONEST, data=b"x"), scenario=scenario) is None
    stopped = Ending(None, problem="the client did not end within 20 s")
    assert verdict(stopped, met(HONEST, data=b"x"), scenario=scenario) is Verdict.INCONCLUSIVE


def test_only_the_canary_counts_if_a_lax_call_is_allowed() -> None:
    scenario = Scenario.of(HOSTILE, HONEST, canary_only=True)
    lax, strict = met(data=b"GET /lax"), met(HONEST, data=b"GET /canary-1")
    assert verdict(CONTENT, lax, strict, scenario=scenario) is Verdict.REJECT
    assert verdict(REFUSED, met(data=b"GET /canary-1"), scenario=scenario) is Verdict.LEAK
    assert verdict(REFUSED, lax, scenario=scenario, canary="") is Verdict.LEAK


def test_data_that_was_never_sent_proves_nothing() -> None:
    """The verdict is not a pass if the client makes no lax call, or never sends its canary."""
    scenario = Scenario.of(HOSTILE, HONEST, canary_only=True)
    lax, strict = met(data=b"GET /lax"), met(HONEST, data=b"GET /canary-1")
    assert verdict(CONTENT, lax, scenario=scenario) is None
    assert verdict(CONTENT, lax, met(HONEST, data=b"GET /x"), scenario=scenario) is None
    assert verdict(CONTENT, met(), strict, scenario=scenario) is None
    stopped = Ending(None, problem="the client did not end within 20 s")
    assert verdict(stopped, lax, scenario=scenario) is Verdict.INCONCLUSIVE


def test_on_an_honest_connection_requests_for_its_foreign_host_count() -> None:
    shared = HONEST.but(foreign="cdn.bank.example")
    second = HONEST.but(key_pem=b"second")
    scenario = Scenario((shared,), second=(second,), lures=True)
    both = met(shared, data=b"GET /one GET /two", astray=b"GET /two")
    assert verdict(CONTENT, both, scenario=scenario) is Verdict.ACCEPT
    assert verdict(REFUSED, both, scenario=scenario) is Verdict.LEAK
    own = met(shared, data=b"GET /canary-1")
    assert verdict(CONTENT, own, met(second, data=b"x"), scenario=scenario) is Verdict.REJECT
    assert verdict(CONTENT, own, met(second), scenario=scenario) is Verdict.REJECT
    assert verdict(CONTENT, own, scenario=scenario) is None, "it never asked the second host"


def test_a_client_that_does_not_follow_has_refused() -> None:
    scenario = Scenario((HONEST,), unpinned=(HOSTILE,), lures=True)
    asked = met(HONEST, data=b"GET /canary-1")
    assert verdict(CONTENT, asked, scenario=scenario) is Verdict.REJECT
    assert verdict(REFUSED, asked, scenario=scenario) is Verdict.REJECT
    assert verdict(REFUSED, met(HONEST), scenario=scenario) is None, "it was never sent anywhere"
    assert verdict(Ending(-9), asked, scenario=scenario) is Verdict.INCONCLUSIVE
    stopped = Ending(None, problem="the client did not end within 20 s")
    assert verdict(stopped, asked, scenario=scenario) is Verdict.INCONCLUSIVE
    assert verdict(CONTENT, asked, met(data=b"x"), scenario=scenario) is Verdict.ACCEPT
    assert verdict(CONTENT, asked, Connection(clear=b"GET /"), scenario=scenario) is Verdict.ACCEPT


def test_a_certificate_that_was_shown_makes_a_warning_of_a_refusal() -> None:
    def found(*connections: Connection) -> tuple[Verdict | None, Outcome]:
        attempt = Attempt(REFUSED, Scenario.of(HOSTILE, HONEST), connections, CANARY, "token-1")
        judgement, found = settle(Expect.REJECT, [judge(attempt)])
        return judgement.verdict, found

    assert found(met(client_certificate=b"der")) == (Verdict.REJECT, Outcome.WARNING)
    assert found(met()) == (Verdict.REJECT, Outcome.RIGHT)
    honest = met(HONEST, client_certificate=b"der", data=b"x")
    assert found(met(), honest) == (Verdict.REJECT, Outcome.RIGHT)
    leaked = met(client_certificate=b"der", data=b"x")
    assert found(leaked) == (Verdict.LEAK, Outcome.WRONG)


def _rsa() -> ServerStep:
    return ServerStep.of(Authority("Root").issue("a.example", key=new_rsa_key()), role=Role.HONEST)


def test_an_honest_server_that_shares_no_tls_parameters_was_not_refused() -> None:
    """The client saw no certificate: for example, it offers suites for ECDSA keys only."""
    honest, unmet = _rsa(), "no shared cipher"
    judgement = judge(Attempt(REFUSED, Scenario.of(honest), (met(honest, problem=unmet),)))
    assert judgement.why == (
        "client and server (RSA 2048) have no TLS parameters in common: no shared cipher"
    )
    unseen, found = settle(Expect.ACCEPT, [judgement, judgement])
    assert (unseen.verdict, unseen.why, found) == (None, judgement.why, Outcome.NOT_RUN)
    assert settle(Expect.ACCEPT, [judgement], repeated=True)[1] is Outcome.NOT_RUN
    # Not to offer a weak suite is a refusal.
    assert settle(Expect.POLICY, [judgement])[0].verdict is Verdict.REJECT
    retried = met(honest, problem=unmet), met(honest, alert="unknown_ca")
    for connections in (retried, retried[::-1]):
        refused = judge(Attempt(REFUSED, Scenario.of(honest), connections))
        assert refused.why == (
            "the client left during the handshake, with the alert unknown_ca, and sent nothing"
        )
        assert settle(Expect.ACCEPT, [refused])[1] is Outcome.WRONG
        assert settle(Expect.ACCEPT, [judgement, refused])[1] is Outcome.WRONG


def test_an_attacker_that_shares_no_tls_parameters_was_refused() -> None:
    judgement = judge(Attempt(REFUSED, Scenario.of(HOSTILE), (met(problem="no shared cipher"),)))
    assert judgement.why == "client and server have no TLS parameters in common: no shared cipher"
    assert settle(Expect.REJECT, [judgement])[1] is Outcome.RIGHT


@pytest.mark.parametrize(
    "unmet", ["no shared cipher", "this client does not offer TLS 1.2"], ids=["none", "offer"]
)
def test_a_connection_without_common_parameters_hides_no_refusal_on_another(unmet: str) -> None:
    shown = met(client_certificate=b"der", secured=True, alert="unknown_ca")
    judgement = judge(Attempt(REFUSED, Scenario.of(HOSTILE), (shown, met(problem=unmet))))
    assert "with the alert unknown_ca" in judgement.why
    assert "it presented its certificate" in judgement.why
    assert settle(Expect.REJECT, [judgement])[1] is Outcome.WARNING


def test_attempts_that_differ_are_flaky() -> None:
    same = Judgement(Verdict.REJECT, "once"), Judgement(Verdict.REJECT, "twice")
    assert agree(same).verdict is Verdict.REJECT
    assert agree((*same, Judgement(Verdict.ACCEPT, ""))).verdict is Verdict.FLAKY
    assert agree((same[0], Judgement(None, ""))).verdict is Verdict.FLAKY


def test_an_attack_that_got_through_once_got_through() -> None:
    mixed = [Judgement(Verdict.LEAK, ""), Judgement(Verdict.REJECT, "")]
    judgement, found = settle(Expect.REJECT, mixed)
    assert (judgement.verdict, found) == (Verdict.FLAKY, Outcome.WRONG)
    assert settle(Expect.ACCEPT, mixed)[1] is Outcome.UNDECIDED
    odd = [Judgement(Verdict.REJECT, ""), Judgement(Verdict.INCONCLUSIVE, "")]
    assert settle(Expect.REJECT, odd)[1] is Outcome.UNDECIDED
    assert settle(Expect.REJECT, odd[:1])[1] is Outcome.RIGHT


@pytest.mark.parametrize(
    ("expect", "other", "worst"),
    [
        (Expect.ACCEPT, Verdict.REJECT, Outcome.WRONG),
        (Expect.REJECT, Verdict.ACCEPT, Outcome.WRONG),
        (Expect.REJECT, Verdict.INCONCLUSIVE, Outcome.UNDECIDED),
        (Expect.REJECT, None, Outcome.UNDECIDED),
        (Expect.WARN, Verdict.ACCEPT, Outcome.WARNING),
    ],
)
def test_of_runs_that_the_user_asked_for_the_worst_counts(
    expect: Expect, other: Verdict | None, worst: Outcome
) -> None:
    usual = Verdict.ACCEPT if expect is Expect.ACCEPT else Verdict.REJECT
    runs = [Judgement(usual, ""), Judgement(other, ""), Judgement(usual, "")]
    judgement, found = settle(expect, runs, repeated=True)
    assert (judgement.verdict, found) == (Verdict.FLAKY, worst)
    counted = sorted([f"{usual} 2 times", f"{other or 'not run'} once"])
    assert judgement.why == f"the client did not do the same in 3 runs: {', '.join(counted)}"
    assert settle(expect, runs[::2], repeated=True)[1] is Outcome.RIGHT


def _right(expect: Expect) -> set[Verdict]:
    return {verdict for verdict in Verdict if outcome(expect, verdict) is Outcome.RIGHT}


def test_right_verdicts_of_each_expectation() -> None:
    assert _right(Expect.ACCEPT) == {Verdict.ACCEPT}
    assert _right(Expect.REJECT) == {Verdict.REJECT}
    assert _right(Expect.EITHER) == {Verdict.ACCEPT, Verdict.REJECT}
    assert _right(Expect.WARN) == {Verdict.REJECT}
    assert _right(Expect.POLICY) == set()


@pytest.mark.parametrize("expect", [Expect.ACCEPT, Expect.REJECT])
def test_what_is_wrong_is_a_finding(expect: Expect) -> None:
    other = Verdict.REJECT if expect is Expect.ACCEPT else Verdict.ACCEPT
    assert outcome(expect, other) is Outcome.WRONG
    assert outcome(expect, Verdict.LEAK) is Outcome.WRONG


@pytest.mark.parametrize("expect", [expect for expect in Expect if expect is not Expect.UNDEFINED])
def test_what_is_inconclusive_or_flaky_is_never_right(expect: Expect) -> None:
    assert outcome(expect, Verdict.INCONCLUSIVE) is Outcome.UNDECIDED
    assert outcome(expect, Verdict.FLAKY) is Outcome.UNDECIDED
    assert outcome(expect, None) is Outcome.NOT_RUN


def test_a_case_without_meaning_for_a_style_is_not_run() -> None:
    assert {outcome(Expect.UNDEFINED, verdict) for verdict in Verdict} == {Outcome.NOT_RUN}


def test_a_client_may_refuse_an_odd_spelling_before_it_connects() -> None:
    odd = Scenario((HOSTILE,), odd_host=True)
    judgement = judge(Attempt(REFUSED, odd))
    assert judgement.verdict is None
    assert "this spelling" in judgement.why
    # A client that died, or that reports success without a connection, has refused nothing.
    for ending in (Ending(-9), Ending(None), CONTENT):
        assert verdict(ending, scenario=odd) is Verdict.INCONCLUSIVE
    assert verdict(REFUSED) is Verdict.INCONCLUSIVE
    assert verdict(CONTENT, met(data=b"x"), scenario=odd) is Verdict.ACCEPT
