"""Every report format of a run with a real client and a real lab contains what happened."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from certpin.lab.client import Call, Command
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.report import FORMATS
from certpin.lab.runner import Run, prove
from tests.cli import _documented
from tests.lab import _clients
from tests.lab.report import _runs

if TYPE_CHECKING:
    from certpin.lab.target import Target


def _unpinned(target: Target) -> str:
    return _clients.request(target, _clients.trusting(target))


@pytest.fixture(scope="module")
def run() -> Run:
    cases = [_runs.BY_NAME["untrusted-ca"], _runs.BY_NAME["rogue-ca-in-store"]]
    with Lab(style=Style.LEAF) as lab:
        return prove(lab, Call(_unpinned), cases)


def test_every_format_contains_the_finding(run: Run) -> None:
    for name, write in FORMATS.items():
        assert "1 of 2 attacks got through" in write(run) or name == "junit"
        assert "the attack got through: the client accepted it" in write(run).replace(
            "The a", "the a"
        )


def test_the_json_is_as_documented_and_has_the_evidence(run: Run) -> None:
    document = json.loads(FORMATS["json"](run))
    _documented.check("run", document)
    seen = document["results"][2]["attempts"][0]["connections"][0]
    assert run.results[2].attempts[0].canary in seen["data"]["text"]
    assert [root["subject"] for root in document["trusted"]] == [
        "CN=Root R\\, do not trust (certpin lab)",
        "CN=Rogue root R2\\, do not trust (certpin lab)",
    ]
    pins = run.results[2].attempts[0].pins
    assert pins is not None
    assert [pin["pin"] for pin in seen["pinned"]] == [str(e.pin) for e in pins.policies[0].pins]


def test_picture_distinguishes_the_rogue_root_from_the_pinned_chain(run: Run) -> None:
    page = FORMATS["html"](run)
    assert "no key from here up is pinned" in page
    assert "trusted root" in page
    assert "pinned (leaf)" in page  # in the controls


def test_times_of_the_run_come_from_the_given_clock() -> None:
    moments = iter((_runs.NOW, _runs.NOW + timedelta(seconds=42)))
    command = Command((sys.executable, "-c", "raise SystemExit(1)", "{url}"))
    with Lab(style=Style.NONE) as lab:
        run = prove(lab, command, [], now=lambda: next(moments))
    assert (run.about.started, run.about.seconds) == (_runs.NOW, 42.0)
    assert run.about.command == command.words
    assert len(run.about.trusted) == 2
    assert all(attempt.pins is None for result in run.results for attempt in result.attempts)
