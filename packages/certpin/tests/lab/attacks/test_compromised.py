"""Rule 13: a client must refuse a path with a compromised key, even if a live pin matches it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from certpin import PinnedSSLContext, PinSet, pin_error
from certpin.lab.case import CannotServeError
from certpin.lab.client import Call, environment, substitute
from certpin.lab.device.schedule import Schedule
from certpin.lab.lab import Lab
from certpin.lab.pki import Authorities, Style
from certpin.lab.verdict import Outcome, Verdict
from certpin.pins import HostPolicy, verify
from certpin.x509 import Chain
from tests.lab._clients import BY_NAME, pinned, request, right_client, run_case, trusting

if TYPE_CHECKING:
    from certpin.lab.target import Target

HOST = "api.bank.example"
PINNED = (Style.LEAF, Style.CA)
ATTACKS = ("compromised-key", "compromised-intermediate")
WORDS = ("pin", "backup", "pin2", "backup2", "pinnedpubkey", "cert", "fingerprint")


def _policy(lab: Lab, name: str) -> HostPolicy:
    path = lab.target(BY_NAME[name], lab.pki(lab.host), 1, 2).pins
    policy = PinSet.load(path).policy_for(lab.host)
    assert policy is not None
    return policy


@pytest.mark.medium
@pytest.mark.parametrize("style", PINNED)
@pytest.mark.parametrize("name", ATTACKS)
def test_path_is_refused_because_of_the_mark(name: str, style: Style) -> None:
    reasons: list[str] = []

    def call(target: Target) -> str:
        context = PinnedSSLContext(PinSet.load(target.pins))
        context.load_verify_locations(target.ca)
        try:
            return request(target, context)
        except OSError as exc:
            error = pin_error(exc)
            assert error is not None
            reasons.append(str(error))
            raise

    result = run_case(name, Call(call), style)
    assert (result.verdict, result.outcome) == (Verdict.REJECT, Outcome.RIGHT)
    assert any("compromised" in reason for reason in reasons), reasons


@pytest.mark.medium
def test_a_client_that_looks_for_live_pins_only_is_caught() -> None:
    """A client that ignores the pins marked as compromised accepts the path, and fails the case."""

    def call(target: Target) -> str:
        pins = PinSet.load(target.pins)
        unmarked = [
            HostPolicy(policy.pattern, tuple(entry for entry in policy.pins if entry.live))
            for policy in pins.policies
        ]
        context = PinnedSSLContext(PinSet(pins.name, pins.version, tuple(unmarked)))
        context.load_verify_locations(target.ca)
        return request(target, context)

    caught = [("compromised-key", Style.CA), *(("compromised-intermediate", s) for s in PINNED)]
    for name, style in caught:
        result = run_case(name, Call(call), style)
        assert (result.verdict, result.outcome) == (Verdict.ACCEPT, Outcome.WRONG), (name, style)


@pytest.mark.medium
@pytest.mark.parametrize("style", PINNED)
def test_extra_compromised_certificate_is_ignored(style: Style) -> None:
    result = run_case("rot-compromised-sent", right_client(style), style)
    assert (result.verdict, result.outcome) == (Verdict.ACCEPT, Outcome.RIGHT)
    # Check that the intermediate was sent and that its key is marked.
    [seen] = result.attempts[0].connections
    assert seen.step is not None
    assert result.attempts[0].pins is not None
    [policy, _] = result.attempts[0].pins.policies
    [_, _, sent] = Chain.from_der(list(seen.step.chain)).certificates
    assert policy.compromised == {entry.pin for entry in policy.pins[-1:]}
    assert verify(Chain((sent,)), policy, datetime.now(UTC)).reason == "compromised-key"


@pytest.mark.parametrize("style", Style)
def test_a_client_without_pins_accepts(style: Style) -> None:
    client = Call(lambda target: request(target, trusting(target)))
    result = run_case("compromised-key", client, style)
    wanted = Outcome.RIGHT if style is Style.NONE else Outcome.WRONG
    assert (result.verdict, result.outcome) == (Verdict.ACCEPT, wanted)


def test_only_its_own_pin_set_marks_a_key() -> None:
    with Lab() as lab:
        assert not _policy(lab, "control-good").compromised
        for name in (*ATTACKS, "rot-compromised-sent"):
            marked = _policy(lab, name)
            assert len(marked.compromised) == 1
            assert marked.live_pins == _policy(lab, "control-good").live_pins


@pytest.mark.parametrize("word", WORDS)
def test_a_client_that_is_given_keys_to_accept_is_not_judged(word: str) -> None:
    with Lab() as lab:
        there = lab.target(BY_NAME["compromised-key"], lab.pki(lab.host), 1, 2)
        with pytest.raises(CannotServeError, match="no compromised key"):
            substitute([f"--x={{{word}}}"], there)
        assert substitute(["{pins}"], there) == [str(there.pins)]
        [_, marked] = substitute([f"--x={{{word}}}", "{compromised}"], there)
        assert marked == environment(there, "connect")["CERTPIN_LAB_COMPROMISED"]
        assert {marked} == set(map(str, _policy(lab, "compromised-key").compromised))
        names = environment(there, "connect")["CERTPIN_LAB_PINS"].split()
        assert names == sorted(
            {str(pin) for pin in _policy(lab, "control-good").live_pins}, key=names.index
        )


@pytest.mark.parametrize("name", ["curl", "okhttp-java", "android", "wget"])
def test_an_export_that_leaves_the_key_out_is_not_judged(name: str) -> None:
    with Lab() as lab:
        pki = lab.pki(lab.host)
        assert lab.target(BY_NAME["control-good"], pki, 1, 2).export(name).is_file()
        there = lab.target(BY_NAME["compromised-key"], pki, 1, 2)
        with pytest.raises(CannotServeError, match=f"clients of {name} do not refuse it"):
            there.export(name)


@pytest.mark.parametrize("name", ["node", "flutter"])
def test_a_client_that_sees_the_leaf_only_is_judged_by_the_leaf(name: str) -> None:
    with Lab() as lab:
        pki = lab.pki(lab.host)
        leaf, intermediate = (lab.target(BY_NAME[name], pki, 1, 2) for name in ATTACKS)
        assert leaf.compromised in leaf.export(name).read_text(encoding="utf-8")
        with pytest.raises(CannotServeError, match="do not refuse it"):
            intermediate.export(name)


def test_function_that_is_given_keys_to_accept_is_not_judged() -> None:
    def call(target: Target) -> str:
        assert target.pin
        return request(target, pinned(target))

    result = run_case("compromised-key", Call(call), Style.LEAF)
    assert result.outcome is Outcome.NOT_RUN


@pytest.mark.parametrize("name", [*ATTACKS, "rot-compromised-sent"])
def test_an_app_has_one_pin_set_for_all_cases(name: str) -> None:
    """`certpin lab serve` leaves out the cases of a compromised key.

    They need a second pin set, and an app's pins can't change between cases.
    """
    schedule = Schedule([HOST], Style.CA, [BY_NAME[name]], Authorities(datetime.now(UTC)))
    assert schedule.queues[HOST].turn() is not None  # the good control
    with pytest.raises(CannotServeError, match="another pin set"):
        schedule._prepare(HOST, BY_NAME[name])
