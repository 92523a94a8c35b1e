"""Correct clients get the right verdict in every case, without a false alarm."""

from __future__ import annotations

import pytest

from certpin.lab.attacks import CASES
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.runner import prove
from certpin.lab.verdict import Outcome
from tests.lab._clients import right_client


@pytest.mark.slow
@pytest.mark.parametrize("style", Style)
def test_correct_client_raises_no_alarm(style: Style) -> None:
    with Lab(style=style, stall=0.1) as lab:
        run = prove(lab, right_client(style), CASES, jobs=2)
    assert run.controlled
    wrong = [
        result for result in run.results if result.outcome in {Outcome.WRONG, Outcome.UNDECIDED}
    ]
    assert not wrong, "\n".join(
        f"{result.case.name}: {result.verdict}: {result.why}" for result in wrong
    )
