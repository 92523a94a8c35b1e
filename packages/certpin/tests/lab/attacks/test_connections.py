"""Cases that attack one kind of connection, or the n-th one, serve all others honestly."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from certpin.lab.pki import Authorities, Style, TestPKI
from certpin.lab.scenario import Role
from tests.lab._clients import BY_NAME
from tests.lab.attacks._forged import HOST


@pytest.fixture(scope="module")
def pki() -> TestPKI:
    return TestPKI(Authorities(datetime.now(UTC)), HOST, "cdn.bank.example", Style.LEAF)


@pytest.mark.parametrize("number", [2, 3, 4, 5, 6])
def test_only_the_nth_connection_is_attacked(pki: TestPKI, number: int) -> None:
    scenario = BY_NAME[f"rogue-connection-{number}"].scenario(pki)
    attacked = [step.role is Role.ATTACKER for step in scenario.first]
    assert attacked == [False] * (number - 1) + [True, False]


@pytest.mark.parametrize(
    ("name", "where"),
    [("other-kind-of-connection", "other_kind"), ("redirect-to-other-port", "other_port")],
)
def test_the_attack_is_on_no_ordinary_connection(pki: TestPKI, name: str, where: str) -> None:
    scenario = BY_NAME[name].scenario(pki)
    assert {step.role for step in scenario.first} == {Role.HONEST}
    assert [step.role for step in getattr(scenario, where)] == [Role.ATTACKER]
