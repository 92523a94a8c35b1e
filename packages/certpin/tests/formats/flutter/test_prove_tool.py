"""``tool/prove.dart`` of the example app, run against the lab by host name and by address.

It uses certpin's Dart library, and must refuse attackers and accept honest servers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from certpin.lab.attacks import CASES
from certpin.lab.client import Command
from certpin.lab.lab import Lab
from certpin.lab.runner import prove
from certpin.lab.verdict import Outcome
from tests.formats.flutter import _vm, example

if TYPE_CHECKING:
    from pathlib import Path

CHOSEN = (
    *("rogue-ca-in-store", "same-ca-new-key", "untrusted-ca", "rot-backup-live"),
    *("wrong-host-pinned-ca", "rot-renewed-same-key"),
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile ``tool/prove.dart``, and return the compiled file."""
    folder = tmp_path_factory.mktemp("tool")
    packages = _vm.package_config(folder, {"bank_app": example.APP / "lib"})
    compiled = folder / "prove.dill"
    assert _vm.compile_kernel(example.APP / "tool/prove.dart", packages, compiled) == ""
    return compiled


@pytest.mark.slow
@pytest.mark.peer("dart")
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_the_tool_refuses_attackers_and_accepts_the_honest_server(host: str, program: Path) -> None:
    words = ("{host}", "{port}", "{ca}", "{pin}", "{backup}", "{canary}")
    client = Command((str(_vm.NEWEST.program), str(program), *words), via="port")
    cases = [case for case in CASES if case.name in CHOSEN]
    assert len(cases) == len(CHOSEN)
    with Lab(host) as lab:
        run = prove(lab, client, cases, jobs=2)
    assert run.controlled, [each.attempts for each in run.results]
    outcomes = {each.case.name: (each.outcome, each.why) for each in run.results}
    assert {outcome for outcome, _ in outcomes.values()} == {Outcome.RIGHT}, outcomes
