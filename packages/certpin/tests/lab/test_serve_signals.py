"""How the interactive lab tells from one connection whether the client refused or just failed."""

from __future__ import annotations

import pytest

from certpin.lab.device.turn import ClientSignal, client_signal
from certpin.lab.server.records import ClientHello
from certpin.lab.verdict import Connection

HELLO = ClientHello("api.bank.example")


def test_data_is_given_at_once() -> None:
    assert (
        client_signal(Connection(hello=HELLO, data=b"x"), hung_up=False, ended=False)
        is ClientSignal.SENT_DATA
    )


def test_data_counts_whatever_else_was_said() -> None:
    seen = Connection(hello=HELLO, data=b"x", alert="bad_certificate")
    assert client_signal(seen, hung_up=True, ended=True) is ClientSignal.SENT_DATA


def test_an_alert_is_a_refusal_at_once() -> None:
    seen = Connection(hello=HELLO, alert="unknown_ca")
    assert client_signal(seen, hung_up=False, ended=False) is ClientSignal.REFUSED


@pytest.mark.parametrize(
    "problem", ["no shared cipher", "unsupported protocol", "this client does not offer 3DES"]
)
def test_no_common_parameters_is_a_refusal(problem: str) -> None:
    assert client_signal(Connection(hello=HELLO, problem=problem), hung_up=False, ended=False) is (
        ClientSignal.REFUSED
    )


def test_open_connection_has_no_signal_yet() -> None:
    assert client_signal(Connection(hello=HELLO), hung_up=False, ended=False) is None


def test_hanging_up_after_the_hello_may_be_a_refusal() -> None:
    assert client_signal(Connection(hello=HELLO), hung_up=True, ended=True) is ClientSignal.CLOSED


def test_silence_until_the_lab_gave_up_is_no_refusal() -> None:
    assert client_signal(Connection(hello=HELLO), hung_up=False, ended=True) is ClientSignal.NONE


def test_data_that_passed_through_counts_and_octets_of_the_server_do_not() -> None:
    assert (
        client_signal(Connection(hello=HELLO, passed=1), hung_up=False, ended=False)
        is ClientSignal.SENT_DATA
    )
    assert (
        client_signal(Connection(hello=HELLO, answered=99), hung_up=True, ended=True)
        is ClientSignal.CLOSED
    )


def test_silence_with_unclear_records_is_no_refusal() -> None:
    seen = Connection(hello=HELLO, unclear=True, answered=99)
    assert client_signal(seen, hung_up=True, ended=True) is ClientSignal.NONE


def test_a_handshake_that_failed_in_some_other_way_is_no_refusal() -> None:
    seen = Connection(hello=HELLO, problem="peer did not return a certificate")
    assert client_signal(seen, hung_up=True, ended=True) is ClientSignal.NONE


@pytest.mark.parametrize("problem", ["wrong version number", "bad record type"])
def test_junk_after_the_hello_is_nothing(problem: str) -> None:
    assert (
        client_signal(Connection(hello=HELLO, problem=problem), hung_up=True, ended=True)
        is ClientSignal.NO_HELLO
    )


def test_a_client_that_met_clear_text_may_leave() -> None:
    seen = Connection(hello=HELLO, problem="the lab answered in clear text")
    assert client_signal(seen, hung_up=True, ended=True) is ClientSignal.CLOSED


def test_without_a_hello_nothing_was_said() -> None:
    assert client_signal(Connection(), hung_up=True, ended=True) is ClientSignal.NO_HELLO
