"""Cases that attack one kind of connection, or the n-th one, serve all others honestly."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from certpin.lab.attacks import CASES
from certpin.lab.pki import Authorities, Style, TestPKI
from certpin.lab.scenario import Answer, Role
from tests.lab._clients import BY_NAME
from tests.lab.attacks._forged import HOST

if TYPE_CHECKING:
    from certpin.lab.case import Case


@pytest.fixture(scope="module")
def pki() -> TestPKI:
    return TestPKI(Authorities(datetime.now(UTC)), HOST, "cdn.bank.example", Style.LEAF)


@pytest.mark.parametrize("number", [2, 3, 4, 5, 6])
def test_only_the_nth_connection_is_attacked(pki: TestPKI, number: int) -> None:
    scenario = BY_NAME[f"rogue-connection-{number}"].scenario(pki)
    attacked = [step.role is Role.ATTACKER for step in scenario.first]
    assert attacked == [False] * (number - 1) + [True, False]


@pytest.mark.parametrize("case", [case for case in CASES if case.separate], ids=lambda x: x.name)
def test_the_same_attack_without_redirects_differs_in_nothing_else(
    pki: TestPKI, case: Case
) -> None:
    assert case.separate
    followed, separate = case.scenario(pki), case.separate(pki)
    assert {step.answer for step in separate.first} == {Answer.OK}
    assert [step.role for step in separate.steps] == [step.role for step in followed.steps]
    assert separate.attacks


@pytest.mark.parametrize(
    ("name", "where"),
    [("other-kind-of-connection", "other_kind"), ("redirect-to-other-port", "other_port")],
)
def test_the_attack_is_on_no_ordinary_connection(pki: TestPKI, name: str, where: str) -> None:
    scenario = BY_NAME[name].scenario(pki)
    assert {step.role for step in scenario.first} == {Role.HONEST}
    assert [step.role for step in getattr(scenario, where)] == [Role.ATTACKER]
