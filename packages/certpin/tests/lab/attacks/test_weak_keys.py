"""Weak keys and suites are really served, and only a client that allows them accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

from certpin.lab.client import Call
from certpin.lab.forge import small_rsa_key
from certpin.lab.pki import Style
from certpin.lab.scenario import Role
from certpin.lab.verdict import Outcome, Verdict
from tests.lab._clients import request, right_client, run_case, trusting
from tests.lab.attacks._forged import Forged

if TYPE_CHECKING:
    from certpin.lab.target import Target

pytestmark = pytest.mark.slow  # whole runs; test_matrix.py is quick

KEYS = ("weak-leaf-rsa-1024", "weak-leaf-dsa", "weak-leaf-p192")
SUITES = {
    "suite-static-rsa": "AES128-GCM-SHA256",
    "suite-cbc": "ECDHE-RSA-AES128-SHA",
    "dh-1024": "DHE-RSA-AES128-GCM-SHA256",
}


def test_the_keys_are_of_the_declared_sizes() -> None:
    for name, bits in (("weak-leaf-rsa-512", 512), ("weak-leaf-rsa-1024", 1024)):
        key = Forged(name).leaf.public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        assert key.key_size == bits
    assert Forged("weak-leaf-rsa-512").leaf.public_key() == small_rsa_key().public_key()
    old = Forged("weak-leaf-dsa").leaf.public_key()
    assert isinstance(old, dsa.DSAPublicKey)
    assert old.key_size == 1024
    curve = Forged("weak-leaf-p192").leaf.public_key()
    assert isinstance(curve, ec.EllipticCurvePublicKey)
    assert curve.key_size == 192


@pytest.mark.peer("openssl")
def test_only_the_key_is_wrong() -> None:
    for name in ("weak-leaf-rsa-512", *KEYS):
        assert Forged(name).openssl("-auth_level", "0") == ""


def test_a_new_key_is_an_attack_on_pins_of_the_server_only() -> None:
    for name in KEYS:
        assert Forged(name, style=Style.LEAF).step.role is Role.ATTACKER
        assert Forged(name, style=Style.CA).step.role is Role.HONEST


@pytest.mark.parametrize("style", Style)
@pytest.mark.parametrize("name", KEYS)
def test_pins_on_the_server_refuse_a_new_key_and_others_have_a_policy(
    name: str, style: Style
) -> None:
    result = run_case(name, right_client(style), style)
    pinned = style is Style.LEAF
    assert result.verdict is Verdict.REJECT
    assert result.outcome is (Outcome.RIGHT if pinned else Outcome.TOLD)


def _lax(target: Target) -> str:
    context = trusting(target)
    context.set_ciphers(f"DEFAULT:{':'.join(SUITES.values())}:@SECLEVEL=0")
    return request(target, context)


@pytest.mark.parametrize(("name", "suite"), SUITES.items())
def test_a_client_that_allows_the_suite_gets_it(name: str, suite: str) -> None:
    result = run_case(name, Call(_lax), Style.NONE)
    assert (result.verdict, result.outcome) == (Verdict.ACCEPT, Outcome.TOLD)
    (seen,) = result.attempts[0].connections
    assert seen.cipher == suite


def test_a_client_without_a_minimum_accepts_the_small_keys() -> None:
    small = run_case("weak-leaf-rsa-512", Call(_lax), Style.NONE)
    assert (small.verdict, small.outcome) == (Verdict.ACCEPT, Outcome.WRONG)
    allowed = run_case("weak-leaf-rsa-1024", Call(_lax), Style.NONE)
    assert (allowed.verdict, allowed.outcome) == (Verdict.ACCEPT, Outcome.TOLD)


def test_3des_is_served_or_the_report_says_why_it_is_not() -> None:
    result = run_case("suite-3des", right_client(Style.NONE), Style.NONE)
    if result.outcome is Outcome.NOT_RUN:
        assert "OpenSSL will not serve it: NO_CIPHER_CAN_BE_SELECTED" in result.why
    else:
        assert result.outcome is Outcome.TOLD
