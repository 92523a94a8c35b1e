"""The output of ``certpin lab serve`` about the honest server, and its exit code."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import Mock

import pytest

from certpin.cli.lab.screen import LineScreen, _control, summary
from certpin.cli.lab.serve import exit_code
from certpin.lab.attacks import CONTROL
from certpin.lab.case import Expect
from certpin.lab.device.lab import HostProgress
from certpin.lab.runner import Result
from certpin.lab.verdict import Outcome, Verdict
from tests.lab._serving import ONE

HOST = "api.bank.example"
ACCEPTED = Result(CONTROL, Expect.ACCEPT, Verdict.ACCEPT, Outcome.RIGHT, "9 bytes arrived")
REFUSED = Result(CONTROL, Expect.ACCEPT, Verdict.REJECT, Outcome.WRONG, "the client left")
RIGHT = Result(ONE, Expect.REJECT, Verdict.REJECT, Outcome.RIGHT, "with the alert unknown_ca")
NEW = HostProgress(
    host=HOST,
    playing="",
    coming="control-good",
    in_doubt=0,
    controlled=False,
    control=None,
    results=(),
    cases=1,
    finished=False,
    clear_text=0,
    credentials=(),
    real=False,
)
REFUSES = replace(NEW, control=REFUSED)
ACCEPTS = replace(NEW, controlled=True, control=ACCEPTED, results=(RIGHT,))
STOPPED = replace(ACCEPTS, control=REFUSED)


@pytest.mark.parametrize(
    ("progress", "said"),
    [
        (NEW, "no connection yet"),
        (REFUSES, "refused: does it trust the lab's roots?"),
        (replace(REFUSES, real=True), "refused: does it work without the lab?"),
        (ACCEPTS, "accepted"),
        (STOPPED, "no longer accepted: does it work without the lab?"),
    ],
)
def test_the_table_has_the_latest_reaction_to_the_honest_server(
    progress: HostProgress, said: str
) -> None:
    assert _control(progress) == said


def test_the_summary_says_that_the_app_stopped_to_accept_the_honest_server() -> None:
    assert "no longer" not in " ".join(summary([ACCEPTS]))
    lines = " ".join(" ".join(summary([STOPPED])).split())
    assert lines.startswith(f"{HOST}: 1 of 1 cases tried, 0 wrong")
    assert ". The app no longer accepts the honest server" in lines
    assert "(the client left): its latest refusals prove nothing" in lines


def test_a_pipe_gets_a_line_when_the_reaction_to_the_honest_server_changes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lab = Mock()
    screen = LineScreen(lab)
    for progress in (NEW, REFUSES, REFUSES, ACCEPTS, ACCEPTS, STOPPED, STOPPED, ACCEPTS):
        lab.progress.return_value = [progress]
        screen.refresh()
    assert capsys.readouterr().out.splitlines() == [
        f"{HOST}  honest server  refused: does it trust the lab's roots?",
        f"{HOST}  honest server  accepted",
        f"{HOST}  honest server  no longer accepted: does it work without the lab?",
        f"{HOST}  honest server  accepted",
    ]


NOT_RUN = Result(ONE, Expect.REJECT, None, Outcome.NOT_RUN, "the app would have to call 192.0.2.1")
WRONG = Result(ONE, Expect.REJECT, Verdict.ACCEPT, Outcome.WRONG, "9 bytes arrived")
FINISHED = replace(ACCEPTS, finished=True)
UNTRIED = replace(FINISHED, results=(NOT_RUN,))


@pytest.mark.parametrize(
    ("hosts", "code"),
    [
        ([FINISHED], 0),
        ([replace(FINISHED, results=(RIGHT, NOT_RUN))], 0),
        ([UNTRIED], 3),
        ([FINISHED, UNTRIED], 3),
        ([ACCEPTS], 3),
        ([replace(FINISHED, results=(WRONG,)), UNTRIED], 1),
    ],
)
def test_the_exit_code_is_3_if_no_case_of_a_host_could_be_run(
    hosts: list[HostProgress], code: int
) -> None:
    assert exit_code(hosts) == code


def test_the_summary_says_that_no_attack_was_run() -> None:
    lines = " ".join(" ".join(summary([UNTRIED])).split())
    assert "No attack was run. Run more cases: this run proves nothing about attacks." in lines
    assert "No attack" not in " ".join(summary([FINISHED]))
