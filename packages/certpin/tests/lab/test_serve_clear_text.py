"""Requests in clear text to a host under test: a fallback is a finding, other use is reported."""

from __future__ import annotations

import socket

import pytest

from certpin.cli.lab.screen import summary
from certpin.lab.scenario import Answer, Scenario
from tests.lab._device import HOST, call, cases, device_lab, pinned, results
from tests.lab._serving import BOTH, HONEST, ONE, OTHER, SWAPPED, Rehearsal, case

ASTRAY = case("astray", Scenario((HONEST.but(answer=Answer.REDIRECT_PLAIN),), lures=True))
BESIDE = case("beside", Scenario((HONEST.but(answer=Answer.REDIRECT_SAME),), lures=True))
STATUS = b"GET /status HTTP/1.1\r\n\r\n"
WITH_TOKEN = b"GET / HTTP/1.1\r\nAuthorization: Bearer x\r\n\r\n"


def _unassigned(lab: Rehearsal) -> int:
    return lab.schedule.clear_text["a.example"].requests


def test_a_refused_request_that_is_repeated_in_clear_text_is_a_finding() -> None:
    lab = Rehearsal(ONE, OTHER)
    lab.gives_once()
    lab.refuses_once()
    lab.asks_in_clear(STATUS)
    (reported,) = lab.reported
    assert (reported[1].case, str(reported[1].verdict)) == (ONE, "ACCEPT")
    assert reported[1].why == f"{len(STATUS)} bytes of the client's data arrived in clear text"
    lab.refuses_once()
    lab.gives_once()
    assert lab.verdicts() == {"one": "ACCEPT", "other": "REJECT"}
    assert _unassigned(lab) == 0


def test_a_fallback_belongs_to_the_attack_even_if_the_next_control_came_first() -> None:
    lab = Rehearsal(ONE)
    lab.gives_once()
    lab.refuses_once()
    lab.gives_once()
    assert lab.verdicts() == {"one": "REJECT"}
    lab.asks_in_clear()
    assert lab.verdicts() == {"one": "ACCEPT"}


def test_a_fallback_of_the_second_host_belongs_to_the_case_about_both() -> None:
    lab = Rehearsal(BOTH, hosts=("a.example", "b.example"))
    lab.gives_once("a.example")
    lab.gives_once("b.example")
    lab.gives_once("a.example")
    assert lab.refuses_once("b.example").turn.case is BOTH
    lab.asks_in_clear(host="b.example")
    assert lab.verdicts("a.example") == {"both": "ACCEPT"}
    assert lab.verdicts("b.example") == {}


def test_clear_text_before_every_request_is_no_finding_of_a_case() -> None:
    lab = Rehearsal(SWAPPED, ASTRAY)
    lab.asks_in_clear(STATUS)
    for _ in range(2):
        lab.gives_once()
        lab.asks_in_clear(STATUS)
    lab.refuses_once()
    for _ in range(4):
        lab.asks_in_clear(STATUS)
        lab.gives_once()
    assert lab.verdicts() == {"swapped": "REJECT", "astray": "REJECT"}
    assert _unassigned(lab) == 7


def test_clear_text_that_gains_a_credential_is_a_fallback() -> None:
    lab = Rehearsal(ONE)
    lab.asks_in_clear(STATUS)
    lab.gives_once()
    lab.refuses_once()
    lab.asks_in_clear(STATUS)
    assert lab.verdicts() == {}
    lab.asks_in_clear(WITH_TOKEN)
    assert lab.verdicts() == {"one": "ACCEPT"}


def test_clear_text_after_a_failed_control_is_not_the_usual_clear_text() -> None:
    lab = Rehearsal(ONE)
    lab.refuses_once()
    lab.asks_in_clear()
    assert _unassigned(lab) == 1
    lab.gives_once()
    lab.refuses_once()
    lab.asks_in_clear()
    assert lab.verdicts() == {"one": "ACCEPT"}


def test_the_url_of_a_redirect_is_recognised_beside_the_usual_clear_text() -> None:
    lab = Rehearsal(ASTRAY, ONE)
    lab.asks_in_clear(STATUS)
    lab.gives_once()
    turn = lab.gives_once().turn
    lab.asks_in_clear(STATUS)
    assert lab.verdicts() == {}
    url = turn.case_run.answer_context.redirect_url(Answer.REDIRECT_PLAIN, "/")
    lab.asks_in_clear(f"GET {url} HTTP/1.1\r\n\r\n".encode())
    assert lab.verdicts() == {"astray": "ACCEPT"}


def test_clear_text_with_another_url_after_a_redirect_is_not_the_usual_clear_text() -> None:
    lab = Rehearsal(ASTRAY, ONE)
    lab.gives_once()
    lab.gives_once()
    lab.asks_in_clear(STATUS)
    assert lab.verdicts() == {"astray": "ACCEPT"}
    assert _unassigned(lab) == 0


def test_a_redirect_that_stays_in_tls_attracts_no_clear_text() -> None:
    lab = Rehearsal(BESIDE, ONE)
    lab.gives_once()
    lab.gives_once()
    lab.asks_in_clear()
    assert lab.verdicts() == {}
    assert _unassigned(lab) == 1


def test_clear_text_does_not_end_a_case() -> None:
    lab = Rehearsal(ONE)
    lab.gives_once()
    first, *_ = [lab.asks_in_clear(STATUS) for _ in range(20)]
    assert first.turn.case is ONE
    assert lab.refuses_once().turn is first.turn
    lab.gives_once()
    assert lab.verdicts() == {"one": "REJECT"}


@pytest.mark.parametrize("junk", [b"\0\1\2\3", b"<stream>\r\n\r\n", b"GET / HTT"])
def test_junk_is_no_request_in_clear_text(junk: bytes) -> None:
    lab = Rehearsal(ONE)
    lab.gives_once()
    lab.refuses_once()
    lab.asks_in_clear(junk)
    lab.gives_once()
    assert lab.verdicts() == {"one": "REJECT"}
    assert _unassigned(lab) == 0


def test_the_evidence_of_one_fallback_after_the_other_is_limited() -> None:
    lab = Rehearsal(ONE)
    lab.gives_once()
    turn = lab.refuses_once().turn
    for _ in range(200):
        lab.asks_in_clear()
    assert len(turn.visits) < 100


def _ask_in_clear(port: int, head: str) -> None:
    with socket.create_connection(("127.0.0.1", port), 30) as sock:
        sock.sendall(f"GET http://{HOST}/ HTTP/1.1\r\nHost: {HOST}\r\n{head}\r\n".encode())
        assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")


@pytest.mark.medium
def test_an_app_that_falls_back_to_clear_text_is_found_with_its_cause() -> None:
    with device_lab(cases("rogue-ca-in-store", "swap-on-reconnect")) as lab:
        app = pinned(lab)
        while not lab.finished:
            if not call(lab, app):
                _ask_in_clear(lab.port, "Authorization: Bearer x\r\n")
            results(lab)
        lines = "\n".join(summary(lab.stop()))
    assert "The client sends its request in clear text if TLS fails: 2 attacks got through" in lines
    assert "without an attack" not in lines


@pytest.mark.medium
def test_an_app_that_uses_clear_text_otherwise_is_reported_once() -> None:
    with device_lab(cases("rogue-ca-in-store", "swap-on-reconnect")) as lab:
        app = pinned(lab)
        while not lab.finished:
            _ask_in_clear(lab.port, "Cookie: x\r\n")
            call(lab, app)
            results(lab)
        lines = " ".join("\n".join(summary(lab.stop())).split())
    assert "2 of 2 cases tried, 0 wrong" in lines
    assert "In clear text, without an attack, the app sent" in lines
    assert f"to {HOST}, with the header cookie: anyone in its network" in lines
