"""The verdict in every combination: accepted, refused or reported."""

from __future__ import annotations

import itertools
import pickle
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, get_args

import pytest

from certpin.errors import PinMismatchError, PinSetExpiredError
from certpin.lab import Authority
from certpin.pins import HostPin, HostPolicy, Match, Mode, OnExpiry, Pin, State, pins_of, verify
from certpin.x509 import Chain
from tests import kit

if TYPE_CHECKING:
    from certpin.pins import PinKind
    from certpin.pins.verdict import Decision, Reason
    from certpin.x509 import Certificate

NOW = datetime(2027, 6, 1, tzinfo=UTC)
PAST, FUTURE = NOW - timedelta(days=1), NOW + timedelta(days=1)
HOST = "bank.example"

ROOT = Authority("Verify Root")
BELOW = ROOT.intermediate("Verify Intermediate")
LEAF = BELOW.issue(HOST).certificate
CHAIN = Chain((LEAF, BELOW.certificate, ROOT.certificate))
PLACES = {"leaf": LEAF, "intermediate": BELOW.certificate, "root": ROOT.certificate}

# The certificates of the path that each `match` includes.
ADMITTED: dict[Match, set[str]] = {
    "leaf": {"leaf"},
    "ca": {"intermediate", "root"},
    "any": {"leaf", "intermediate", "root"},
}


def _pin(certificate: Certificate, kind: PinKind) -> Pin:
    return pins_of(certificate)[kind == "cert-sha256"]


@pytest.mark.parametrize("kind", ["sha256", "cert-sha256"])
@pytest.mark.parametrize("match", get_args(Match))
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("mode", get_args(Mode))
def test_a_pin_matches_where_match_admits_it(
    mode: Mode, place: str, match: Match, kind: PinKind
) -> None:
    policy = kit.policy(HOST, _pin(PLACES[place], kind), match=match, mode=mode)
    verdict = verify(CHAIN, policy, NOW)
    if place in ADMITTED[match]:
        assert (verdict.decision, verdict.reason) == ("accept", "match")
        assert verdict.certificate == PLACES[place]
        assert verdict.matched == policy.pins[0]
    else:
        assert (verdict.decision, verdict.reason) == (_failing(mode), "mismatch")
        assert (verdict.certificate, verdict.matched) == (None, None)


def _failing(mode: Mode) -> Decision:
    return "refuse" if mode == "enforce" else "report"


@pytest.mark.parametrize("state", get_args(State))
@pytest.mark.parametrize("kind", ["sha256", "cert-sha256"])
def test_a_dead_pin_accepts_nothing(state: State, kind: PinKind) -> None:
    entries = (
        HostPin(_pin(LEAF, kind), state=state),
        HostPin(kit.NOBODY),
        HostPin(kit.NOBODY_ELSE, "backup"),
    )
    verdict = verify(CHAIN, HostPolicy(kit.policy(HOST).pattern, entries), NOW)
    assert verdict.decision == ("refuse" if state in {"removed", "compromised"} else "accept")


@pytest.mark.parametrize("kind", ["sha256", "cert-sha256"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("match", get_args(Match))
@pytest.mark.parametrize("mode", get_args(Mode))
def test_rule_13_a_compromised_key_is_refused_whatever_else_matches(
    mode: Mode, match: Match, place: str, kind: PinKind
) -> None:
    pinned = [_pin(each, "sha256") for name, each in PLACES.items() if name != place]
    policy = _compromised(_pin(PLACES[place], kind), *pinned, mode=mode, match=match)
    verdict = verify(CHAIN, policy, NOW)
    assert (verdict.decision, verdict.reason) == (_failing(mode), "compromised-key")
    assert (verdict.matched, verdict.certificate) == (None, PLACES[place])


@pytest.mark.parametrize("on_expiry", get_args(OnExpiry))
@pytest.mark.parametrize("expires", [PAST, FUTURE])
@pytest.mark.parametrize("mode", get_args(Mode))
def test_rule_13_comes_before_expiry(mode: Mode, expires: datetime, on_expiry: OnExpiry) -> None:
    root = _pin(ROOT.certificate, "sha256")
    policy = _compromised(
        _pin(LEAF, "sha256"), root, mode=mode, expires=expires, on_expiry=on_expiry
    )
    verdict = verify(CHAIN, policy, NOW)
    assert (verdict.decision, verdict.reason) == (_failing(mode), "compromised-key")


def test_rule_13_the_debug_override_is_the_only_exception() -> None:
    policy = _compromised(_pin(LEAF, "sha256"), _pin(ROOT.certificate, "sha256"))
    verdict = verify(CHAIN, policy, NOW, debug_anchors=frozenset({ROOT.certificate.sha256}))
    assert (verdict.decision, verdict.reason) == ("accept", "debug-anchor")


@pytest.mark.parametrize("kind", ["sha256", "cert-sha256"])
def test_a_removed_key_is_not_refused_if_another_pin_matches(kind: PinKind) -> None:
    policy = kit.policy(HOST, _pin(ROOT.certificate, "sha256"))
    removed = HostPin(_pin(LEAF, kind), state="removed")
    verdict = verify(CHAIN, replace(policy, pins=(*policy.pins, removed)), NOW)
    assert (verdict.decision, verdict.certificate) == ("accept", ROOT.certificate)


def _compromised(pin: Pin, *live: Pin, **settings: Any) -> HostPolicy:
    policy = kit.policy(HOST, *live, **settings)
    return replace(policy, pins=(*policy.pins, HostPin(pin, state="compromised")))


@pytest.mark.parametrize("role", ["leaf", "backup", "intermediate", "root"])
def test_the_role_of_a_pin_does_not_decide(role: str) -> None:
    entries = (HostPin(_pin(LEAF, "sha256"), role), HostPin(kit.NOBODY))  # type: ignore[arg-type]
    policy = HostPolicy(kit.policy(HOST).pattern, entries)
    assert verify(CHAIN, policy, NOW).decision == "accept"


# on_expiry, mode, whether the pins match: the decision after the expiry.
EXPIRED: list[tuple[OnExpiry, Mode, bool, Decision, Reason]] = [
    ("fail-closed", "enforce", True, "refuse", "expired"),
    ("fail-closed", "enforce", False, "refuse", "expired"),
    ("fail-closed", "report", True, "report", "expired"),
    ("fail-closed", "report", False, "report", "expired"),
    ("fail-open", "enforce", True, "accept", "expired"),
    ("fail-open", "enforce", False, "accept", "expired"),
    ("fail-open", "report", True, "accept", "expired"),
    ("fail-open", "report", False, "accept", "expired"),
    ("report", "enforce", True, "accept", "match"),
    ("report", "enforce", False, "report", "mismatch"),
    ("report", "report", True, "accept", "match"),
    ("report", "report", False, "report", "mismatch"),
]


def test_the_table_of_expiry_is_whole() -> None:
    combinations = itertools.product(get_args(OnExpiry), get_args(Mode), [True, False])
    assert [row[:3] for row in EXPIRED] == list(combinations)


@pytest.mark.parametrize(("on_expiry", "mode", "matches", "decision", "reason"), EXPIRED)
def test_on_expiry_decides_about_expired_pins(
    on_expiry: OnExpiry, mode: Mode, matches: bool, decision: Decision, reason: Reason
) -> None:
    pins = [_pin(LEAF, "sha256")] if matches else []
    policy = kit.policy(HOST, *pins, expires=PAST, on_expiry=on_expiry, mode=mode)
    verdict = verify(CHAIN, policy, NOW)
    assert (verdict.decision, verdict.reason) == (decision, reason)
    assert verdict.chain == CHAIN


@pytest.mark.parametrize("on_expiry", get_args(OnExpiry))
@pytest.mark.parametrize("matches", [True, False])
def test_on_expiry_has_no_effect_before_the_expiry(on_expiry: OnExpiry, matches: bool) -> None:
    pins = [_pin(LEAF, "sha256")] if matches else []
    policy = kit.policy(HOST, *pins, expires=FUTURE, on_expiry=on_expiry)
    assert verify(CHAIN, policy, NOW).decision == ("accept" if matches else "refuse")


@pytest.mark.parametrize("mode", get_args(Mode))
@pytest.mark.parametrize("on_expiry", get_args(OnExpiry))
@pytest.mark.parametrize("chain", [None, Chain(())], ids=["none", "empty"])
def test_without_a_chain_nothing_is_accepted_whatever_the_policy_says(
    chain: Chain | None, on_expiry: OnExpiry, mode: Mode
) -> None:
    policy = kit.policy(HOST, expires=PAST, on_expiry=on_expiry, mode=mode)
    verdict = verify(chain, policy, NOW, debug_anchors=frozenset({ROOT.certificate.sha256}))
    assert (verdict.decision, verdict.reason, verdict.chain) == ("refuse", "no-chain", None)


@pytest.mark.parametrize("expires", [None, PAST])
@pytest.mark.parametrize("mode", get_args(Mode))
def test_a_path_to_a_debug_anchor_is_accepted_and_marked(
    mode: Mode, expires: datetime | None
) -> None:
    policy = kit.policy(HOST, mode=mode, expires=expires)
    verdict = verify(CHAIN, policy, NOW, debug_anchors=frozenset({ROOT.certificate.sha256}))
    assert (verdict.decision, verdict.reason) == ("accept", "debug-anchor")


@pytest.mark.parametrize("certificate", [LEAF, BELOW.certificate], ids=["leaf", "intermediate"])
def test_a_debug_anchor_elsewhere_on_the_path_accepts_nothing(certificate: Certificate) -> None:
    verdict = verify(CHAIN, kit.policy(HOST), NOW, debug_anchors=frozenset({certificate.sha256}))
    assert verdict.decision == "refuse"


def test_the_key_of_a_debug_anchor_is_not_the_anchor() -> None:
    again = Authority("Verify Root", key=ROOT.key)
    assert again.pin == ROOT.pin
    verdict = verify(
        CHAIN, kit.policy(HOST), NOW, debug_anchors=frozenset({again.certificate.sha256})
    )
    assert verdict.decision == "refuse"


def test_a_certificate_beside_the_path_never_counts() -> None:
    other = Authority("Beside").issue(HOST).certificate
    policy = kit.policy(HOST, _pin(other, "sha256"))
    assert verify(CHAIN, policy, NOW).decision == "refuse"


@pytest.mark.parametrize(
    ("decision", "finding"), [("accept", False), ("report", True), ("refuse", True)]
)
def test_every_verdict_but_accept_is_a_finding(decision: str, finding: bool) -> None:
    modes = {"refuse": "enforce", "report": "report"}
    pins = [_pin(LEAF, "sha256")] if decision == "accept" else []
    verdict = verify(CHAIN, kit.policy(HOST, *pins, mode=modes.get(decision, "enforce")), NOW)
    assert verdict.decision == decision
    assert verdict.is_finding is finding


def test_a_verdict_has_no_truth_value() -> None:
    verdict = verify(CHAIN, kit.policy(HOST), NOW)
    with pytest.raises(TypeError, match="use its decision"):
        bool(verdict)
    with pytest.raises(TypeError, match="use its decision"):
        assert not verdict


def test_a_verdict_is_frozen() -> None:
    verdict = verify(CHAIN, kit.policy(HOST), NOW)
    with pytest.raises(AttributeError):
        verdict.decision = "accept"  # type: ignore[misc]


def test_the_same_arguments_give_the_same_verdict() -> None:
    policy = kit.policy(HOST)
    assert verify(CHAIN, policy, NOW) == verify(CHAIN, policy, NOW)


@pytest.mark.parametrize("mode", get_args(Mode))
def test_only_a_refusal_is_raised(mode: Mode) -> None:
    verdict = verify(CHAIN, kit.policy(HOST, mode=mode), NOW)
    if mode == "report":
        verdict.raise_for_refusal(HOST)
        return
    with pytest.raises(PinMismatchError) as caught:
        verdict.raise_for_refusal(HOST)
    assert caught.value.verdict is verdict
    assert caught.value.host == HOST


def test_expired_pins_raise_their_own_error() -> None:
    verdict = verify(CHAIN, kit.policy(HOST, expires=PAST), NOW)
    with pytest.raises(PinSetExpiredError) as caught:
        verdict.raise_for_refusal(HOST)
    assert caught.value.verdict is verdict


def test_a_refusal_that_was_explained_survives_pickling() -> None:
    verdict = verify(CHAIN, kit.policy(HOST), NOW)
    with pytest.raises(PinMismatchError) as caught:
        verdict.raise_for_refusal(HOST)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (PinMismatchError, str(caught.value))
    assert again.verdict == verdict
