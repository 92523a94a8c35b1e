"""The cases for clients that require Certificate Transparency."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from certpin import PinnedSSLContext, PinSet, TransparencyError, pin_error
from certpin.lab.attacks import CASES, OPTIONAL_CASES
from certpin.lab.case import CannotServeError
from certpin.lab.client import Call, substitute
from certpin.lab.device.schedule import Schedule
from certpin.lab.lab import Lab
from certpin.lab.pki import Authorities, Style
from certpin.lab.verdict import Outcome, Verdict
from certpin.x509.sct import embedded_scts
from tests.lab._clients import BY_NAME, request, run_case

if TYPE_CHECKING:
    from certpin.lab.target import Target

HOST = "api.bank.example"
PINNED = (Style.LEAF, Style.CA)
ATTACKS = ("no-scts", "unknown-logs")


def _context(target: Target, pins: PinSet) -> PinnedSSLContext:
    context = PinnedSSLContext(pins)
    context.load_verify_locations(target.ca)
    return context


@pytest.mark.medium
@pytest.mark.parametrize("style", PINNED)
@pytest.mark.parametrize("name", ATTACKS)
def test_a_certificate_that_no_known_log_has_is_refused(name: str, style: Style) -> None:
    errors: list[object] = []

    def call(target: Target) -> str:
        try:
            return request(target, _context(target, PinSet.load(target.pins)))
        except OSError as exc:
            errors.append(pin_error(exc))
            raise

    result = run_case(name, Call(call), style)
    assert (result.verdict, result.outcome) == (Verdict.REJECT, Outcome.RIGHT)
    assert isinstance(errors[-1], TransparencyError)


@pytest.mark.medium
@pytest.mark.parametrize("style", PINNED)
def test_a_logged_certificate_is_accepted(style: Style) -> None:
    client = Call(lambda target: request(target, _context(target, PinSet.load(target.pins))))
    result = run_case("logged", client, style)
    assert (result.verdict, result.outcome) == (Verdict.ACCEPT, Outcome.RIGHT)


@pytest.mark.medium
@pytest.mark.parametrize("name", ATTACKS)
def test_a_client_that_compares_only_pins_is_caught(name: str) -> None:
    def call(target: Target) -> str:
        pins = PinSet.load(target.pins)
        policies = tuple(replace(policy, ct_logs=None) for policy in pins.policies)
        return request(target, _context(target, PinSet(pins.name, pins.version, policies)))

    result = run_case(name, Call(call), Style.LEAF)
    assert (result.verdict, result.outcome) == (Verdict.ACCEPT, Outcome.WRONG)


def test_no_run_has_these_cases_by_default() -> None:
    assert not set(OPTIONAL_CASES) & set(CASES)


def test_the_certificates_differ_in_their_promises_only() -> None:
    with Lab() as lab:
        pki = lab.pki(lab.host)
        logged = pki.logged(pki.authorities.logs)
        assert logged.pin == pki.leaf.pin
        assert embedded_scts(pki.leaf.certificate) == ()
        assert len(embedded_scts(logged.certificate)) == 2


@pytest.mark.parametrize("word", ["{pin}", "{pinnedpubkey}", "{cert}", "{export:okhttp-kotlin}"])
def test_a_client_that_cannot_know_the_logs_is_not_judged(word: str) -> None:
    with Lab() as lab:
        there = lab.target(BY_NAME["no-scts"], lab.pki(lab.host), 1, 2)
        with pytest.raises(CannotServeError, match=r"logs"):
            substitute([word], there)
        assert substitute(["{pins}"], there) == [str(there.pins)]
        [exported] = substitute(["{export:json}"], there)
        assert exported.endswith("pins.json")


def test_a_device_is_not_judged() -> None:
    case = BY_NAME["no-scts"]
    schedule = Schedule([HOST], Style.LEAF, [case], Authorities(datetime.now(UTC)))
    assert schedule.queues[HOST].turn() is not None  # the good control
    with pytest.raises(CannotServeError, match="another pin set"):
        schedule._prepare(HOST, case)
