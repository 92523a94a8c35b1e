"""The interactive lab with WebSockets and other connections, and cases that no app can reach."""

from __future__ import annotations

from typing import Any

from certpin.lab.scenario import INTERRUPTED, Scenario
from tests.lab._serving import HONEST, HOSTILE, ONE, Rehearsal, case

KINDS = case("kinds", Scenario((HONEST,), other_kind=(HOSTILE,)))


def _controlled(*cases: object) -> Rehearsal:
    made = Rehearsal(*cases)  # type: ignore[arg-type]
    made.gives_once()  # the good control
    return made


def test_a_websocket_without_pins_is_found() -> None:
    made = _controlled(KINDS, ONE)
    made.gives_once()
    other = made.call(kind="WebSocket")
    assert other.seen.step == HOSTILE
    made.gives(other)
    assert made.verdicts()["kinds"] == "ACCEPT"


def test_a_refused_websocket_ends_the_case() -> None:
    made = _controlled(KINDS, ONE)
    made.gives_once()
    made.refuses(made.call(kind="WebSocket"))
    made.refuses_once()  # the next case
    made.gives_once()  # the control that confirms both
    assert made.verdicts()["kinds"] == "REJECT"


def test_an_app_with_one_kind_of_connection_does_not_block_the_other_cases() -> None:
    made = _controlled(KINDS, ONE)
    for _ in range(3):
        made.gives_once()
    made.refuses_once()
    made.gives_once()
    assert made.verdicts() == {"kinds": "None", "one": "REJECT"}


def test_cases_that_a_device_cannot_meet_are_not_run() -> None:
    interrupted = [
        case(opening.value, Scenario.of(HOSTILE.but(opening=opening)))
        for opening in sorted(INTERRUPTED)
    ]
    spelled = case("spelled", Scenario.of(HOSTILE), spelling=str.upper)
    made = _controlled(*interrupted, spelled, ONE)
    made.refuses_once()
    made.gives_once()
    found = made.schedule.queues["a.example"].results
    assert found["one"].outcome == "right"
    for each in interrupted:
        assert "gives no signal" in found[each.name].why
    assert "A.EXAMPLE" in found["spelled"].why


def _why_not_run(scenario: Scenario, **fields: Any) -> str:
    """Run a case with this scenario in the interactive lab, and return why it is skipped.

    Also checks that the case after it still runs.
    """
    made = _controlled(case("other", scenario, **fields), ONE)
    made.refuses_once()
    made.gives_once()
    found = made.schedule.queues["a.example"].results
    assert (found["one"].outcome, found["other"].outcome) == ("right", "not run")
    return found["other"].why


def test_a_device_keeps_its_trust_store() -> None:
    assert "another trust store" in _why_not_run(Scenario.of(HOSTILE), anchors=lambda _: ())


def test_an_app_shows_no_sign_that_it_refused_its_proxy() -> None:
    why = _why_not_run(Scenario((HONEST,), proxy_status=403))
    assert "gives no signal if its proxy" in why


def test_a_device_has_no_way_to_the_lab_over_quic() -> None:
    assert "no QUIC" in _why_not_run(Scenario((HONEST,), http3=HOSTILE))


def test_a_device_has_no_tls_with_its_proxy() -> None:
    assert "without TLS" in _why_not_run(Scenario((HOSTILE,), tls_proxy=HONEST))


def test_a_device_has_no_ech_of_the_lab() -> None:
    assert "no ECH configuration" in _why_not_run(Scenario((HOSTILE,), ech=(HONEST,)))
