"""Every broken example client on every case of the lab (``make gallery``, many minutes).

The report must name the cause of the client's fault, and no causes but those in the table.
"""

from __future__ import annotations

import sys
from pathlib import PurePath

import pytest

from certpin.lab.attacks import CASES, OPTIONAL_CASES
from certpin.lab.client import Command
from certpin.lab.lab import Lab
from certpin.lab.report.causes import find_causes
from certpin.lab.runner import prove
from certpin.lab.verdict import Outcome
from tests.lab._clients import BY_NAME
from tests.lab.gallery._gallery import BROKEN, in_its_language, peer_of
from tests.lab.gallery._table import ALSO, COMPROMISED, HOLES, IN_DART, IN_NODE, PROGRAMS, Hole

pytestmark = [pytest.mark.gallery, pytest.mark.slow, pytest.mark.timeout(600)]


def _names_its_fault(client: Command, hole: Hole, name: str) -> None:
    optional = [case for case in OPTIONAL_CASES if case.name in hole.cases]
    with Lab(style=hole.style, tls=hole.tls, stall=hole.stall) as lab:
        run = prove(lab, client, (*CASES, *optional), jobs=2)
    assert run.controlled, [result.why for result in run.results]
    # A client that hangs, or that can't connect to an IPv6 address, has no verdict in other cases.
    undecided = {each.case.name for each in run.results if each.outcome is Outcome.UNDECIDED}
    assert not undecided & {*hole.cases, hole.neighbour}
    causes = find_causes(run.results)
    in_language = {".mjs": IN_NODE, ".dart": IN_DART}.get(PurePath(name).suffix, set())
    allowed = ALSO.get(name, set()) | {COMPROMISED} | in_language
    found = {cause.title for cause in causes}
    assert found - (allowed - {hole.cause}) == {hole.cause} - {""}
    wrong = sorted(each.case.name for each in run.results if each.outcome is Outcome.WRONG)
    assert sorted(case for cause in causes for case in cause.cases) == wrong


@pytest.mark.parametrize("name", HOLES)
def test_a_client_in_python_has_the_cause_of_its_fault(name: str) -> None:
    assert {BY_NAME[case] for case in HOLES[name].cases} <= {*CASES, *OPTIONAL_CASES}
    client = Command((sys.executable, str(BROKEN / f"{name}.py"), "{host}"), via=HOLES[name].via)
    _names_its_fault(client, HOLES[name], f"{name}.py")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.peer(peer_of(name))) for name in PROGRAMS]
)
def test_a_client_in_another_language_has_the_cause_of_its_fault(name: str) -> None:
    _names_its_fault(in_its_language(name, PROGRAMS[name]), PROGRAMS[name].hole, name)
