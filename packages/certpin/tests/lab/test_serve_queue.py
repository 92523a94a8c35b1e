"""The order of a host's cases: honest controls come between them, and confirm each refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lab.attacks import CONTROL
from certpin.lab.device.queue import plan
from certpin.lab.scenario import Answer, Scenario
from certpin.lab.verdict import Outcome
from tests.lab._serving import BOTH, HONEST, HOSTILE, ONE, OTHER, RENEWED, SWAPPED, Rehearsal, case

if TYPE_CHECKING:
    from certpin.lab.device.turn import Visit


def test_controls_are_between_the_cases_and_at_the_end() -> None:
    assert plan([ONE, OTHER, SWAPPED], between=2) == [ONE, OTHER, CONTROL, SWAPPED, CONTROL]
    assert plan([ONE, OTHER], between=2) == [ONE, OTHER, CONTROL]
    assert plan([]) == [CONTROL]


def test_the_control_comes_first_then_each_case_then_the_control() -> None:
    lab = Rehearsal(ONE, OTHER)
    met = [lab.gives_once(), lab.refuses_once(), lab.refuses_once(), lab.gives_once()]
    assert [visit.turn.case for visit in met] == [CONTROL, ONE, OTHER, CONTROL]
    assert lab.verdicts() == {"one": "REJECT", "other": "REJECT"}
    assert lab.schedule.finished


def test_refusal_is_not_reported_before_the_next_control() -> None:
    lab = Rehearsal(ONE)
    lab.gives_once()
    lab.refuses_once()
    assert lab.reported == []
    lab.gives_once()
    assert [result.outcome for _, result in lab.reported] == [Outcome.RIGHT]


def test_attack_that_got_through_is_reported_at_once() -> None:
    lab = Rehearsal(ONE)
    lab.gives_once()
    lab.gives(lab.call())
    assert [result.outcome for _, result in lab.reported] == [Outcome.WRONG]


def test_refusals_are_repeated_after_a_failed_control() -> None:
    lab = Rehearsal(ONE, OTHER)
    lab.gives_once()
    lab.refuses_once()
    lab.refuses_once()
    assert lab.refuses_once().turn.case is CONTROL
    assert lab.verdicts() == {}
    assert [lab.gives_once().turn.case, lab.refuses_once().turn.case] == [CONTROL, ONE]
    assert [lab.refuses_once().turn.case, lab.gives_once().turn.case] == [OTHER, CONTROL]
    assert lab.verdicts() == {"one": "REJECT", "other": "REJECT"}


def test_a_case_that_never_comes_to_a_verdict_is_given_up() -> None:
    lab = Rehearsal(ONE)
    for _ in range(3):
        lab.gives_once()
        lab.refuses_once()
        lab.refuses_once()  # the control
    lab.gives_once()
    assert lab.verdicts() == {"one": "INCONCLUSIVE"}
    assert "the good control failed" in lab.reported[0][1].why


def test_an_app_that_refuses_the_honest_server_meets_nothing_else() -> None:
    lab = Rehearsal(ONE)
    assert {lab.refuses_once().turn.case for _ in range(20)} == {CONTROL}
    assert not lab.schedule.queues["a.example"].controlled


def test_unconfirmed_refusals_stay_undecided() -> None:
    lab = Rehearsal(ONE, OTHER)
    lab.gives_once()
    lab.refuses_once()
    lab.schedule.stop()
    assert lab.verdicts() == {"one": "INCONCLUSIVE"}
    assert lab.reported[0][1].why == "no good control followed it"


def test_silent_close_must_happen_twice() -> None:
    lab = Rehearsal(ONE)
    lab.gives_once()
    for _ in range(2):
        visit = lab.call()
        assert visit.turn.case is ONE
        lab.leaves(visit)
    lab.gives_once()
    assert lab.verdicts() == {"one": "REJECT"}


def test_a_client_that_left_in_silence_once_and_then_worked_has_refused() -> None:
    lab = Rehearsal(case("bad-then-good", Scenario.of(HOSTILE, HONEST)))
    lab.gives_once()
    lab.leaves(lab.call())
    lab.gives_once()
    assert lab.call().turn.case is CONTROL
    lab.gives_once()
    assert lab.verdicts() == {"bad-then-good": "REJECT"}


def test_silence_and_junk_move_a_case_on_without_a_verdict() -> None:
    lab = Rehearsal(ONE)
    lab.gives_once()
    stalled = [lab.call() for _ in range(3)]
    for visit in stalled:
        lab.stalls(visit)
    assert lab.verdicts() == {}
    again = lab.call()  # before the last control
    assert again.turn.case is ONE
    assert again.turn is not stalled[0].turn


def test_connections_that_never_say_hello_change_nothing() -> None:
    lab = Rehearsal(ONE)
    lab.gives_once()
    for _ in range(100):
        visit = lab.call()
        visit.seen.hello = None
        lab.leaves(visit)
        assert visit.turn.visits == []
    assert lab.refuses_once().turn.case is ONE


def test_six_connections_at_once_all_meet_the_case_that_was_on() -> None:
    lab = Rehearsal(ONE, OTHER)
    lab.gives_once()
    six = [lab.call() for _ in range(6)]
    assert {visit.turn.case for visit in six} == {ONE}
    for visit in six:
        lab.refuses(visit)
        assert lab.call().turn.case is OTHER


def test_late_data_turns_a_refusal_into_a_finding() -> None:
    lab = Rehearsal(ONE)
    lab.gives_once()
    first, late = lab.call(), lab.call()
    lab.refuses(first)
    lab.gives_once()  # the control, after which the refusal is reported
    assert lab.verdicts() == {"one": "REJECT"}
    lab.gives(late)
    assert lab.verdicts() == {"one": "ACCEPT"}
    assert [result.outcome for _, result in lab.reported] == [Outcome.RIGHT, Outcome.WRONG]


def _repeated_with_one_open() -> tuple[Rehearsal, Visit]:
    """Return a lab that repeats the case ``one``, and a connection to its first run that is open.

    The first run was refused, and the control after it failed, and then succeeded.
    """
    lab = Rehearsal(ONE)
    lab.gives_once()
    late = lab.call()
    lab.refuses_once()
    lab.refuses_once()  # the control
    lab.gives_once()
    return lab, late


def test_late_data_ends_a_run_that_repeats_the_attack() -> None:
    lab, late = _repeated_with_one_open()
    again = lab.call()
    assert again.turn.case is ONE
    lab.gives(late)
    assert lab.verdicts() == {"one": "ACCEPT"}
    lab.refuses(again)
    assert lab.call().turn.case is CONTROL
    lab.gives_once()
    assert lab.verdicts() == {"one": "ACCEPT"}
    assert [result.outcome for _, result in lab.reported] == [Outcome.WRONG]


def test_late_data_drops_a_repeated_refusal_that_is_not_confirmed() -> None:
    lab, late = _repeated_with_one_open()
    lab.refuses_once()
    lab.gives(late)
    assert lab.schedule.queues["a.example"].in_doubt == 0
    lab.schedule.stop()
    assert lab.verdicts() == {"one": "ACCEPT"}


def test_a_sequence_waits_for_its_second_connection() -> None:
    lab = Rehearsal(SWAPPED)
    lab.gives_once()
    assert lab.gives_once().turn.case is SWAPPED
    assert lab.verdicts() == {}
    assert lab.refuses_once().turn.case is SWAPPED
    lab.gives_once()
    assert lab.verdicts() == {"swapped": "REJECT"}


def test_data_on_the_honest_connection_of_a_sequence_is_no_finding() -> None:
    lab = Rehearsal(SWAPPED)
    lab.gives_once()
    lab.gives_once()
    lab.gives_once()
    assert lab.verdicts() == {"swapped": "ACCEPT"}


def test_a_legitimate_change_that_is_refused_is_a_finding() -> None:
    lab = Rehearsal(RENEWED)
    lab.gives_once()
    lab.refuses_once()
    lab.gives_once()
    assert [result.outcome for _, result in lab.reported] == [Outcome.WRONG]


def test_a_client_that_calls_again_instead_of_following_has_refused() -> None:
    astray = Scenario((HONEST.but(answer=Answer.REDIRECT_PLAIN),), lures=True)
    lab = Rehearsal(case("astray", astray))
    lab.gives_once()
    for _ in range(3):
        assert lab.gives_once().turn.case.name == "astray"
    lab.gives_once()
    assert lab.verdicts() == {"astray": "REJECT"}


def test_a_client_that_follows_into_clear_text_is_noticed_although_it_comes_late() -> None:
    astray = Scenario((HONEST.but(answer=Answer.REDIRECT_PLAIN),), lures=True)
    lab = Rehearsal(case("astray", astray))
    for _ in range(5):
        lab.gives_once()
    lab.asks_in_clear()
    assert lab.verdicts() == {"astray": "ACCEPT"}


def test_unrelated_clear_text_gives_no_verdict() -> None:
    lab = Rehearsal(ONE)
    lab.gives_once()
    lab.asks_in_clear()
    assert lab.refuses_once().turn.case is ONE
    lab.gives_once()
    assert lab.verdicts() == {"one": "REJECT"}


def test_a_case_about_two_hosts_takes_the_connections_of_both() -> None:
    lab = Rehearsal(BOTH, hosts=("a.example", "b.example"))
    lab.gives_once("a.example")
    assert lab.gives_once("b.example").turn.case is CONTROL
    assert lab.gives_once("a.example").turn.case is BOTH
    attacked = lab.call("b.example")
    assert attacked.turn.hosts[0] == "a.example"
    lab.refuses(attacked)
    lab.gives_once("a.example")
    assert lab.verdicts("a.example") == {"both": "REJECT"}
    assert lab.verdicts("b.example") == {}


def test_case_about_two_hosts_is_not_run_with_one_host() -> None:
    lab = Rehearsal(BOTH)
    lab.gives_once()
    lab.gives_once()
    (reported,) = lab.reported
    assert (reported[1].outcome, reported[1].why) == (
        Outcome.NOT_RUN,
        "it needs two hosts of the app (name another --host)",
    )
